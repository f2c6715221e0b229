"""Downloads of a session's work."""

from __future__ import annotations

import tempfile
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path

from scmn.data.masks import write_label_map
from scmn.demo.project import Project
from scmn.demo.session import Session
from scmn.errors import InputError
from scmn.exports import SequenceExports, export_path

_NAME = "video"


def _masks(project: Project, folder: Path) -> Path:
    """Write the label maps of all frames that have one as palette PNGs in a zip."""
    for index in sorted(project.masks):
        write_label_map(folder / "masks" / f"{index:05d}.png", project.labels(index))
    return _zipped(folder / "masks")


def _overlay(project: Project, folder: Path) -> Path:
    return _export(project, folder, "overlay")


def _cutouts(project: Project, folder: Path) -> Path:
    return _zipped(_export(project, folder, "rgba"))


def _coco(project: Project, folder: Path) -> Path:
    return _export(project, folder, "coco")


def _export(project: Project, folder: Path, export: str) -> Path:
    footage = project.footage
    with SequenceExports(
        folder,
        _NAME,
        [export],
        frame_rate=footage.frame_rate,
        duration=footage.duration,
        object_names={drawn.object_id: drawn.name for drawn in project.objects.values()},
        palette=project.palette,
    ) as exports:
        for index in range(len(footage)):
            exports.write(
                f"{index:05d}.png",
                footage.image(index),
                project.labels(index),
                footage.times[index],
            )
    return export_path(folder, export, _NAME)


def _zipped(folder: Path) -> Path:
    path = folder.with_suffix(".zip")
    with zipfile.ZipFile(path, "w") as file:  # PNGs are compressed already
        for entry in sorted(folder.rglob("*.png")):
            file.write(entry, entry.relative_to(folder))
    return path


MEMORY = "Memory"
_WRITERS: Mapping[str, tuple[str, Callable[[Project, Path], Path]]] = {
    "Masks": ("masks.zip", _masks),
    "Overlay": ("overlay.mp4", _overlay),
    "Cut-outs": ("cutouts.zip", _cutouts),
    "COCO": ("coco.json", _coco),
}
DOWNLOADS: Mapping[str, str] = {
    "Masks": "palette PNGs in a zip",
    "Overlay": "the masks over the video, mp4",
    "Cut-outs": "each object on a transparent background, PNGs in a zip",
    "COCO": "run lengths in COCO's JSON",
    MEMORY: "what the network remembers, for load_memory",
}
"""What is offered, and what it is."""


def write_download(session: Session, kind: str) -> tuple[Path, str]:
    """Write one of ``DOWNLOADS`` into the session's folder; return the file and a name for it.

    Raises:
        InputError: there is nothing of this kind yet, or a file cannot be written.
    """
    project = session.project
    if project is None or not project.masks:
        raise InputError("there are no masks yet")
    # One for each: the browser may not have fetched the one before.
    folder = Path(tempfile.mkdtemp(prefix="download-", dir=session.folder))
    if kind == MEMORY:
        if session.run is None:
            raise InputError("there is no memory yet: segment the video first")
        name, path = "memory.safetensors", folder / "memory"
        session.run.save_memory(path)
    else:
        name, write = _WRITERS[kind]
        path = write(project, folder)
    return path, f"{project.footage.name}-{name}"

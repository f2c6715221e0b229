"""The output folder of an evaluation: what lies where, and which sequences are complete.

::

    <output>/run.json                    the settings of the run; other settings are refused
    <output>/masks/<sequence>/<frame>.png
    <output>/overlays, coco, rgba, ...   with --export; see scmn.exports
    <output>/records/<sequence>.json     written last: the sequence is complete
    <output>/pictures/<sequence>.jpg     for the report
"""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Collection, Iterable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from scmn.data.atomic import atomic_path
from scmn.data.sequences import FrameSource, VideoSequence
from scmn.data.video import VideoFile
from scmn.errors import InputError
from scmn.exports import EXPORTS, export_path
from scmn.inference.memory.settings import current_names


@dataclass(frozen=True)
class SequenceRecord:
    """How a sequence was segmented: sizes, device, time and memory."""

    name: str
    fingerprint: str
    """Of the frames and given masks; see ``fingerprint``."""
    frames: int
    segmented_frames: int
    """Without those that are neither written nor needed for later ones."""
    objects: int
    height: int
    width: int
    """Of the frames as they are stored."""
    network_height: int
    network_width: int
    """Of the frames as the network saw them, padding included."""
    device: str
    """The GPU's name, or "cpu" with the number of threads."""
    precision: str
    processes: int
    """How many processes shared the run; the times and the memory are those of one."""
    timed_frames: int
    """Segmented frames after compilation and warm-up (see ``WarmUp``): those of the times."""
    network_seconds: float
    """Time in the segmenter: from the decoded frame to the label map at the frame's own size."""
    total_seconds: float
    """The same with reading frames and writing masks; overlays and pictures are left out."""
    peak_memory_bytes: int
    """Peak of the GPU's allocated memory, or on the CPU of the process's resident memory so far."""
    written: tuple[str, ...]
    """Names of the frames whose masks were written."""


@dataclass(frozen=True)
class RunFolder:
    """An output folder and its files."""

    path: Path

    @property
    def masks(self) -> Path:
        return self.path / "masks"

    def export(self, export: str, sequence: str) -> Path:
        return export_path(self.path, export, sequence)

    def picture(self, sequence: str) -> Path:
        return self.path / "pictures" / f"{sequence}.jpg"

    def _record(self, sequence: str) -> Path:
        return self.path / "records" / f"{sequence}.json"

    def begin(self, settings: Mapping[str, Any]) -> None:
        """Use the folder for a run with ``settings``: a new one, or the one that it holds.

        Args:
            settings: everything that the masks depend on, JSON values by name.

        Raises:
            InputError: the folder holds a run with other settings, or masks of unknown origin.
        """
        file = self.path / "run.json"
        if file.is_file():
            old, new = _current_names(_read_json(file)), _current_names(settings)
            names = [name for name in {**old, **new} if old.get(name) != new.get(name)]
            if names:
                changes = ", ".join(f"{n}: {old.get(n)} -> {new.get(n)}" for n in names)
                raise InputError(
                    f"{self.path} holds the results of another run ({changes}); "
                    "choose another --output or remove it"
                )
            return
        if self.masks.exists():
            raise InputError(
                f"{self.masks} exists without {file}: it was not written by eval.py; "
                "choose another --output"
            )
        _write_json(file, dict(settings))

    def complete(
        self, sequence: str, *, fingerprint: str, exports: Collection[str]
    ) -> SequenceRecord | None:
        """Return the record of a sequence that is complete and up to date, else None.

        Args:
            sequence: its name.
            fingerprint: of its frames and masks as they are now.
            exports: those of ``scmn.exports.EXPORTS`` that belong to it.
        """
        if not self._record(sequence).is_file():
            return None
        content = _read_json(self._record(sequence))
        try:
            record = SequenceRecord(**{**content, "written": tuple(content["written"])})
        except (TypeError, KeyError):
            return None  # written by another version: the sequence is segmented again
        if record.fingerprint != fingerprint:
            return None
        masks = [prediction_path(self.masks, sequence, frame) for frame in record.written]
        if not all(mask.is_file() for mask in masks):
            return None
        if not all(self.export(export, sequence).exists() for export in exports):
            return None
        return record

    def discard(self, sequence: str) -> None:
        """Remove an earlier run's files of a sequence, so that old and new masks never mix.

        Raises InputError if a file cannot be removed.
        """
        # The record first: without it whatever remains is ignored.
        masks = sorted((self.masks / sequence).glob("*.png"))
        exports = [self.export(export, sequence) for export in EXPORTS]
        for path in (self._record(sequence), *exports, *masks):
            try:
                if path.is_dir():
                    shutil.rmtree(path)
                else:
                    path.unlink(missing_ok=True)
            except OSError as error:
                raise InputError(f"cannot remove {path}: {error.strerror or error}") from error

    def finish(self, record: SequenceRecord) -> None:
        """Mark a sequence as complete."""
        _write_json(self._record(record.name), asdict(record))


def _current_names(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Rename settings that earlier versions wrote under another name, and add one they lacked."""
    current = {"direction": "forward", **settings}
    memory = settings.get("memory")
    if isinstance(memory, Mapping):
        current["memory"] = current_names(memory)
    return current


def _read_json(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise InputError(f"{path} cannot be read ({error}); remove it to start again") from error
    if not isinstance(content, dict):
        raise InputError(f"{path} was not written by eval.py; remove it to start again")
    return content


def _write_json(path: Path, content: Mapping[str, Any]) -> None:
    with atomic_path(path) as temporary:
        temporary.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")


def prediction_path(masks_folder: Path, sequence_name: str, frame_name: str) -> Path:
    """Return the file of a frame's predicted label map: ``<folder>/<sequence>/<frame>.png``."""
    return masks_folder / sequence_name / f"{frame_name}.png"


def require_predictions(paths: Iterable[Path]) -> None:
    """Raise InputError if files are missing; it names the first and says how many."""
    expected = list(paths)
    missing = [path for path in expected if not path.is_file()]
    if missing:
        raise InputError(
            f"predicted mask {missing[0]} does not exist; {len(missing)} of the {len(expected)} "
            "expected masks are missing"
        )


def fingerprint(source: FrameSource) -> str:
    """Return a digest of a sequence's frames, given masks and written frames.

    Frames and videos enter by path, size and modification time, given masks by their content.
    Where finding the given objects would mean reading all annotations, those enter like frames.

    Raises InputError if a file cannot be read, TypeError if ``source`` is of an unknown kind.
    """
    try:
        content = _content(source)
    except OSError as error:
        raise InputError(f"sequence '{source.name}': {error.filename} cannot be read") from error
    return hashlib.sha256(json.dumps(content).encode()).hexdigest()


def _content(source: FrameSource) -> dict[str, Any]:
    if isinstance(source, VideoFile):
        masks = [[index, _digest(path)] for index, path in sorted(source.mask_paths.items())]
        return {"frames": _stamps([source.path]), "masks": masks}
    if isinstance(source, VideoSequence):
        return {
            "frames": _stamps(source.image_paths),
            "masks": _given_masks(source),
            "merge": source.merge_objects,
            "written": [name for name in source.frame_names if source.is_written(name)],
        }
    raise TypeError(f"no fingerprint for a {type(source).__name__}")


def _given_masks(sequence: VideoSequence) -> list[Any]:
    given = sequence.given_objects
    if not isinstance(given, dict):  # found by reading every annotation
        paths = [path for _, path in sorted(sequence.annotation_paths.items())]
        return [sorted(sequence.annotation_paths), _stamps(paths)]
    return [
        [index, _digest(sequence.annotation_paths[index]), objects]
        for index, objects in sorted(given.items())
    ]


def _digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _stamps(paths: Iterable[Path]) -> list[Any]:
    """Return path, size and modification time of files; each folder is resolved once."""
    folders: dict[Path, str] = {}
    stamps = []
    for path in paths:
        if path.parent not in folders:
            folders[path.parent] = str(path.parent.resolve())
        status = path.stat()
        stamps.append([folders[path.parent], path.name, status.st_size, status.st_mtime_ns])
    return stamps

"""The masks that a user gives for a video, in any form, as label PNGs."""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from scmn.data.annotations import read_annotations
from scmn.data.boxes import box_labels
from scmn.data.images import list_images, read_image
from scmn.data.masks import write_label_map
from scmn.data.video import first_frame
from scmn.errors import InputError


@contextlib.contextmanager
def given_masks(
    video: Path, masks: Sequence[Path], boxes: Sequence[Sequence[int]]
) -> Iterator[list[Path]]:
    """Yield label PNGs, or folders of them, for ``video_task``.

    Args:
        video: a video file or a folder of frames.
        masks: label PNGs, JSON files of COCO or labelme, or folders of either. A folder that has
            JSON files beside images, as labelme leaves them, stands for the JSON files.
        boxes: left, top, width and height of boxes around the objects 1, 2, ... of the first frame.

    Raises:
        InputError: a file or a box is wrong.
    """
    annotations: list[Path] = []
    label_files: list[Path] = []
    for path in masks:
        inside = sorted(path.glob("*.json")) if path.is_dir() else []
        if inside or path.suffix.lower() == ".json":
            annotations += inside or [path]
        else:
            label_files.append(path)
    label_maps: dict[str, np.ndarray] = {}
    if annotations:
        label_maps = read_annotations(annotations)
    if boxes:
        name, image = _first_frame(video)
        label_maps[name] = box_labels(image, [(x, y, w, h) for x, y, w, h in boxes])
    with tempfile.TemporaryDirectory(prefix="scmn-masks-") as folder:
        for name, labels in label_maps.items():
            label_files.append(Path(folder) / f"{name}.png")
            write_label_map(label_files[-1], labels)
        yield label_files


def _first_frame(video: Path) -> tuple[str, np.ndarray]:
    """Return the name of a video's first frame and its image."""
    if not video.exists():
        raise InputError(f"{video} does not exist; expected a video file or a folder of frames")
    if video.is_dir():
        path = list_images(video)[0]
        return path.stem, read_image(path)
    return "00000", first_frame(video)

"""Segmented videos in the formats of other tools: COCO's JSON, RGBA cut-outs, overlay videos.

::

    <folder>/coco/<sequence>.json             masks as run lengths, exact
    <folder>/coco-polygons/<sequence>.json    masks as polygons
    <folder>/rgba/<sequence>/<object>/<frame>.png
    <folder>/overlays/<sequence>.mp4
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Collection, Iterator, Mapping
from fractions import Fraction
from pathlib import Path
from typing import Any, Protocol

import cv2
import numpy as np
from PIL import Image

from scmn.data.atomic import BeforeRename, atomic_path
from scmn.data.coco_masks import coco_tools, mask_to_polygons, mask_to_rle
from scmn.data.masks import object_ids
from scmn.data.video_writer import VideoWriter
from scmn.errors import InputError, nearest_name
from scmn.visualization import overlay

FRAME_RATE = 24.0
"""Of overlay videos of image sequences (DAVIS has 24 frames per second)."""
EXPORTS = ("coco", "coco-polygons", "rgba", "overlay")


def check_exports(exports: Collection[str]) -> None:
    """Raise InputError for an unknown export, or one whose package is not installed."""
    for export in exports:
        if export not in EXPORTS:
            raise InputError(
                f"unknown export '{export}'{nearest_name(export, EXPORTS)}; "
                f"known: {', '.join(EXPORTS)}"
            )
        if export.startswith("coco"):
            coco_tools()


def export_path(folder: Path, export: str, sequence: str) -> Path:
    """Return the file of a sequence's export, or its folder of cut-outs."""
    if export == "overlay":
        return folder / "overlays" / f"{sequence}.mp4"
    return folder / export / (sequence if export == "rgba" else f"{sequence}.json")


def cutout(image: np.ndarray, labels: np.ndarray, object_id: int) -> np.ndarray:
    """Return an object in front of nothing: RGBA, uint8 (H, W, 4), zero outside its mask.

    Args:
        image: uint8 (H, W, 3), RGB.
        labels: label map, uint8 (H, W).
        object_id: of the object.
    """
    opaque = np.dstack([image, np.full(labels.shape, 255, np.uint8)])
    return np.where((labels == object_id)[:, :, None], opaque, np.uint8(0))


class SequenceExports:
    """Writes the exports of one sequence, frame by frame; a context manager.

        with SequenceExports(Path("out"), "clip", ["coco", "rgba"]) as exports:
            for frame in video.frames():
                prediction = segmenter.step(frame.image, frame.labels)
                exports.write(f"{frame.name}.jpg", frame.image, prediction.labels)

    Cut-outs appear one by one, the other files when the block succeeds.
    """

    def __init__(
        self,
        folder: Path,
        sequence: str,
        exports: Collection[str],
        *,
        frame_rate: Fraction | float = FRAME_RATE,
        duration: Fraction | None = None,
        object_names: Mapping[int, str] | None = None,
        palette: np.ndarray | None = None,
        before_rename: BeforeRename | None = None,
    ) -> None:
        """
        Args:
            folder: where the exports' own folders are.
            sequence: its name, that of a file.
            exports: some of ``EXPORTS``.
            frame_rate: of the overlay, for frames that are written without times.
            duration: of the overlay in seconds, for frames that are written with times.
            object_names: names of objects by id, for COCO's categories.
            palette: of the overlay, uint8 (256, 3) RGB (None: that of DAVIS).
            before_rename: called for every file; see ``atomic_path``.

        Raises:
            InputError: an unknown export, or one whose package is not installed.
        """
        check_exports(exports)
        self._stack = contextlib.ExitStack()
        self._writers: list[_Writer] = []
        for export in exports:
            path = export_path(folder, export, sequence)
            writer: _Writer
            if export == "overlay":
                video = VideoWriter(
                    path, frame_rate=frame_rate, duration=duration, before_rename=before_rename
                )
                writer = _Overlay(video, palette)
            elif export == "rgba":
                writer = _Cutouts(path, before_rename)
            else:
                polygons = export == "coco-polygons"
                writer = _CocoFile(path, object_names or {}, before_rename, polygons=polygons)
            self._writers.append(writer)

    def __enter__(self) -> SequenceExports:
        for writer in self._writers:
            self._stack.enter_context(writer.opened())
        return self

    def __exit__(self, *error: Any) -> None:
        self._stack.__exit__(*error)

    def write(
        self, file_name: str, image: np.ndarray, labels: np.ndarray, time: Fraction | None = None
    ) -> None:
        """Append a frame.

        Args:
            file_name: of its image, such as 00000.jpg.
            image: uint8 (H, W, 3), RGB.
            labels: label map, uint8 (H, W).
            time: when it is shown, in seconds after the first frame (None: at the frame rate).

        Raises:
            InputError: a file cannot be written.
        """
        for writer in self._writers:
            writer.write(file_name, image, labels, time)


class _Writer(Protocol):
    def opened(self) -> contextlib.AbstractContextManager[object]:
        """Return a context at whose end the export is complete, unless the block has failed."""
        ...

    def write(
        self, file_name: str, image: np.ndarray, labels: np.ndarray, time: Fraction | None
    ) -> None: ...


class _Overlay:
    def __init__(self, video: VideoWriter, palette: np.ndarray | None) -> None:
        self._video = video
        self._palette = palette

    def opened(self) -> contextlib.AbstractContextManager[object]:
        return self._video

    def write(
        self, file_name: str, image: np.ndarray, labels: np.ndarray, time: Fraction | None
    ) -> None:
        self._video.write(overlay(image, labels, palette=self._palette), time)


class _Cutouts:
    """A folder of cut-outs for each object that is seen."""

    def __init__(self, path: Path, before_rename: BeforeRename | None) -> None:
        self._path = path
        self._before_rename = before_rename

    def opened(self) -> contextlib.AbstractContextManager[object]:
        return contextlib.nullcontext()

    def write(
        self, file_name: str, image: np.ndarray, labels: np.ndarray, time: Fraction | None
    ) -> None:
        for object_id in object_ids(labels):
            path = self._path / str(object_id) / f"{Path(file_name).stem}.png"
            with atomic_path(path, before_rename=self._before_rename) as temporary:
                Image.fromarray(cutout(image, labels, object_id)).save(temporary, compress_level=1)


class _CocoFile:
    """Every object is a category and, over the frames, a track of the object's id."""

    def __init__(
        self,
        path: Path,
        names: Mapping[int, str],
        before_rename: BeforeRename | None,
        *,
        polygons: bool,
    ) -> None:
        self._path = path
        self._before_rename = before_rename
        self._names = names
        self._encode = mask_to_polygons if polygons else mask_to_rle
        self._images: list[dict[str, Any]] = []
        self._annotations: list[dict[str, Any]] = []

    @contextlib.contextmanager
    def opened(self) -> Iterator[None]:
        yield
        ids = sorted({entry["track_id"] for entry in self._annotations})
        content = {
            "images": self._images,
            "annotations": self._annotations,
            "categories": [{"id": i, "name": self._names.get(i, f"object {i}")} for i in ids],
        }
        with atomic_path(self._path, before_rename=self._before_rename) as temporary:
            temporary.write_text(json.dumps(content), encoding="utf-8")

    def write(
        self, file_name: str, image: np.ndarray, labels: np.ndarray, time: Fraction | None
    ) -> None:
        height, width = labels.shape
        image_id = len(self._images) + 1
        entry = {"id": image_id, "file_name": file_name, "width": width, "height": height}
        self._images.append(entry)
        for object_id in object_ids(labels):
            mask = labels == object_id
            self._annotations.append(
                {
                    "id": len(self._annotations) + 1,
                    "image_id": image_id,
                    "category_id": object_id,
                    "track_id": object_id,
                    "segmentation": self._encode(mask),
                    "area": int(mask.sum()),
                    "bbox": list(cv2.boundingRect(mask.view(np.uint8))),
                    "iscrowd": 0,
                }
            )

"""Video sequences: frames read lazily, label maps, and which of them the segmenter is given."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import Protocol

import numpy as np

from scmn.data.images import image_size, read_image
from scmn.data.masks import (
    GreyValues,
    check_size,
    keep_objects,
    merge_objects,
    read_label_map,
)


@dataclass(frozen=True)
class Frame:
    """One frame of a video and the label map that is given there, if any."""

    index: int
    name: str
    """The file's stem; the frame's mask is written to ``<name>.png``."""
    image: np.ndarray
    """uint8 (H, W, 3), RGB."""
    labels: np.ndarray | None
    """The label map given on this frame, uint8 (H, W), or None."""
    time: Fraction | None = None
    """When a video file shows the frame, in seconds after its first one; None for images."""


class FrameSource(Protocol):
    """A video to segment: image files, a video file or a synthetic sequence."""

    @property
    def name(self) -> str: ...

    def __len__(self) -> int: ...

    def frames(self) -> Iterator[Frame]:
        """Yield the frames in time order; only one is held at a time."""
        ...

    def is_written(self, frame_name: str) -> bool:
        """Return whether the mask of this frame is to be written."""
        ...


@dataclass(frozen=True)
class VideoSequence:
    """A sequence of image files with label maps for some or all of its frames.

    Files are read when they are accessed. Object ids are those in the files.
    """

    name: str
    image_paths: tuple[Path, ...]
    annotation_paths: Mapping[int, Path] = field(default_factory=dict)
    """Frame index -> label map file, for every frame that has one."""
    given_objects: Mapping[int, tuple[int, ...] | None] = field(default_factory=dict)
    """Frame index -> ids of the objects given there (None: all objects in the file)."""
    written_frames: frozenset[str] | None = None
    """Names of the frames whose masks are written (None: every frame)."""
    seen_objects: Mapping[int, bool] = field(default_factory=dict)
    """YouTube-VOS: object id -> whether its category is one of the training split (empty: not
    known)."""
    merge_objects: bool = False
    """DAVIS 2016: all ids above 0 become object 1."""
    grey: GreyValues = "trusted"
    """How grey label maps are read."""

    def __len__(self) -> int:
        return len(self.image_paths)

    @property
    def frame_names(self) -> tuple[str, ...]:
        return tuple(path.stem for path in self.image_paths)

    def image(self, index: int) -> np.ndarray:
        """Return frame ``index`` as uint8 (H, W, 3) RGB; InputError if it cannot be read."""
        return read_image(self.image_paths[index])

    def annotation(self, index: int) -> np.ndarray:
        """Return the label map of frame ``index``, uint8 (H, W), with the ids in the file.

        Raises:
            InputError: the file cannot be read as a label map.
            KeyError: there is none.
        """
        labels = read_label_map(self.annotation_paths[index], grey=self.grey)
        if self.merge_objects:
            labels = merge_objects(labels)
        return labels

    def given_labels(self, index: int) -> np.ndarray | None:
        """Return the label map of the objects given on frame ``index``, or None."""
        if index not in self.given_objects:
            return None
        labels = self.annotation(index)
        objects = self.given_objects[index]
        return labels if objects is None else keep_objects(labels, objects)

    def frames(self) -> Iterator[Frame]:
        """Yield the frames in time order.

        Raises:
            InputError: a file cannot be read, or a mask and its frame differ in size. It is raised
                before the first frame, unless finding the given masks means reading all
                annotations.
        """
        if isinstance(self.given_objects, dict):
            for index in filter(None, self.given_objects):  # frame 0 is next
                size = image_size(self.image_paths[index])
                check_size(self.annotation(index), size, self.annotation_paths[index])
        for index, name in enumerate(self.frame_names):
            image = self.image(index)
            labels = self.given_labels(index)
            if labels is not None:
                check_size(labels, image.shape[:2], self.annotation_paths[index])
            yield Frame(index, name, image, labels)

    def is_written(self, frame_name: str) -> bool:
        return self.written_frames is None or frame_name in self.written_frames

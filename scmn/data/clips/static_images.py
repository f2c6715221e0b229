"""Still images with masks, and the conversion of mask files to label maps."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import cv2
import numpy as np

from scmn.data.images import open_image, read_image
from scmn.data.masks import (
    MAX_GREY_ID,
    MAX_OBJECT_ID,
    VOID,
    check_size,
    merge_objects,
    object_ids,
    read_label_map,
    refuse_object_in_alpha,
    require_lossless,
)
from scmn.data.sequences import VideoSequence
from scmn.errors import InputError

GREY_THRESHOLD = 128
"""Pixels of a grey mask with at least this value belong to the object."""
SMALLEST_PART = 0.002
"""A connected part below this share of the image is not counted as an object."""


class LabelledImage(Protocol):
    """A still image with a label map."""

    @property
    def name(self) -> str: ...

    def read(self) -> tuple[np.ndarray, np.ndarray]:
        """Return image, uint8 (H, W, 3) RGB, and label map, uint8 (H, W).

        InputError, naming the file, if one cannot be read or their sizes differ.
        """
        ...


@dataclass(frozen=True)
class StaticImage:
    """An image file with its mask file."""

    image_path: Path
    mask_path: Path
    merge_objects: bool = False
    """Every id above 0 is the one object 1."""
    split_objects: bool = False
    """The mask's ids are classes: each connected part is an object."""

    @property
    def name(self) -> str:
        return f"{self.image_path.parent.name}/{self.image_path.name}"

    def read(self) -> tuple[np.ndarray, np.ndarray]:
        """See :class:`LabelledImage`."""
        labels = read_static_labels(self.mask_path)
        image = read_image(self.image_path)
        check_size(labels, image.shape[:2], self.mask_path)
        if self.merge_objects:
            labels = merge_objects(labels)
        if self.split_objects:
            labels = connected_objects(labels)
        return image, labels


def connected_objects(labels: np.ndarray) -> np.ndarray:
    """Return a label map, uint8 (H, W), with an id for each connected part of each class.

    Ids are 1..254 in order of decreasing area. Parts below ``SMALLEST_PART`` of the image, mostly
    remainders of occluded parts, become void.
    """
    parts = np.zeros(labels.shape, np.int32)
    areas = [0]
    for label in object_ids(labels):
        _, components, stats, _ = cv2.connectedComponentsWithStats((labels == label).view(np.uint8))
        inside = components > 0
        parts[inside] = components[inside] + len(areas) - 1
        areas += stats[1:, cv2.CC_STAT_AREA].tolist()
    by_area = sorted(range(1, len(areas)), key=lambda part: -areas[part])
    kept = [part for part in by_area if areas[part] >= SMALLEST_PART * labels.size]
    kept = kept[:MAX_OBJECT_ID]
    ids = np.full(len(areas), VOID, np.uint8)
    ids[0] = 0
    ids[kept] = range(1, len(kept) + 1)
    return np.where(labels == VOID, np.uint8(VOID), ids[parts])


def images_of_videos(sequences: Iterable[VideoSequence]) -> list[StaticImage]:
    """Return the annotated frames of video sequences as still images."""
    return [
        StaticImage(
            sequence.image_paths[index],
            sequence.annotation_paths[index],
            merge_objects=sequence.merge_objects,
        )
        for sequence in sequences
        for index in sorted(sequence.annotation_paths)
    ]


def read_static_labels(path: Path) -> np.ndarray:
    """Read the mask of a still image as a label map, uint8 (H, W).

    A grey mask of a salient object (DUTS, MSRA10K; RGB with equal channels in FSS-1000) is not a
    label map: its edge is antialiased, and values from ``GREY_THRESHOLD`` are object 1. It may be a
    JPEG, as in several data sets. Grey values are ids only if none is above ``MAX_GREY_ID``.
    Palette, 1-bit and coloured files are label maps as :func:`scmn.data.masks.read_label_map` reads
    them.

    Raises:
        InputError: the file is missing, corrupt, neither of the two, or a lossy label map.
    """
    grey = _read_grey(path)
    if grey is None:
        return read_label_map(path)
    brightest = int(grey.max(initial=0))
    if brightest <= MAX_GREY_ID:
        with open_image(path, "mask") as image:
            require_lossless(image, path)
        return grey
    if brightest < GREY_THRESHOLD:
        raise InputError(
            f"mask {path} is grey but no brighter than {brightest}; expected the object at 255, "
            f"or a palette PNG with object ids (or grey ids up to {MAX_GREY_ID})"
        )
    return (grey >= GREY_THRESHOLD).astype(np.uint8)


def _read_grey(path: Path) -> np.ndarray | None:
    """Return uint8 (H, W) if the file holds 8 bits of grey, else None."""
    with open_image(path, "mask") as image:
        if image.mode not in ("L", "LA", "RGB", "RGBA"):
            return None
        mode, pixels = image.mode, np.asarray(image)
    if mode == "L":
        return pixels
    if mode in ("LA", "RGBA"):
        refuse_object_in_alpha(pixels, path)
    first = pixels[..., 0]
    colours = pixels.shape[2] >= 3
    if colours and not ((pixels[..., 1] == first) & (pixels[..., 2] == first)).all():
        return None
    return np.ascontiguousarray(first)

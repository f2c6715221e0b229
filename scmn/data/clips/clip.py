"""A training clip before it becomes tensors: settings, frames, and the choice of targets."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Annotated, Protocol, TypeVar

import cv2
import numpy as np
from pydantic import Field

from scmn.data.masks import VOID, ObjectCount
from scmn.settings import CountOrZero, Pair, Share, settings


@settings(frozen=True)
class ClipSettings:
    """What all clips of a training stage have in common."""

    frames: Annotated[int, Field(ge=2, le=1000)] = 3
    """Frames of a clip (STM and STCN: 3)."""
    size: Pair[Annotated[int, Field(ge=16, le=32752, multiple_of=16)]] = (384, 384)
    """Height, width of the crop in pixels (STM and STCN: 384); OpenCV warps no larger image."""
    max_objects: ObjectCount = 3
    """Object channels; of a clip with more objects a random choice is kept (STM: 3)."""
    minimum_area: Share = 0.0005
    """An object smaller than this share of the crop in the first frame is a target only if no
    other is larger."""
    redraws: CountOrZero = 5
    """How often frames and crop are redrawn because the first frame shows no such object (STCN:
    4)."""

    @property
    def minimum_pixels(self) -> int:
        """``minimum_area`` in pixels, at least 1."""
        return max(1, round(self.minimum_area * self.size[0] * self.size[1]))


@dataclass(frozen=True)
class DrawnClip:
    """An augmented clip as a source draws it, before it becomes tensors."""

    images: Sequence[np.ndarray]
    """T times uint8 (H, W, 3), RGB."""
    labels: Sequence[np.ndarray]
    """T times uint8 (H, W): 0 background, 1..objects, 255 void."""
    objects: int
    """Number of targets; each is visible in the first frame."""
    source: str
    """Data set, item and frames, for messages."""


def object_areas(labels: np.ndarray) -> dict[int, int]:
    """Return id -> number of pixels of the objects in a label map, uint8 (H, W)."""
    # np.bincount converts to int64 first and takes 20 times as long.
    counts = cv2.calcHist([labels], [0], None, [256], [0, 256]).ravel()[:VOID]
    return {int(label): int(counts[label]) for label in np.flatnonzero(counts) if label}


class Attempt(Protocol):
    """Frames and geometry of a clip whose images have not been read yet."""

    @property
    def first_labels(self) -> np.ndarray:
        """The label map of the first frame after augmentation, uint8 (H, W)."""
        ...


AttemptT = TypeVar("AttemptT", bound=Attempt)


def first_with_object(attempts: Iterable[AttemptT], settings: ClipSettings) -> AttemptT:
    """Return the first attempt whose first frame holds an object of the minimum area.

    If none of ``1 + settings.redraws`` attempts does, return the one with the largest object: empty
    and tiny first masks never stop training.
    """
    best: AttemptT | None = None
    best_area = -1
    for redraw, attempt in enumerate(attempts):
        area = max(object_areas(attempt.first_labels).values(), default=0)
        if area > best_area:
            best, best_area = attempt, area
        if area >= settings.minimum_pixels or redraw == settings.redraws:
            break
    assert best is not None, "there is at least one attempt"
    return best


def choose_targets(
    first_labels: np.ndarray, settings: ClipSettings, rng: np.random.Generator
) -> tuple[int, ...]:
    """Return the ids of the targets, ascending: at most ``max_objects`` of the first frame.

    If all objects are below the minimum area, only the largest is chosen.
    """
    areas = object_areas(first_labels)
    large = [label for label, area in areas.items() if area >= settings.minimum_pixels]
    if not large and areas:
        large = [max(areas, key=lambda label: areas[label])]
    if len(large) > settings.max_objects:
        large = rng.choice(large, settings.max_objects, replace=False).tolist()
    return tuple(sorted(large))


def number_targets(labels: np.ndarray, targets: Sequence[int]) -> np.ndarray:
    """Return the label map with the targets numbered 1..K, void kept, and the rest background.

    Objects that appear after the first frame are therefore background, as in STCN.
    """
    table = np.zeros(256, np.uint8)
    table[list(targets)] = np.arange(1, len(targets) + 1)
    table[VOID] = VOID
    return cv2.LUT(labels, table)

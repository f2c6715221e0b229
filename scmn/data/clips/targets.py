"""Which objects of a clip are to be segmented: chosen in its first frame, then numbered 1..K."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Protocol, TypeVar

import cv2
import numpy as np

from scmn.data.clips.clip import ClipSettings, object_areas
from scmn.data.masks import VOID


class Attempt(Protocol):
    """A clip that is planned but not yet drawn."""

    @property
    def first_labels(self) -> np.ndarray:
        """The label map of the first frame after augmentation, uint8 (H, W)."""
        ...


AttemptT = TypeVar("AttemptT", bound=Attempt)


def first_with_object(attempts: Iterable[AttemptT], settings: ClipSettings) -> AttemptT:
    """Return the first attempt whose first frame holds an object of the minimum area.

    Of at most ``1 + settings.redraws`` attempts; if none does, the one with the largest object, so
    that empty and tiny first masks never stop training (STCN redraws up to 5 times too).
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
    """Return the ids of the targets, ascending: objects of the first frame, at most
    ``max_objects``.

    Objects below the minimum area are chosen only if there is no other, and then only the largest.
    """
    areas = object_areas(first_labels)
    large = [label for label, area in areas.items() if area >= settings.minimum_pixels]
    if not large and areas:
        large = [max(areas, key=lambda label: areas[label])]
    if len(large) > settings.max_objects:
        large = rng.choice(large, settings.max_objects, replace=False).tolist()
    return tuple(sorted(large))


def number_targets(labels: np.ndarray, targets: Sequence[int]) -> np.ndarray:
    """Return the label map with the targets numbered 1..K and all else background; void stays.

    What appears only after the first frame is therefore background, as in STCN.
    """
    table = np.zeros(256, np.uint8)
    table[list(targets)] = np.arange(1, len(targets) + 1)
    table[VOID] = VOID
    return cv2.LUT(labels, table)

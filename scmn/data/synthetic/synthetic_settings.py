"""Settings of synthetic sequences."""

from __future__ import annotations

import math
from dataclasses import dataclass

from scmn.data.masks import MAX_OBJECT_ID
from scmn.errors import InputError

_MIN_SIDE = 32


@dataclass(frozen=True)
class SyntheticSettings:
    """What synthetic sequences show; ranges are inclusive.

    Raises InputError for a value out of range.
    """

    size: tuple[int, int] = (480, 854)
    """Height, width in pixels. The scene of a sequence does not depend on it."""
    frames: int = 40
    objects: tuple[int, int] = (1, 4)
    """Labelled objects."""
    distractors: tuple[int, int] = (0, 2)
    """Unlabelled objects that move among the labelled ones."""
    occluders: tuple[int, int] = (0, 2)
    """Unlabelled objects that pass in front of everything."""
    look_alikes: float = 0.5
    """Probability that an object or distractor after the first looks like an earlier object."""
    out_of_view: float = 0.25
    """Probability that an object leaves the frame and returns."""
    late_objects: float = 0.0
    """Probability that an object, other than the first, appears only after frame 0."""
    camouflage: float = 0.1
    """Probability that an object has the colours of the background."""
    deformation: float = 1.0
    """Strength of non-rigid motion; 0: rigid."""
    camera_motion: float = 1.0
    """Strength of pan, zoom, roll and shake; 0: a tripod."""
    illumination: float = 1.0
    """Strength of changes of the light; 0: constant."""
    shadows: bool = True
    motion_blur: float = 0.4
    """Exposure time as a fraction of the frame interval."""
    sensor_noise: float = 1.5
    """Standard deviation, grey levels."""
    minimum_area: float = 0.004
    """Smallest visible area of each object in frame 0, as a fraction of the frame.

    For a late object: at the frame that shows most of it."""

    def __post_init__(self) -> None:
        large = all(isinstance(side, int) and side >= _MIN_SIDE for side in self.size)
        expected = f"height and width of at least {_MIN_SIDE} pixels"
        self._require(len(self.size) == 2 and large, "size", expected)
        self._require(self.frames >= 1, "frames", "at least 1")
        for name in ("objects", "distractors", "occluders"):
            low, high = getattr(self, name)
            least = 1 if name == "objects" else 0
            expected = f"a range within {least}..{MAX_OBJECT_ID}, lower end first"
            self._require(least <= low <= high <= MAX_OBJECT_ID, name, expected)
        for name in ("look_alikes", "out_of_view", "late_objects", "camouflage", "motion_blur"):
            self._require(0 <= getattr(self, name) <= 1, name, "a number from 0 to 1")
        for name in ("deformation", "camera_motion", "illumination", "sensor_noise"):
            self._require(0 <= getattr(self, name) < math.inf, name, "a finite number >= 0")
        self._require(0 <= self.minimum_area <= 0.2, "minimum_area", "a number from 0 to 0.2")

    def _require(self, met: bool, name: str, expected: str) -> None:
        if not met:
            value = getattr(self, name)
            raise InputError(f"synthetic setting '{name}' is {value!r}; expected {expected}")

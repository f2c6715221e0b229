"""What is asked of synthetic sequences."""

from __future__ import annotations

import math
from dataclasses import dataclass, fields

from scmn.data.masks import MAX_OBJECT_ID
from scmn.errors import InputError

_SMALLEST_SIDE = 32
_RANGES = ("objects", "distractors", "occluders")
_SHARES = ("look_alikes", "out_of_view", "late_objects", "camouflage", "motion_blur")
_STRENGTHS = ("deformation", "camera_motion", "illumination", "sensor_noise")


@dataclass(frozen=True)
class SyntheticSettings:
    """What synthetic sequences are made of; ranges are inclusive.

    Raises InputError for a value out of its range.
    """

    size: tuple[int, int] = (480, 854)
    """Height, width in pixels. The scene of a sequence does not depend on it."""
    frames: int = 40
    objects: tuple[int, int] = (1, 4)
    """Labelled objects."""
    distractors: tuple[int, int] = (0, 2)
    """Unlabelled things that move among the objects."""
    occluders: tuple[int, int] = (0, 2)
    """Unlabelled things that pass in front of everything."""
    look_alikes: float = 0.5
    """Chance of each further object or distractor to be a look-alike of an object before it."""
    out_of_view: float = 0.25
    """Chance of an object to leave the frame and come back."""
    late_objects: float = 0.0
    """Chance of each object but the first to enter only after frame 0."""
    camouflage: float = 0.1
    """Chance of a thing to have the colours of its surroundings."""
    deformation: float = 1.0
    """Strength of non-rigid motion; 0 keeps everything rigid."""
    camera_motion: float = 1.0
    """Strength of pan, zoom, roll and shake; 0 is a tripod."""
    illumination: float = 1.0
    """Strength of changing light; 0 keeps it."""
    shadows: bool = True
    motion_blur: float = 0.4
    """Share of the time between two frames for which the shutter is open."""
    sensor_noise: float = 1.5
    """Standard deviation, grey levels."""
    minimum_area: float = 0.004
    """Least visible area of an object in frame 0 (a late one: at its best), share of the frame."""

    def __post_init__(self) -> None:
        sides = [side for side in self.size if isinstance(side, int) and side >= _SMALLEST_SIDE]
        if len(self.size) != 2 or len(sides) != 2:
            _refuse("size", self.size, f"height and width of at least {_SMALLEST_SIDE} pixels")
        if self.frames < 1:
            _refuse("frames", self.frames, "at least 1")
        for name in _RANGES:
            low, high = getattr(self, name)
            least = 1 if name == "objects" else 0
            if not least <= low <= high <= MAX_OBJECT_ID:
                _refuse(name, (low, high), f"least and most, {least} <= least <= most <= 254")
        for name in _SHARES:
            if not 0 <= getattr(self, name) <= 1:
                _refuse(name, getattr(self, name), "a number from 0 to 1")
        for name in _STRENGTHS:
            if not (getattr(self, name) >= 0 and math.isfinite(getattr(self, name))):
                _refuse(name, getattr(self, name), "a number that is not negative")
        if not 0 <= self.minimum_area <= 0.2:
            _refuse("minimum_area", self.minimum_area, "a share of the frame from 0 to 0.2")

    def as_json(self) -> dict[str, object]:
        """Return the settings as JSON has them: lists for pairs."""
        values = {entry.name: getattr(self, entry.name) for entry in fields(self)}
        return {k: list(v) if isinstance(v, tuple) else v for k, v in values.items()}


def _refuse(name: str, value: object, expected: str) -> None:
    raise InputError(f"synthetic setting '{name}' is {value!r}; expected {expected}")

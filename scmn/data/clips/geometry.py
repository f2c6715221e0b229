"""Random geometry: affine motion of a frame, the crop of a clip, flips."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from scmn.data.clips.clip import refuse_setting

_CROP_TRIES = 10


@dataclass(frozen=True)
class AffineRange:
    """Ranges of a random affine map about a centre.

    Raises InputError for a value out of its range.
    """

    rotation: float = 0.0
    """Degrees, both ways."""
    shear: float = 0.0
    """Degrees along x, both ways."""
    scale: tuple[float, float] = (1.0, 1.0)

    def __post_init__(self) -> None:
        if not 0 <= self.rotation <= 180:
            refuse_setting("rotation", self.rotation, "degrees from 0 to 180")
        if not 0 <= self.shear < 90:
            refuse_setting("shear", self.shear, "degrees from 0 to below 90")
        check_range("scale", self.scale)

    def draw(self, rng: np.random.Generator) -> np.ndarray:
        """Draw a linear map, (2, 2): first shear, then rotation and scale."""
        angle = math.radians(rng.uniform(-self.rotation, self.rotation))
        slant = math.tan(math.radians(rng.uniform(-self.shear, self.shear)))
        turn = [[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]]
        return rng.uniform(*self.scale) * np.array(turn) @ [[1.0, slant], [0.0, 1.0]]


def check_range(name: str, value: tuple[float, float], most: float = math.inf) -> None:
    """Raise InputError unless ``value`` is least and most with 0 < least <= most <= ``most``."""
    if len(value) != 2 or not 0 < value[0] <= value[1] <= most or math.isinf(value[1]):
        limit = "" if math.isinf(most) else f" <= {most:g}"
        refuse_setting(name, value, f"least and most, 0 < least <= most{limit}")


def draw_flip(probability: float, rng: np.random.Generator) -> np.ndarray:
    """Return (2, 2): a mirror from left to right with the given probability, else the identity."""
    return np.diag([-1.0 if rng.random() < probability else 1.0, 1.0])


@dataclass(frozen=True)
class Box:
    """A rectangle in pixels."""

    left: float
    top: float
    width: float
    height: float

    @property
    def centre(self) -> np.ndarray:
        """(x, y)."""
        return np.array([self.left + self.width / 2, self.top + self.height / 2])


def random_resized_crop(
    source_size: tuple[int, int],
    *,
    area: tuple[float, float],
    aspect: tuple[float, float],
    crop_aspect: float,
    rng: np.random.Generator,
) -> Box:
    """Draw a part of the source of random area and aspect (Inception's crop, as torchvision's).

    ``area`` is a share of the source's; ``aspect`` (width / height, drawn on a log scale) is
    relative to ``crop_aspect``, that of the crop to which the part is resized. If 10 draws do not
    fit, the largest part of the crop's aspect in the middle.
    """
    height, width = source_size
    for _ in range(_CROP_TRIES):
        part = rng.uniform(*area) * height * width
        ratio = crop_aspect * math.exp(rng.uniform(*np.log(aspect)))
        part_width, part_height = math.sqrt(part * ratio), math.sqrt(part / ratio)
        if part_width <= width and part_height <= height:
            left, top = rng.uniform(0, [width - part_width, height - part_height])
            return Box(left, top, part_width, part_height)
    part_width = min(width, height * crop_aspect)
    part_height = part_width / crop_aspect
    return Box((width - part_width) / 2, (height - part_height) / 2, part_width, part_height)

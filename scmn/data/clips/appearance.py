"""Photometric augmentation: colours as one 3x4 matrix per frame, and motion blur.

torchvision's ``ColorJitter`` applies brightness, contrast, saturation and hue one after the other
and clips after each. Here all four are affine maps of RGB (hue rotates in the plane of constant
luma instead of HSV), so the jitter of a clip and of a frame combine into one matrix that OpenCV
applies in 0.1 ms; values are rounded and clipped once.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Annotated

import cv2
import numpy as np
from pydantic import Field

from scmn.settings import Share, settings

_LUMA = np.array([0.299, 0.587, 0.114])
# RGB -> YIQ (NTSC): luma and two axes of colour.
_TO_YIQ = np.array([_LUMA, [0.5959, -0.2746, -0.3213], [0.2115, -0.5227, 0.3112]])
_FROM_YIQ = np.linalg.inv(_TO_YIQ)


@dataclass(frozen=True)
class ColourChange:
    """One change of colours; the defaults change nothing."""

    brightness: float = 1.0
    contrast: float = 1.0
    saturation: float = 1.0
    hue: float = 0.0
    """Rotation, as a share of a full turn."""

    def matrix(self, mean_luma: float) -> np.ndarray:
        """Return the change as (3, 4) on RGB; contrast is about the image's mean luma."""
        saturate = self.saturation * np.eye(3) + (1 - self.saturation) * np.ones((3, 1)) * _LUMA
        cosine, sine = math.cos(2 * math.pi * self.hue), math.sin(2 * math.pi * self.hue)
        rotation = np.array([[1, 0, 0], [0, cosine, -sine], [0, sine, cosine]])
        linear = self.contrast * self.brightness * (_FROM_YIQ @ rotation @ _TO_YIQ @ saturate)
        # Saturation and hue leave greys unchanged, so the offset of contrast needs no transform.
        offset = (1 - self.contrast) * self.brightness * mean_luma
        return np.column_stack([linear, np.full(3, offset)])


GREYSCALE = ColourChange(saturation=0.0)


@settings(frozen=True)
class ColourJitter:
    """Ranges of a random colour change: factors in 1 ± value, hue in ± value of a full turn."""

    brightness: Share = 0.0
    contrast: Share = 0.0
    saturation: Share = 0.0
    hue: Annotated[float, Field(ge=0, le=0.5)] = 0.0

    def draw(self, rng: np.random.Generator) -> ColourChange:
        """Draw one change."""
        spread = np.array([self.brightness, self.contrast, self.saturation, self.hue])
        brightness, contrast, saturation, hue = rng.uniform(-spread, spread).tolist()
        return ColourChange(1 + brightness, 1 + contrast, 1 + saturation, hue)


def change_colours(image: np.ndarray, changes: Sequence[ColourChange]) -> np.ndarray:
    """Apply changes in order to uint8 (H, W, 3) RGB; rounding and clipping happen once."""
    mean_luma = float(_LUMA @ cv2.mean(image)[:3])
    combined = np.eye(4)
    for change in changes:
        combined = np.vstack([change.matrix(mean_luma), [0, 0, 0, 1]]) @ combined
        mean_luma *= change.brightness  # contrast, saturation and hue keep the mean
    return cv2.transform(image, combined[:3])


@settings(frozen=True)
class ClipColours:
    """Colour augmentation of a clip: one draw for all frames, then one for each frame."""

    clip: ColourJitter = field(default_factory=ColourJitter)
    frame: ColourJitter = field(default_factory=ColourJitter)
    greyscale: Share = 0.0
    """Probability of a clip in greyscale."""

    def change(self, images: Sequence[np.ndarray], rng: np.random.Generator) -> list[np.ndarray]:
        """Return the clip's images, each uint8 (H, W, 3) RGB, with changed colours."""
        common = [self.clip.draw(rng)]
        if rng.random() < self.greyscale:
            common.append(GREYSCALE)
        return [change_colours(image, [*common, self.frame.draw(rng)]) for image in images]


@settings(frozen=True)
class MotionBlur:
    """Motion blur of single frames, as of fast objects and moving cameras; masks stay sharp."""

    probability: Share = 0.0
    """Probability that each frame is blurred."""
    length: Annotated[float, Field(gt=0, le=0.5)] = 0.05
    """Longest blur, as a share of the frame's shorter side."""

    def apply(self, image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """Return the frame, uint8 (H, W, 3), blurred with the set probability."""
        if self.probability == 0 or rng.random() >= self.probability:
            return image
        reach = rng.uniform(0, self.length) * min(image.shape[:2]) / 2
        angle = rng.uniform(0, np.pi)
        radius = int(np.ceil(reach))
        kernel = np.zeros((2 * radius + 1, 2 * radius + 1), np.float32)
        end = np.rint(reach * np.array([np.cos(angle), np.sin(angle)])).astype(int)
        cv2.line(kernel, (radius - end).tolist(), (radius + end).tolist(), 1.0)
        return cv2.filter2D(image, -1, kernel / kernel.sum(), borderType=cv2.BORDER_REPLICATE)

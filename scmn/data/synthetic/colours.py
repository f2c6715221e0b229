"""Harmonious colours: ramps in OKLCH, in which equal steps look equal.

The conversion is from Ottosson, "A perceptual color space for image processing" (2020).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

_OKLAB_TO_LMS = np.array(
    [
        [1.0, 0.3963377774, 0.2158037573],
        [1.0, -0.1055613458, -0.0638541728],
        [1.0, -0.0894841775, -1.2914855480],
    ]
)
_LMS_TO_LINEAR_RGB = np.array(
    [
        [4.0767416621, -3.3077115913, 0.2309699292],
        [-1.2684380046, 2.6097574011, -0.3413193965],
        [-0.0041960863, -0.7034186147, 1.7076147010],
    ]
)
_WARM_HUE = 80.0  # lit tones are warmer than shadows


def oklch_to_rgb(lightness: np.ndarray, chroma: np.ndarray, hue: np.ndarray) -> np.ndarray:
    """Convert OKLCH (lightness 0..1, chroma 0..0.4, hue in degrees) to sRGB, uint8 (..., 3).

    Colours outside sRGB are clipped.
    """
    angle = np.deg2rad(hue)
    lab = np.stack(
        np.broadcast_arrays(lightness, chroma * np.cos(angle), chroma * np.sin(angle)), axis=-1
    )
    linear = np.clip((lab @ _OKLAB_TO_LMS.T) ** 3 @ _LMS_TO_LINEAR_RGB.T, 0.0, 1.0)
    encoded = np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * linear ** (1 / 2.4) - 0.055)
    return np.round(encoded * 255).astype(np.uint8)


def ramp(
    lightness: tuple[float, float], chroma: float, hue: float, *, hue_shift: float = 25.0
) -> np.ndarray:
    """Return a ramp from dark to light, uint8 (256, 3) RGB.

    The hue turns by ``hue_shift`` degrees towards warm light, and the chroma is highest in the
    middle tones, as in paintings.
    """
    step = np.linspace(0.0, 1.0, 256)
    towards_warm = np.sign((_WARM_HUE - hue + 180.0) % 360.0 - 180.0)
    hues = hue + towards_warm * hue_shift * (step - 0.5)
    chromas = chroma * (0.6 + 0.4 * np.sin(np.pi * np.clip(step * 0.9 + 0.1, 0.0, 1.0)))
    return oklch_to_rgb(lightness[0] + (lightness[1] - lightness[0]) * step, chromas, hues)


@dataclass(frozen=True)
class Palette:
    """The colours of one scene: a muted background, and hues for the objects in front of it."""

    hue: float
    """Leading hue of the background, degrees."""
    key: tuple[float, float]
    """Lightness range of the background."""
    chroma: float
    hue_spread: float
    accents: tuple[float, ...]
    """Hues of the objects, in the order of the cast."""

    def background_ramp(self, rng: np.random.Generator, *, contrast: float = 1.0) -> np.ndarray:
        """Draw a ramp for the background, uint8 (256, 3); ``contrast`` scales its range."""
        middle = rng.uniform(*self.key)
        half = 0.5 * contrast * (self.key[1] - self.key[0])
        low, high = np.clip([middle - half, middle + half], 0.08, 0.97)
        hue = self.hue + self.hue_spread * rng.uniform(-1.0, 1.0)
        return ramp((float(low), float(high)), self.chroma * rng.uniform(0.5, 1.3), hue)

    def object_ramps(self, rng: np.random.Generator, index: int) -> tuple[np.ndarray, np.ndarray]:
        """Draw the main and the second ramp of the ``index``-th object, uint8 (256, 3) each."""
        hue = self.accents[index % len(self.accents)] + rng.uniform(-14.0, 14.0)
        middle = rng.uniform(0.45, 0.8)
        chroma = rng.uniform(0.07, 0.19)
        main = ramp((middle - 0.24, min(middle + 0.2, 0.95)), chroma, hue)
        if rng.random() < 0.35:  # near-white or near-black markings, as on animals and vehicles
            level = 0.82 if rng.random() < 0.6 else 0.2
            return main, ramp((level - 0.14, level + 0.12), rng.uniform(0.01, 0.04), hue)
        second_hue = hue + rng.choice([-1.0, 1.0]) * rng.uniform(30.0, 150.0)
        away = rng.uniform(0.16, 0.3) * (1.0 if middle < 0.6 else -1.0)
        second = ramp((middle + away - 0.2, middle + away + 0.16), chroma * 0.9, second_hue)
        return main, second

    def camouflage_ramps(self, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        """Draw two ramps in the colours of the background."""
        return self.background_ramp(rng, contrast=0.8), self.background_ramp(rng, contrast=0.8)


def draw_palette(rng: np.random.Generator) -> Palette:
    """Draw a palette by one of the classical colour schemes."""
    hue = float(rng.uniform(0.0, 360.0))
    schemes = (
        (180.0, 30.0, 210.0, -30.0),  # complementary
        (120.0, 240.0, 90.0, 270.0),  # triadic
        (150.0, 210.0, 180.0, 60.0),  # split complementary
        (45.0, -45.0, 90.0, 180.0),  # analogous, with one opposite
    )
    offsets = np.array(schemes[int(rng.integers(len(schemes)))])
    keys = ((0.68, 0.97), (0.2, 0.5), (0.4, 0.74), (0.54, 0.88))
    return Palette(
        hue=hue,
        key=keys[int(rng.integers(len(keys)))],
        chroma=float(rng.uniform(0.03, 0.11)),
        hue_spread=float(rng.uniform(10.0, 45.0)),
        accents=tuple(float(hue + offset) for offset in rng.permutation(offsets)),
    )

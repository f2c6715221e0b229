"""Surfaces: multi-octave noise, and patterns (stripes, spots, cells, ...) coloured by two ramps."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache

import cv2
import numpy as np

_PLATE_SIZE = 512
_OCTAVES = 6


@cache
def _plate() -> np.ndarray:
    """Return the white noise from which every texture cuts its octaves, float32 in [-1, 1].

    It is read at random offsets, as fresh random numbers would cost more than everything else.
    """
    plate = np.random.default_rng(2019).uniform(-1, 1, (_PLATE_SIZE, _PLATE_SIZE))
    plate = plate.astype(np.float32)
    plate.setflags(write=False)
    return plate


def noise(
    rng: np.random.Generator,
    size: tuple[int, int],
    *,
    cells: float,
    gain: float = 0.5,
    octaves: int = _OCTAVES,
    stretch: float = 1.0,
) -> np.ndarray:
    """Return smooth noise of several octaves, float32 (H, W), mean about 0, deviation 1.

    ``cells`` is the number of features of the coarsest octave along the height; each further
    octave has twice as many and ``gain`` times the amplitude. ``stretch`` > 1 elongates the
    features along the width. Another size changes only the resolution.
    """
    height, width = size
    offsets = rng.integers(0, _PLATE_SIZE, (octaves, 2))
    total: np.ndarray | None = None
    for octave in range(octaves):
        rows = cells * 2**octave
        columns = rows * width / height / stretch
        if octave and (rows > height or rows > _PLATE_SIZE or columns > _PLATE_SIZE):
            break
        grid = _cut(offsets[octave], max(2, round(rows)), max(2, round(columns)))
        if total is None:
            total = grid
        else:  # only the last octave is added at full resolution
            total = cv2.resize(total, grid.shape[::-1], interpolation=cv2.INTER_CUBIC)
            total += gain**octave * grid
    assert total is not None
    total = cv2.resize(total, (width, height), interpolation=cv2.INTER_CUBIC)
    mean, deviation = cv2.meanStdDev(total)
    return (total - np.float32(mean[0, 0])) / np.float32(deviation[0, 0] + 1e-6)


def _cut(offset: np.ndarray, rows: int, columns: int) -> np.ndarray:
    vertical = (offset[0] + np.arange(min(rows, _PLATE_SIZE))) % _PLATE_SIZE
    horizontal = (offset[1] + np.arange(min(columns, _PLATE_SIZE))) % _PLATE_SIZE
    return _plate()[np.ix_(vertical, horizontal)]


def plane(size: tuple[int, int]) -> tuple[np.ndarray, np.ndarray]:
    """Return x (1, W) and y (H, 1), float32, with y in [-1, 1] and the same unit along x."""
    height, width = size
    y = ((np.arange(height, dtype=np.float32) + 0.5) * 2 - height) / height
    x = ((np.arange(width, dtype=np.float32) + 0.5) * 2 - width) / height
    return x[None], y[:, None]


def soft_step(field: np.ndarray, *, sharpness: float) -> np.ndarray:
    """Return 0 below zero and 1 above with a ramp of ``1 / sharpness`` between, float32."""
    return np.clip(field * np.float32(sharpness) + np.float32(0.5), 0.0, 1.0)


def colour(field: np.ndarray, ramp: np.ndarray) -> np.ndarray:
    """Map a field in [0, 1], (H, W), through a ramp (256, 3): float32 (H, W, 3) in 0..255."""
    index = np.clip(field * 255, 0, 255).astype(np.uint8)
    table = ramp.astype(np.float32)[:, None]
    return cv2.LUT(cv2.merge([index, index, index]), table)


@dataclass(frozen=True)
class Surface:
    """Pattern, scale and colours of a surface, which look-alikes share."""

    pattern: str
    cells: float
    """Repeats of the pattern along the height of the sheet."""
    angle: float
    warp: float
    second_share: float
    roughness: float
    """Strength of the light and dark speckles, as a fraction of the colour."""
    mottle: float
    """Strength of the slow change of tone, as a fraction of the ramp."""
    main: np.ndarray
    second: np.ndarray

    def draw(self, rng: np.random.Generator, size: tuple[int, int]) -> np.ndarray:
        """Draw one sheet of the surface, uint8 (H, W, 3)."""
        tone = np.float32(self.mottle) * noise(rng, size, cells=1.5, gain=0.45)
        detail = noise(rng, size, cells=12.0, gain=0.8, octaves=5)
        pattern = PATTERNS[self.pattern](self, rng, size)
        main = colour(0.5 + tone, self.main)
        second = colour(0.5 - tone, self.second)
        mixed = cv2.blendLinear(second, main, pattern, 1 - pattern)
        speckled = mixed * (1 + np.float32(self.roughness) * detail)[..., None]
        return np.clip(speckled, 0, 255).astype(np.uint8)


def draw_surface(rng: np.random.Generator, ramps: tuple[np.ndarray, np.ndarray]) -> Surface:
    """Draw the style of a surface in two colour ramps, uint8 (256, 3) each."""
    return Surface(
        pattern=str(rng.choice(list(PATTERNS))),
        cells=float(rng.uniform(4.0, 9.0)),
        angle=float(rng.uniform(0.0, np.pi)),
        warp=float(rng.uniform(0.0, 0.14)),
        second_share=float(rng.uniform(0.3, 0.6)),
        roughness=float(rng.choice([0.015, 0.05, 0.1])),
        mottle=float(rng.uniform(0.03, 0.16)),
        main=ramps[0],
        second=ramps[1],
    )


def _turned(surface: Surface, size: tuple[int, int]) -> tuple[np.ndarray, np.ndarray]:
    """Return the coordinates along and across the surface's angle, float32 (H, W) each."""
    x, y = plane(size)
    cosine, sine = np.float32(np.cos(surface.angle)), np.float32(np.sin(surface.angle))
    return cosine * x + sine * y, -sine * x + cosine * y


def _along(surface: Surface, rng: np.random.Generator, size: tuple[int, int]) -> np.ndarray:
    """Return a warped coordinate along the surface's angle; one unit is one repeat."""
    along, _ = _turned(surface, size)
    bent = along + np.float32(surface.warp) * noise(rng, size, cells=2.0, octaves=3)
    return bent * np.float32(surface.cells / 2)


def _wave(phase: np.ndarray) -> np.ndarray:
    """Return a triangle wave of period 1 in [-1, 1]."""
    return np.abs((phase - np.floor(phase)) * 4 - 2) - 1


def _bands(surface: Surface, wave: np.ndarray) -> np.ndarray:
    """Return the second colour's bands where a wave in [-1, 1] is high."""
    level = np.float32(1 - 2 * surface.second_share)
    return soft_step(wave - level, sharpness=wave.shape[0] / surface.cells / 4)


def _stripes(surface: Surface, rng: np.random.Generator, size: tuple[int, int]) -> np.ndarray:
    return _bands(surface, _wave(_along(surface, rng, size)))


def _checks(surface: Surface, rng: np.random.Generator, size: tuple[int, int]) -> np.ndarray:
    first = _wave(_along(surface, rng, size))
    _, across = _turned(surface, size)
    second = _wave(across * np.float32(surface.cells / 2))
    sharpness = size[0] / surface.cells / 4
    # Half-tones where only one band covers the pixel, as in woven cloth.
    return 0.5 * (soft_step(first, sharpness=sharpness) + soft_step(second, sharpness=sharpness))


def _patches(surface: Surface, rng: np.random.Generator, size: tuple[int, int]) -> np.ndarray:
    field = noise(rng, size, cells=surface.cells * 0.5, octaves=4, gain=0.35)
    return soft_step(field - np.float32(0.5 - surface.second_share), sharpness=size[0] / 24)


def _marble(surface: Surface, rng: np.random.Generator, size: tuple[int, int]) -> np.ndarray:
    bend = noise(rng, size, cells=2.0, gain=0.55)
    return 0.5 + 0.5 * np.sin(4 * _along(surface, rng, size) + 2.2 * bend)


def _rings(surface: Surface, rng: np.random.Generator, size: tuple[int, int]) -> np.ndarray:
    x, y = plane(size)
    centre = rng.uniform(-0.5, 0.5, 2).astype(np.float32)
    radius = np.hypot(x - centre[0], y - centre[1])
    radius += np.float32(0.6 * surface.warp) * noise(rng, size, cells=2.0, octaves=3)
    return _bands(surface, _wave(radius * np.float32(surface.cells / 2)))


def _scattered(
    surface: Surface, rng: np.random.Generator, size: tuple[int, int]
) -> tuple[np.ndarray, np.ndarray]:
    """Return the distance to the nearest point of a jittered grid (in grid steps) and its index."""
    height, width = size
    rows = max(2, round(surface.cells))
    columns = max(2, round(surface.cells * width / height))
    row, column = np.mgrid[0:rows, 0:columns]
    jitter = rng.uniform(0.12, 0.88, (2, rows, columns))
    step = height / rows
    points = np.full(size, 255, np.uint8)
    ys = np.clip((row + jitter[0]) * step, 0, height - 1).astype(int)
    xs = np.clip((column + jitter[1]) * width / columns, 0, width - 1).astype(int)
    points[ys, xs] = 0
    distance, nearest = cv2.distanceTransformWithLabels(
        points, cv2.DIST_L2, cv2.DIST_MASK_5, labelType=cv2.DIST_LABEL_PIXEL
    )
    return distance / np.float32(step), nearest


def _spots(surface: Surface, rng: np.random.Generator, size: tuple[int, int]) -> np.ndarray:
    distance, nearest = _scattered(surface, rng, size)
    radii = rng.uniform(0.18, 0.42, int(nearest.max()) + 1).astype(np.float32)
    return soft_step(radii[nearest] - distance, sharpness=size[0] / surface.cells / 1.5)


def _cells(surface: Surface, rng: np.random.Generator, size: tuple[int, int]) -> np.ndarray:
    _, nearest = _scattered(surface, rng, size)
    shades = rng.random(int(nearest.max()) + 1).astype(np.float32)
    shades[shades < 0.3] = 0.0
    # Cells are not antialiased: a blur of one or two pixels softens their seams.
    return cv2.GaussianBlur(shades[nearest], (0, 0), max(0.6, size[0] / 250))


def _fur(surface: Surface, rng: np.random.Generator, size: tuple[int, int]) -> np.ndarray:
    strands = noise(rng, size, cells=surface.cells * 4, stretch=7.0, octaves=3, gain=0.7)
    patches = noise(rng, size, cells=2.0, octaves=3)
    return np.clip(0.4 + 0.22 * strands + 0.25 * patches, 0.0, 1.0)


def _scales(surface: Surface, rng: np.random.Generator, size: tuple[int, int]) -> np.ndarray:
    x, y = plane(size)
    row = y * np.float32(surface.cells / 2)
    shifted = x * np.float32(surface.cells / 2) + 0.5 * (np.floor(row) % 2)
    within = np.hypot(_wave(shifted) * 0.5 + 0.5, row - np.floor(row))
    shade = np.clip(within, 0.0, 1.0) ** 2
    return np.clip(shade + 0.08 * noise(rng, size, cells=3.0, octaves=4), 0.0, 1.0)


def _gradient(surface: Surface, rng: np.random.Generator, size: tuple[int, int]) -> np.ndarray:
    along, _ = _turned(surface, size)
    return np.clip(0.5 + 0.6 * along + 0.1 * noise(rng, size, cells=3.0), 0.0, 1.0)


Pattern = Callable[[Surface, np.random.Generator, tuple[int, int]], np.ndarray]

PATTERNS: dict[str, Pattern] = {
    "stripes": _stripes,
    "checks": _checks,
    "patches": _patches,
    "marble": _marble,
    "rings": _rings,
    "spots": _spots,
    "cells": _cells,
    "fur": _fur,
    "scales": _scales,
    "gradient": _gradient,
}
"""By name: the fraction of the second colour, float32 (H, W) in [0, 1]."""

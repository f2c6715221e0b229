"""What the user marks with a tool, as a bool mask (H, W) or a box.

Points are (x, y) in pixels of the frame; they may lie outside it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeAlias

import cv2
import numpy as np

from scmn.data.boxes import Box
from scmn.errors import InputError

Point: TypeAlias = tuple[float, float]

SMALLEST_RADIUS = 0.75
"""Of a brush, in pixels: a smaller one could pass between their centres."""
_SHIFT = 4
"""Fractional bits of coordinates."""


def stroke(size: tuple[int, int], points: Sequence[Point], diameter: float) -> np.ndarray:
    """Return what a round brush covers on its way through the points."""
    marked = np.zeros(size, bool)
    radius = max(diameter / 2, SMALLEST_RADIUS)
    path = np.asarray(points, np.float64)
    # The last point is a segment of its own, so that a path may be a single point.
    for start, end in zip(path, [*path[1:], path[-1]], strict=True):
        low = np.floor(np.minimum(start, end) - radius).astype(int).clip(min=0)
        high = np.ceil(np.maximum(start, end) + radius).astype(int).clip(min=0)
        window = marked[low[1] : high[1], low[0] : high[0]]
        if window.size:
            rows, columns = np.mgrid[: window.shape[0], : window.shape[1]]
            centres = np.stack([columns, rows], axis=-1) + low + 0.5
            window |= _distance(centres, start, end) <= radius
    return marked


def _distance(points: np.ndarray, start: np.ndarray, end: np.ndarray) -> np.ndarray:
    """Return the distance of points (..., 2) from a segment."""
    along = end - start
    length = float(along @ along)
    share = (
        ((points - start) @ along / length).clip(0, 1) if length else np.zeros(points.shape[:-1])
    )
    return np.asarray(np.linalg.norm(points - start - share[..., None] * along, axis=-1))


def polygon(size: tuple[int, int], points: Sequence[Point]) -> np.ndarray:
    """Return the inside of a polygon; InputError if it has fewer than three corners."""
    if len(points) < 3:
        raise InputError(f"a polygon needs at least 3 corners, not {len(points)}")
    canvas = np.zeros(size, np.uint8)
    # OpenCV counts from the centre of a pixel, the page from its corner.
    fixed = np.round((np.asarray(points, np.float64) - 0.5) * 2**_SHIFT).astype(np.int32)
    cv2.fillPoly(canvas, [fixed], 1, shift=_SHIFT)
    return canvas.astype(bool)


def box(size: tuple[int, int], corner: Point, opposite: Point) -> Box:
    """Return the part of a box that is inside the frame, from two opposite corners.

    Raises:
        InputError: nothing is left of it.
    """
    height, width = size
    left, right = sorted(min(max(round(x), 0), width) for x in (corner[0], opposite[0]))
    top, bottom = sorted(min(max(round(y), 0), height) for y in (corner[1], opposite[1]))
    if right == left or bottom == top:
        raise InputError("the box is empty: drag it from one corner to the opposite one")
    return left, top, right - left, bottom - top

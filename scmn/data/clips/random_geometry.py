"""Random geometry of training clips: affine motion, the crop, flips, splines and perspective.

Bookstein, "Principal Warps: Thin-Plate Splines and the Decomposition of Deformations" (1989).
Splines and perspective are evaluated on a coarse grid that OpenCV upsamples. The spline's control
points form a fixed 4x4 grid, so its system is solved once: 0.1 ms a frame where a dense evaluation
takes 50.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cache
from typing import Annotated

import cv2
import numpy as np
from pydantic import Field

from scmn.settings import Positive, Range, settings

_CROP_TRIES = 10
_CONTROL_POINTS = 4
"""Along each side."""
_CELL = 16
"""Pixels of the crop between evaluated points: far finer than the control points."""


@settings(frozen=True)
class AffineRange:
    """Ranges of a random affine map about a centre."""

    rotation: Annotated[float, Field(ge=0, le=180)] = 0.0
    """Largest rotation in either direction, degrees."""
    shear: Annotated[float, Field(ge=0, lt=90)] = 0.0
    """Largest shear along x in either direction, degrees."""
    scale: Range[Positive] = (1.0, 1.0)
    """Smallest and largest factor."""

    def draw(self, rng: np.random.Generator) -> np.ndarray:
        """Draw a linear map, (2, 2): first shear, then rotation and scale."""
        angle = math.radians(rng.uniform(-self.rotation, self.rotation))
        shear = math.tan(math.radians(rng.uniform(-self.shear, self.shear)))
        rotation = [[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]]
        return rng.uniform(*self.scale) * np.array(rotation) @ [[1.0, shear], [0.0, 1.0]]


def draw_flip(probability: float, rng: np.random.Generator) -> np.ndarray:
    """Return (2, 2): a horizontal flip with the given probability, else the identity."""
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
    """Draw a box of random area and aspect ratio (as torchvision's ``RandomResizedCrop``).

    ``area`` is a share of the source's area; ``aspect`` (width / height, drawn on a log scale) is
    relative to ``crop_aspect``, the aspect ratio of the crop to which the box is resized. If 10
    draws do not fit, the box is the largest centred one with the aspect ratio of the crop.
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


def random_spline(size: tuple[int, int], *, scale: float, rng: np.random.Generator) -> np.ndarray:
    """Draw a thin-plate spline's displacement of a crop of ``size`` (H, W).

    The displacements of the control points are normally distributed with a standard deviation of
    ``scale`` times the crop's side.

    Returns:
        float32 (h, w, 2), pixels (x, y); each entry is the displacement at the centre of a
        cell of about 16 x 16 pixels.
    """
    height, width = size
    grid = _grid(size)
    moves = rng.normal(0.0, scale, (_CONTROL_POINTS**2, 2))
    field = (_spline_basis(grid) @ moves).reshape(*grid, 2)
    return (field * [width, height]).astype(np.float32)


def random_perspective(
    size: tuple[int, int], *, shift: float, rng: np.random.Generator
) -> np.ndarray:
    """Draw a change of perspective that moves each corner of the crop by up to ``shift`` sides.

    Returns:
        As :func:`random_spline`.
    """
    height, width = size
    corners = np.array([[0, 0], [width, 0], [width, height], [0, height]], np.float32)
    moved = corners + rng.uniform(-shift, shift, (4, 2)) * [width, height]
    transform = cv2.getPerspectiveTransform(corners, moved.astype(np.float32))
    centres = _cell_centres(_grid(size)) * [width, height]
    displaced = cv2.perspectiveTransform(centres.reshape(1, -1, 2), transform)
    return (displaced.reshape(centres.shape) - centres).astype(np.float32)


def _grid(size: tuple[int, int]) -> tuple[int, int]:
    return -(-size[0] // _CELL), -(-size[1] // _CELL)


def _cell_centres(grid: tuple[int, int]) -> np.ndarray:
    """Return (h, w, 2): positions (x, y) as shares of the crop's sides."""
    rows, columns = ((np.arange(cells) + 0.5) / cells for cells in grid)
    return np.stack(np.meshgrid(columns, rows), axis=-1)


@cache
def _spline_basis(grid: tuple[int, int]) -> np.ndarray:
    """Return (h * w, 16): displacement at each cell's centre for a unit move of each control point.

    The spline interpolates moves v at points p by sum_i a_i U(|x - p_i|) + b . (1, x), where
    [[U, P], [P^T, 0]] (a, b) = (v, 0).
    """
    side = np.linspace(0, 1, _CONTROL_POINTS)
    points = np.stack(np.meshgrid(side, side), axis=-1).reshape(-1, 2)
    count = len(points)
    system = np.zeros((count + 3, count + 3))
    system[:count] = _terms(points, points)
    system[count:, :count] = system[:count, count:].T
    coefficients = np.linalg.solve(system, np.eye(count + 3, count))
    basis = _terms(_cell_centres(grid).reshape(-1, 2), points) @ coefficients
    basis.setflags(write=False)
    return basis


def _terms(places: np.ndarray, points: np.ndarray) -> np.ndarray:
    """Return (len(places), len(points) + 3): the radial terms U(r) = r^2 log r, and 1, x, y."""
    squared = ((places[:, None] - points[None]) ** 2).sum(axis=-1)
    radial = 0.5 * squared * np.log(np.where(squared > 0, squared, 1.0))
    return np.column_stack([radial, np.ones(len(places)), places])

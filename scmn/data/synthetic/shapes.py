"""Silhouettes: free-form outlines drawn as masks, and their distance and relief.

A silhouette is drawn on a square sheet; local coordinates run from -1 to 1 over it, y downwards.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import cv2
import numpy as np

_DRAWN = 256  # pixels of the sheet on which outlines are drawn, whatever the final size
_REACH = 0.82  # furthest point of a silhouette; the rest of the sheet is room for bending
_SUBPIXEL_BITS = 4

DISTANCE_STEPS = 8.0
"""Grey levels per pixel of the distance that ``make_form`` returns."""
ON_EDGE = 128
"""Grey level of the outline itself."""


@dataclass(frozen=True)
class Silhouette:
    """An outline and its marks: the eye of an animal or the wheels of a car."""

    mask: np.ndarray
    """uint8 (256, 256), 0 or 255, one connected region."""
    marks: np.ndarray
    """(K, 3): x, y, radius in local coordinates."""


class _Canvas:
    """A mask that outlines are added to and cut from, in local coordinates."""

    def __init__(self) -> None:
        self.mask = np.zeros((_DRAWN, _DRAWN), np.uint8)
        self.marks: list[tuple[float, float, float]] = []

    def polygon(self, points: np.ndarray, *, value: int = 255) -> None:
        """Fill a polygon (K, 2) of x, y; ``value`` 0 cuts it out."""
        cv2.fillPoly(self.mask, [_fixed(points)], value, shift=_SUBPIXEL_BITS)

    def limb(self, points: np.ndarray, radii: np.ndarray) -> None:
        """Add a tube along the points (K, 2) with one radius each."""
        smooth = _spline(np.column_stack([points, radii]), count=10 * len(points))
        for x, y, radius in smooth:
            centre = _fixed(np.array([[x, y]]))[0]
            size = round(max(radius, 0.012) * _DRAWN / 2 * 2**_SUBPIXEL_BITS)
            cv2.circle(self.mask, centre.tolist(), size, 255, -1, shift=_SUBPIXEL_BITS)


def _fixed(points: np.ndarray) -> np.ndarray:
    pixels = (np.asarray(points, dtype=np.float64) + 1) * (_DRAWN / 2) - 0.5
    return np.round(pixels * 2**_SUBPIXEL_BITS).astype(np.int32)


def _spline(points: np.ndarray, *, count: int) -> np.ndarray:
    """Return ``count`` points of the Catmull-Rom spline through the points (K, D)."""
    padded = np.concatenate([2 * points[:1] - points[1:2], points, 2 * points[-1:] - points[-2:-1]])
    place = np.linspace(0, len(points) - 1, count)
    start = np.minimum(place.astype(int), len(points) - 2)
    s = (place - start)[:, None]
    p0, p1, p2, p3 = (padded[start + k] for k in range(4))
    cubic = (-p0 + 3 * p1 - 3 * p2 + p3) * s**3 + (2 * p0 - 5 * p1 + 4 * p2 - p3) * s**2
    return 0.5 * (cubic + (p2 - p0) * s + 2 * p1)


def _polar(radius: Callable[[np.ndarray], np.ndarray]) -> np.ndarray:
    angle = np.linspace(0, 2 * np.pi, 180, endpoint=False)
    return radius(angle)[:, None] * np.column_stack([np.cos(angle), np.sin(angle)])


def _fourier(rng: np.random.Generator, *, roughness: float, waves: Sequence[int]) -> np.ndarray:
    amplitudes = rng.normal(0, roughness, len(waves)) / np.asarray(waves)
    phases = rng.uniform(0, 2 * np.pi, len(waves))

    def radius(angle: np.ndarray) -> np.ndarray:
        bumps = np.cos(np.multiply.outer(angle, np.asarray(waves)) + phases) @ amplitudes
        return np.asarray(np.maximum(1 + bumps, 0.25))

    return _polar(radius)


def _blob(canvas: _Canvas, rng: np.random.Generator) -> None:
    canvas.polygon(0.5 * _fourier(rng, roughness=0.55, waves=(2, 3, 4, 5, 6)))


def _flower(canvas: _Canvas, rng: np.random.Generator) -> None:
    petals, depth = int(rng.integers(4, 9)), rng.uniform(0.12, 0.32)
    turn = rng.uniform(0, 2 * np.pi)
    canvas.polygon(_polar(lambda angle: 0.6 * (1 + depth * np.cos(petals * angle + turn))))


def _ring(canvas: _Canvas, rng: np.random.Generator) -> None:
    outline = 0.65 * _fourier(rng, roughness=0.25, waves=(2, 3, 4))
    canvas.polygon(outline)
    canvas.polygon(outline * rng.uniform(0.35, 0.55) + rng.uniform(-0.06, 0.06, 2), value=0)


def _crescent(canvas: _Canvas, rng: np.random.Generator) -> None:
    arc = np.linspace(-1, 1, 7) * rng.uniform(1.2, 2.1)
    centre_line = 0.55 * np.column_stack([np.cos(arc), np.sin(arc)])
    canvas.limb(centre_line, rng.uniform(0.17, 0.25) * np.cos(np.linspace(-1.15, 1.15, 7)))


def _fish(canvas: _Canvas, rng: np.random.Generator) -> None:
    along = np.linspace(-0.62, 0.45, 7)
    depth = rng.uniform(0.2, 0.36)
    profile = depth * np.array([0.45, 0.85, 1.0, 0.95, 0.75, 0.45, 0.2])
    canvas.limb(np.column_stack([along, np.zeros(7)]), profile)
    canvas.marks.append((-0.56, -0.22 * depth, 0.2 * depth))
    tail = rng.uniform(0.2, 0.36)
    canvas.polygon(np.array([[0.36, 0.0], [0.8, -tail], [0.68, 0.0], [0.8, tail]]))
    fin = rng.uniform(0.08, 0.24)
    canvas.polygon(
        np.array([[-0.3, -depth * 0.7], [-0.05, -depth - fin], [0.22, -depth - fin], [0.2, 0.0]])
    )
    canvas.polygon(np.array([[-0.12, depth * 0.6], [0.12, depth + fin * 0.8], [0.14, 0.0]]))


def _quadruped(canvas: _Canvas, rng: np.random.Generator) -> None:
    body, leg = rng.uniform(0.17, 0.25), rng.uniform(0.055, 0.085)
    back = rng.uniform(-0.05, 0.05)
    canvas.limb(
        np.array([[-0.38, 0.0], [0.0, back], [0.36, 0.02]]), body * np.array([1.0, 0.92, 1.0])
    )
    foot = rng.uniform(0.45, 0.66)
    for hip in (-0.42, -0.24, 0.25, 0.42):
        swing = rng.uniform(-0.12, 0.12)
        knee = [hip + swing * 0.2, 0.5 * foot]
        canvas.limb(np.array([[hip, 0.1], knee, [hip + swing, foot]]), np.array([1.35, 1, 1]) * leg)
    rise = rng.uniform(0.2, 0.5)
    head = np.array([-0.62, -rise])
    neck = np.array([[-0.38, -0.05], [-0.52, -rise * 0.6], head])
    canvas.limb(neck, np.array([0.16, 0.12, 0.15]))
    canvas.marks.append((head[0] - 0.02, head[1] - 0.02, 0.045))
    canvas.limb(head + np.array([[0.0, 0.0], [-0.14, 0.05]]), np.array([0.13, 0.08]))
    canvas.limb(head + np.array([[0.0, 0.0], [0.08, -0.2]]), np.array([0.06, 0.03]))
    lift = rng.uniform(-0.35, 0.25)
    canvas.limb(np.array([[0.45, -0.05], [0.62, lift * 0.5], [0.74, lift]]), np.full(3, 0.05))


def _bird(canvas: _Canvas, rng: np.random.Generator) -> None:
    canvas.limb(
        np.array([[-0.42, -0.12], [-0.05, 0.04], [0.4, 0.1], [0.75, 0.02]]),
        np.array([0.14, 0.25, 0.15, 0.07]),
    )
    canvas.limb(np.array([[-0.44, -0.2], [-0.5, -0.28]]), np.array([0.14, 0.15]))
    canvas.marks.append((-0.53, -0.3, 0.045))
    canvas.polygon(np.array([[-0.6, -0.36], [-0.82, -0.24], [-0.58, -0.18]]))
    span, sweep = rng.uniform(0.5, 0.78), rng.uniform(0.1, 0.5)
    wing = np.array([[-0.2, 0.0], [0.05, -span * 0.6], [sweep, -span]])
    canvas.limb(wing, np.array([0.17, 0.14, 0.05]))


def _car(canvas: _Canvas, rng: np.random.Generator) -> None:
    roof = rng.uniform(0.3, 0.48)
    front, rear = rng.uniform(-0.45, -0.2), rng.uniform(0.25, 0.6)
    nose = [[-0.78, 0.22], [-0.78, -0.02], [front - 0.14, -0.08], [front, -roof]]
    tail = [[rear, -roof], [rear + 0.12, -0.08], [0.78, 0.0], [0.78, 0.22]]
    canvas.polygon(np.array([*nose, *tail]))
    for wheel in (-0.46, 0.46):
        canvas.limb(np.array([[wheel, 0.22], [wheel + 0.01, 0.22]]), np.full(2, 0.16))
        canvas.marks.append((wheel, 0.22, 0.15))


def _sprawler(canvas: _Canvas, rng: np.random.Generator) -> None:
    canvas.polygon(0.32 * _fourier(rng, roughness=0.3, waves=(2, 3)))
    arms = int(rng.integers(3, 7))
    first = rng.uniform(0, 2 * np.pi)
    for angle in first + 2 * np.pi * (np.arange(arms) + rng.uniform(-0.2, 0.2, arms)) / arms:
        bend, reach = rng.uniform(-0.8, 0.8), rng.uniform(0.6, 0.8)
        joints = np.array([[0.15, angle], [reach * 0.6, angle + bend * 0.3], [reach, angle + bend]])
        points = joints[:, :1] * np.column_stack([np.cos(joints[:, 1]), np.sin(joints[:, 1])])
        canvas.limb(points, np.array([0.15, 0.1, 0.07]) * rng.uniform(0.8, 1.2))


def _figure(canvas: _Canvas, rng: np.random.Generator) -> None:
    lean, wide = rng.uniform(-0.08, 0.08), rng.uniform(0.1, 0.16)
    canvas.limb(np.array([[lean, -0.32], [0.0, 0.08]]), wide * np.array([1.15, 1.0]))
    head = [lean * 1.8, -0.62]
    canvas.limb(np.array([head, [head[0] + 0.01, -0.6]]), np.full(2, rng.uniform(0.13, 0.17)))
    for side in (-1, 1):
        hand = [lean + side * rng.uniform(0.2, 0.5), rng.uniform(-0.55, 0.2)]
        elbow = [lean + side * rng.uniform(0.25, 0.4), rng.uniform(-0.25, -0.1)]
        canvas.limb(np.array([[lean, -0.36], elbow, hand]), np.array([0.1, 0.075, 0.06]))
        foot = [side * rng.uniform(0.08, 0.36), rng.uniform(0.66, 0.76)]
        knee = [side * rng.uniform(0.1, 0.24), 0.38]
        canvas.limb(np.array([[0.0, 0.08], knee, foot]), np.array([0.13, 0.095, 0.075]))


OUTLINES: dict[str, Callable[[_Canvas, np.random.Generator], None]] = {
    "blob": _blob,
    "flower": _flower,
    "ring": _ring,
    "crescent": _crescent,
    "fish": _fish,
    "quadruped": _quadruped,
    "bird": _bird,
    "car": _car,
    "sprawler": _sprawler,
    "figure": _figure,
}
RIGID = frozenset({"car"})
"""Outlines of objects that turn and grow but do not bend."""
UPRIGHT = frozenset({"car", "quadruped", "figure", "bird"})
"""Outlines of objects that sway but do not turn over."""


def draw_silhouette(rng: np.random.Generator, outline: str) -> Silhouette:
    """Draw one silhouette with an outline in ``OUTLINES``."""
    canvas = _Canvas()
    OUTLINES[outline](canvas, rng)
    mask, marks = canvas.mask, np.reshape(canvas.marks, (-1, 3))
    if rng.random() < 0.5:
        mask, marks = cv2.flip(mask, 1), marks * [-1.0, 1.0, 1.0]
    return _tidy(Silhouette(mask, marks), rounding=rng.uniform(2.0, 5.0))


def vary_silhouette(
    silhouette: Silhouette, rng: np.random.Generator, *, strength: float = 0.04
) -> Silhouette:
    """Return a look-alike: every point is moved smoothly by about ``strength``."""
    shifts = rng.normal(0, strength * _DRAWN / 2, (4, 4, 2)).astype(np.float32)
    shifts = cv2.resize(shifts, (_DRAWN, _DRAWN), interpolation=cv2.INTER_CUBIC)
    grid = np.arange(_DRAWN, dtype=np.float32)
    map_x, map_y = grid[None] + shifts[..., 0], grid[:, None] + shifts[..., 1]
    warped = cv2.remap(silhouette.mask, map_x, map_y, cv2.INTER_LINEAR)
    # The shift is smooth, so that its value at a mark serves for the inverse as well.
    marks = silhouette.marks.copy()
    column, row = ((marks[:, :2] + 1) * (_DRAWN / 2)).astype(int).T
    marks[:, :2] -= shifts[row, column] * (2 / _DRAWN)
    return _tidy(Silhouette(warped, marks), rounding=1.5)


def _tidy(silhouette: Silhouette, *, rounding: float) -> Silhouette:
    """Round corners and joints, keep the largest region, centre it and fit it to the sheet."""
    soft = cv2.GaussianBlur(silhouette.mask, (0, 0), rounding)
    _, pieces, statistics, _ = cv2.connectedComponentsWithStats((soft > 127).astype(np.uint8))
    largest = 1 + int(np.argmax(statistics[1:, cv2.CC_STAT_AREA]))
    single = np.where((pieces == largest) | (soft < 100), soft, 0).astype(np.uint8)
    rows, columns = np.nonzero(pieces == largest)
    middle = np.array([columns.min() + columns.max(), rows.min() + rows.max()]) / 2
    reach = np.hypot(columns - middle[0], rows - middle[1]).max()
    scale = _REACH * _DRAWN / 2 / reach
    centre = (_DRAWN - 1) / 2
    matrix = np.column_stack([scale * np.eye(2), centre - scale * middle])
    fitted = cv2.warpAffine(single, matrix, (_DRAWN, _DRAWN), flags=cv2.INTER_LINEAR)
    offset = np.array([*(middle + 0.5) * (2 / _DRAWN) - 1, 0.0])
    marks = (silhouette.marks - offset) * scale
    return Silhouette(np.where(fitted > 127, 255, 0).astype(np.uint8), marks)


def make_form(silhouette: Silhouette, size: int) -> tuple[np.ndarray, np.ndarray]:
    """Return what rendering needs of a silhouette, on a sheet of S x S pixels (S is ``size``).

    - Distance, uint8 (S, S): ON_EDGE + DISTANCE_STEPS * (pixels to the outline, positive inside).
    - Normals of the surface, uint8 (S, S, 2): 128 + 127 * x or y.
    """
    # A blur keeps straight outlines where they are and hides the steps of the drawn mask.
    soft = cv2.GaussianBlur(silhouette.mask.astype(np.float32) / 255, (0, 0), 1.6)
    inside = (soft > 0.5).astype(np.uint8)
    distance = cv2.distanceTransform(inside, cv2.DIST_L2, cv2.DIST_MASK_5)
    distance -= cv2.distanceTransform(1 - inside, cv2.DIST_L2, cv2.DIST_MASK_5)
    distance -= np.sign(distance) * np.float32(0.5)
    distance = cv2.GaussianBlur(distance, (0, 0), 1.2)
    pixels = cv2.resize(distance, (size, size), interpolation=cv2.INTER_LINEAR) * (size / _DRAWN)
    steps = np.clip(np.round(pixels * DISTANCE_STEPS + ON_EDGE), 0, 255).astype(np.uint8)
    return steps, _inflate(soft, size)


def _inflate(soft: np.ndarray, size: int) -> np.ndarray:
    """Return the normals of the silhouette blown up like a cushion, uint8 (S, S, 2)."""
    small = cv2.resize(soft, (128, 128), interpolation=cv2.INTER_AREA)
    height = sum((cv2.GaussianBlur(small, (0, 0), sigma) for sigma in (2.0, 5.0, 11.0)), small * 0)
    height = np.sqrt(np.clip(height * small, 0.0, None))
    height = cv2.GaussianBlur(height, (0, 0), 1.6)
    slope = np.dstack([cv2.Sobel(height, cv2.CV_32F, 1, 0), cv2.Sobel(height, cv2.CV_32F, 0, 1)])
    slope *= np.float32(-2.2)
    normals = slope / np.sqrt(1 + (slope**2).sum(axis=2, keepdims=True))
    sheet = cv2.resize(normals, (size, size), interpolation=cv2.INTER_CUBIC)
    return np.clip(np.round(128 + 127 * sheet), 0, 255).astype(np.uint8)

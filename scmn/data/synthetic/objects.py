"""Moving objects: a painted sheet that moves and bends, and how it is drawn into a frame."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import cv2
import numpy as np

from scmn.data.synthetic.motion import Bending, Path
from scmn.data.synthetic.shapes import DISTANCE_STEPS, ON_EDGE, Silhouette, make_form

_CELL = (2, 8)  # range of pixels between the points at which bending is computed
_EDGE = 8.0  # pixels around a silhouette that its soft or blurred edge may cover
_SHADOW_SCALE = 4
_LIFT = 1.08  # surfaces that face the viewer are a little lighter than their colour
_MAX_BLUR = 11.0  # pixels
# Outer and inner colour, and the radius of the inner disc relative to the outer one.
_EYE = ((245, 242, 235), (22, 20, 26), 0.55)
_WHEEL = ((38, 38, 42), (172, 174, 178), 0.5)


@dataclass(frozen=True)
class Light:
    """One distant light source."""

    direction: np.ndarray
    """(2,): towards the light, in the frame; the higher the light, the shorter."""
    contrast: float
    """Difference between the lit and the dark side, as a fraction of the colour."""
    shadow: float
    """Fraction of the light that a shadow takes away."""


@dataclass(frozen=True)
class Sheet:
    """The picture of an object at rest, on a square of S x S pixels."""

    pixels: np.ndarray
    """uint8 (S, S, 4): red, green, blue, and the distance that ``make_form`` returns."""
    normals: np.ndarray
    """uint8 (S, S, 2), as ``make_form`` returns them."""

    @cached_property
    def extent(self) -> np.ndarray:
        """Return the box of the silhouette, (2, 2): lowest and highest x, y in half-widths."""
        rows, columns = np.nonzero(self.pixels[..., 3] > ON_EDGE // 2)
        box = [[columns.min(), rows.min()], [columns.max() + 1, rows.max() + 1]]
        return np.array(box) / self.pixels.shape[0] * 2 - 1


def paint_sheet(colours: np.ndarray, silhouette: Silhouette, *, wheels: bool) -> Sheet:
    """Cut a silhouette out of a surface, uint8 (S, S, 3), with darker edges and its marks.

    The marks are drawn as ``wheels`` or, otherwise, as eyes.
    """
    distance, normals = make_form(silhouette, colours.shape[0])
    inside = np.clip((distance.astype(np.float32) - ON_EDGE) / (255 - ON_EDGE), 0, 1)
    shade = np.float32(0.8) + np.float32(0.2) * np.sqrt(inside)
    shaded = np.clip(colours * shade[..., None], 0, 255).astype(np.uint8)
    outer, inner, scale = _WHEEL if wheels else _EYE
    for mark in silhouette.marks:
        _draw_disc(shaded, mark, 1.0, outer)
        _draw_disc(shaded, mark, scale, inner)
    return Sheet(np.ascontiguousarray(np.dstack([shaded, distance])), normals)


def _draw_disc(
    colours: np.ndarray, mark: np.ndarray, scale: float, rgb: tuple[int, int, int]
) -> None:
    """Draw a mark (x, y, radius in local coordinates), its radius times ``scale``, in place."""
    x, y, radius = mark
    half, fixed = colours.shape[0] / 2, 16
    centre = (round(((x + 1) * half - 0.5) * fixed), round(((y + 1) * half - 0.5) * fixed))
    cv2.circle(colours, centre, round(radius * scale * half * fixed), rgb, -1, cv2.LINE_AA, 4)


@dataclass(frozen=True)
class Footprint:
    """The window of a frame that an object may cover, and the object's sheet as seen there."""

    rows: slice
    columns: slice
    pixels: np.ndarray
    """uint8 (h, w, 4), as ``Sheet.pixels``."""
    magnification: float
    """Frame pixels per sheet pixel."""

    @property
    def support(self) -> np.ndarray:
        """Return the pixels whose centre the object covers, bool (h, w)."""
        return self.pixels[..., 3] >= ON_EDGE

    def coverage(self, softness: float) -> np.ndarray:
        """Return the covered fraction of each pixel, float32 (h, w); ``softness`` is in pixels.

        It is one half where ``support`` begins.
        """
        slope = self.magnification / DISTANCE_STEPS / max(1.0, softness)
        table = np.clip((np.arange(256) - ON_EDGE) * slope + 0.5, 0, 1).astype(np.float32)
        return cv2.LUT(cv2.extractChannel(self.pixels, 3), table)


@dataclass(frozen=True)
class MovingObject:
    """An object of a scene, labelled or not."""

    object_id: int
    """1..254, or 0 for a distractor or occluder."""
    radius: float
    """Half the width of its sheet, units."""
    sheet: Sheet
    path: Path
    bending: Bending
    gloss: float
    """Strength of the highlight, grey levels."""
    height: float
    """Height above the background, units: the length of its shadow."""
    softness: float
    """Width of its out-of-focus edge, units."""

    def footprint(
        self,
        to_frame: np.ndarray,
        time: float,
        size: tuple[int, int],
        *,
        light: Light | None = None,
    ) -> Footprint | None:
        """Locate the object in a frame of ``size`` (H, W); None where it is out of view.

        ``to_frame`` (3, 3) maps the scene to pixels. Without a light the colours are unlit, which
        is enough for label maps.
        """
        to_pixels = to_frame @ self.path.matrix(time) @ np.diag([self.radius, self.radius, 1.0])
        window = self._look_up(to_pixels, time, size)
        if window is None:
            return None
        rows, columns, map_x, map_y = window
        angle = float(np.arctan2(to_pixels[1, 0], to_pixels[0, 0]))
        pixels = self.sheet.pixels if light is None else self._lit(angle, light)
        seen = cv2.remap(pixels, map_x, map_y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_CONSTANT)
        magnification = _radius_of(to_pixels) * 2 / pixels.shape[0]
        return Footprint(rows, columns, seen, magnification)

    def _look_up(
        self, to_pixels: np.ndarray, time: float, size: tuple[int, int]
    ) -> tuple[slice, slice, np.ndarray, np.ndarray] | None:
        """Return the window that the object is in, and the sheet position of each of its pixels.

        Bending is smooth: it is computed at the centres of square cells and interpolated.
        """
        first, last = self._bounds(to_pixels, size)
        if (first >= last).any():
            return None
        radius = _radius_of(to_pixels)
        cell = int(np.clip(radius / 8, *_CELL))
        coarse = self._look_up_cells(to_pixels, time, first, last, cell)
        seen = self._is_near(*coarse, margin=(1.5 * cell + _EDGE) / radius)
        if not seen.any():
            return None
        begin, end = _used_cells(seen)
        start, stop = first + begin * cell, np.minimum(first + end * cell, last)
        if (start >= stop).any():
            return None
        width, height = stop - start
        maps = []
        for positions in coarse:
            part = positions[begin[1] : end[1] + 2, begin[0] : end[0] + 2]
            pixels = ((part + 1) * (self.sheet.pixels.shape[0] / 2) - 0.5).astype(np.float32)
            fine = cv2.resize(pixels, None, fx=cell, fy=cell, interpolation=cv2.INTER_LINEAR)
            maps.append(fine[cell : cell + height, cell : cell + width])
        return slice(start[1], stop[1]), slice(start[0], stop[0]), maps[0], maps[1]

    def _bounds(
        self, to_pixels: np.ndarray, size: tuple[int, int]
    ) -> tuple[np.ndarray, np.ndarray]:
        """Return the first pixel (x, y) of the frame that may be reached, and that after the last.

        A curl keeps the distance to the middle, and waves add no more than their reach.
        """
        furthest = float(np.hypot(*np.abs(self.sheet.extent).max(axis=0)))
        reach = _radius_of(to_pixels) * (furthest + self.bending.reach)
        first = np.maximum(np.floor(to_pixels[:2, 2] - reach), 0).astype(int)
        last = np.minimum(np.ceil(to_pixels[:2, 2] + reach) + 1, size[::-1]).astype(int)
        return first, last

    def _look_up_cells(
        self, to_pixels: np.ndarray, time: float, first: np.ndarray, last: np.ndarray, cell: int
    ) -> tuple[np.ndarray, np.ndarray]:
        """Return the sheet positions x and y of the centres of the cells of a window."""
        counts = -(-(last - first) // cell)
        # One more cell before the first pixel and one after the last, to interpolate between.
        x, y = (
            first[axis] + cell * (np.arange(-1, counts[axis] + 1) + 0.5) - 0.5 for axis in (0, 1)
        )
        back = np.linalg.inv(to_pixels)
        local_x = back[0, 0] * x[None] + back[0, 1] * y[:, None] + back[0, 2]
        local_y = back[1, 0] * x[None] + back[1, 1] * y[:, None] + back[1, 2]
        return self.bending.look_up(local_x, local_y, time)

    def _is_near(self, sheet_x: np.ndarray, sheet_y: np.ndarray, *, margin: float) -> np.ndarray:
        """Whether positions are on the sheet or less than ``margin`` beside it."""
        (left, top), (right, bottom) = self.sheet.extent + np.array([[-margin], [margin]])
        return (sheet_x > left) & (sheet_x < right) & (sheet_y > top) & (sheet_y < bottom)

    def _lit(self, angle: float, light: Light) -> np.ndarray:
        """Return the sheet's pixels under the light when the object is turned by ``angle``."""
        cosine, sine = np.cos(angle), np.sin(angle)
        # The light's direction as the turned sheet sees it.
        x, y = np.array([[cosine, sine], [-sine, cosine]]) @ light.direction * light.contrast
        normal_x, normal_y = cv2.split(self.sheet.normals)
        lit = cv2.addWeighted(normal_x, x, normal_y, y, 128 * (_LIFT - x - y))
        unchanged = np.full_like(lit, 128)  # for the distance
        factors = cv2.merge([lit, lit, lit, unchanged])
        shaded = cv2.multiply(self.sheet.pixels, factors, scale=1 / 128)
        if not self.gloss:
            return shaded
        # Only surfaces that face the light shine.
        facing = np.clip((np.arange(256) - 150) / 50, 0, 1)
        highlight = cv2.LUT(lit, np.round(self.gloss * facing**3).astype(np.uint8))
        return cv2.add(shaded, cv2.merge([highlight] * 3 + [np.zeros_like(highlight)]))


def _used_cells(seen: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the first cell (x, y) with a seen one in its row or column, and that after the last.

    They are counted without the cells before the first pixel.
    """
    used = [np.flatnonzero(seen.any(axis=axis)) for axis in (0, 1)]
    begin = np.array([max(int(places[0]) - 1, 0) for places in used])
    end = np.array([min(int(u[-1]), n - 2) for u, n in zip(used, seen.shape[::-1], strict=True)])
    return begin, end


def _radius_of(to_pixels: np.ndarray) -> float:
    return float(np.hypot(to_pixels[0, 0], to_pixels[1, 0]))


def cast_shadow(
    image: np.ndarray, footprint: Footprint, coverage: np.ndarray, *, light: Light, length: float
) -> None:
    """Darken an image in place where the object blocks the light; ``length`` is in pixels."""
    offset = -light.direction * length
    blur = 0.45 * length + 1.0
    pad = int(np.abs(offset).max() + 3 * blur) + 1
    top, left = max(footprint.rows.start - pad, 0), max(footprint.columns.start - pad, 0)
    region = image[top : footprint.rows.stop + pad, left : footprint.columns.stop + pad]
    height, width = region.shape[:2]
    small_size = (-(-width // _SHADOW_SCALE), -(-height // _SHADOW_SCALE))
    place = np.array([footprint.columns.start - left, footprint.rows.start - top]) + offset
    # Whole coordinates are the centres of pixels, not their corners: hence the halves.
    shrink = np.column_stack([np.eye(2), place + 0.5]) / _SHADOW_SCALE
    shrink[:, 2] -= 0.5
    small = cv2.warpAffine(coverage, shrink, small_size, flags=cv2.INTER_LINEAR)
    small = cv2.GaussianBlur(small, (0, 0), blur / _SHADOW_SCALE)
    remaining = np.round(255 * (1 - np.float32(light.shadow) * small)).astype(np.uint8)
    factor = cv2.resize(remaining, (width, height), interpolation=cv2.INTER_LINEAR)
    region[:] = cv2.multiply(region, cv2.merge([factor, factor, factor]), scale=1 / 255)


def paint(
    image: np.ndarray, footprint: Footprint, coverage: np.ndarray, *, blur: np.ndarray
) -> None:
    """Blend an object over an image in place; it moves by ``blur`` (2,) pixels during exposure."""
    colours = cv2.cvtColor(footprint.pixels, cv2.COLOR_RGBA2RGB)
    kernel = motion_kernel(blur)
    if kernel is not None:
        colours = cv2.filter2D(colours, -1, kernel, borderType=cv2.BORDER_REPLICATE)
        coverage = cv2.filter2D(coverage, -1, kernel, borderType=cv2.BORDER_REPLICATE)
    region = image[footprint.rows, footprint.columns]
    region[:] = cv2.blendLinear(colours, region, coverage, 1 - coverage)


def motion_kernel(motion: np.ndarray) -> np.ndarray | None:
    """Return the blur of a straight motion (x, y) in pixels, or None for less than one pixel."""
    length = float(np.hypot(*motion))
    if length < 1.0:
        return None
    motion = motion * min(1.0, _MAX_BLUR / length)
    half = int(np.ceil(np.abs(motion).max() / 2))
    kernel = np.zeros((2 * half + 1, 2 * half + 1), np.float32)
    # Few taps, as each costs a pass; symmetric, so that outlines stay where they are.
    steps = np.linspace(-0.5, 0.5, 2 * half + 1)
    columns, rows = half + np.round(np.multiply.outer(motion, steps)).astype(int)
    np.add.at(kernel, (rows, columns), 1.0)
    return kernel / kernel.sum()

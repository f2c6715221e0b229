"""Things: a painted sheet with a form that moves, and how it is put into a frame."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from scmn.data.synthetic.motion import Bending, Path
from scmn.data.synthetic.shapes import DISTANCE_STEPS, ON_EDGE, Form, Silhouette

_CELL = (2, 8)  # least and most pixels between the points at which bending is computed
_EDGE = 8.0  # pixels around a silhouette that its soft or blurred edge may cover
_SHADOW_SCALE = 4
_LIFT = 1.08  # what faces the viewer is a little lighter than its colour
_LONGEST_BLUR = 11.0  # pixels


@dataclass(frozen=True)
class Light:
    """One distant lamp."""

    direction: np.ndarray
    """(2,): where the light comes from, in the frame; shorter is steeper."""
    contrast: float
    """Difference between the lit and the turned-away side, as a share of the colour."""
    shadow: float
    """Share of the light that a shadow takes away."""


@dataclass(frozen=True)
class Thing:
    """Something that moves in a scene, labelled or not."""

    object_id: int
    """1..254, or 0 for what must not be segmented."""
    radius: float
    """Half the width of its sheet, units."""
    sheet: np.ndarray
    """uint8 (S, S, 4): red, green, blue and ``Form.distance``."""
    normals: np.ndarray
    """uint8 (S, S, 2), as ``Form.normals``."""
    extent: np.ndarray
    """(2, 2): lowest and highest x, y of the silhouette, sheet half-widths."""
    path: Path
    bending: Bending
    gloss: float
    """Strength of the highlight, grey levels."""
    height: float
    """How far it is above what is behind it, units: the length of its shadow."""
    softness: float = 0.0
    """Width of its out-of-focus edge, units."""


def paint_sheet(colours: np.ndarray, form: Form, silhouette: Silhouette) -> np.ndarray:
    """Join colours and distance in one sheet (S, S, 4), with eyes, wheels and darker edges."""
    inside = np.clip((form.distance.astype(np.float32) - ON_EDGE) / (255 - ON_EDGE), 0, 1)
    shade = np.float32(0.8) + np.float32(0.2) * np.sqrt(inside)
    shaded = np.clip(colours * shade[..., None], 0, 255).astype(np.uint8)
    for eye in silhouette.eyes:
        _disc(shaded, eye, 1.0, (245, 242, 235))
        _disc(shaded, eye, 0.55, (22, 20, 26))
    for wheel in silhouette.wheels:
        _disc(shaded, wheel, 1.0, (38, 38, 42))
        _disc(shaded, wheel, 0.5, (172, 174, 178))
    return np.ascontiguousarray(np.dstack([shaded, form.distance]))


def _disc(colours: np.ndarray, mark: np.ndarray, share: float, rgb: tuple[int, int, int]) -> None:
    """Draw a disc of ``share`` of a mark's radius (x, y, radius in local coordinates)."""
    x, y, radius = mark
    half, fixed = colours.shape[0] / 2, 16
    centre = (round(((x + 1) * half - 0.5) * fixed), round(((y + 1) * half - 0.5) * fixed))
    cv2.circle(colours, centre, round(radius * share * half * fixed), rgb, -1, cv2.LINE_AA, 4)


def silhouette_extent(form: Form) -> np.ndarray:
    """Return the box (2, 2) of lowest and highest x, y of a form, sheet half-widths."""
    rows, columns = np.nonzero(form.distance > ON_EDGE // 2)
    size = form.distance.shape[0]
    low = np.array([columns.min(), rows.min()]) / size * 2 - 1
    high = np.array([columns.max() + 1, rows.max() + 1]) / size * 2 - 1
    return np.stack([low, high])


@dataclass(frozen=True)
class Footprint:
    """The part of a frame that a thing may cover, and the thing's sheet as seen there."""

    rows: slice
    columns: slice
    sheet: np.ndarray
    """uint8 (h, w, 4), as ``Thing.sheet``."""
    magnification: float
    """Frame pixels per sheet pixel."""

    @property
    def support(self) -> np.ndarray:
        """Return the pixels whose centre the thing covers, bool (h, w)."""
        return self.sheet[..., 3] >= ON_EDGE

    def coverage(self, softness: float) -> np.ndarray:
        """Return the antialiased share of each pixel, float32 (h, w); ``softness`` in pixels.

        It is one half where ``support`` begins.
        """
        slope = self.magnification / DISTANCE_STEPS / max(1.0, softness)
        table = np.clip((np.arange(256) - ON_EDGE) * slope + 0.5, 0, 1).astype(np.float32)
        return cv2.LUT(cv2.extractChannel(self.sheet, 3), table)


def find_footprint(
    thing: Thing,
    to_frame: np.ndarray,
    time: float,
    size: tuple[int, int],
    *,
    light: Light | None = None,
) -> Footprint | None:
    """Locate a thing in a frame of ``size`` (H, W), or return None where it is out of view.

    ``to_frame`` (3, 3) maps the scene to pixels. Without a light the colours are unlit, which is
    enough for label maps.
    """
    to_pixels = to_frame @ thing.path.matrix(time) @ np.diag([thing.radius, thing.radius, 1.0])
    look_up = _look_up(thing, to_pixels, time, size)
    if look_up is None:
        return None
    rows, columns, map_x, map_y = look_up
    angle = float(np.arctan2(to_pixels[1, 0], to_pixels[0, 0]))
    sheet = thing.sheet if light is None else _lit_sheet(thing, angle, light)
    seen = cv2.remap(sheet, map_x, map_y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_CONSTANT)
    magnification = float(np.hypot(to_pixels[0, 0], to_pixels[1, 0])) * 2 / sheet.shape[0]
    return Footprint(rows, columns, seen, magnification)


@dataclass(frozen=True)
class _Cells:
    """Square cells over a part of the frame, and the sheet position of their centres.

    Bending is smooth: it is computed at these points and interpolated between them.
    """

    size: int
    first: np.ndarray
    """(2,): x, y of the first pixel of the second cell; the first cell lies before the part."""
    last: np.ndarray
    """(2,): where the part ends."""
    sheet_x: np.ndarray
    """(rows, columns), sheet half-widths."""
    sheet_y: np.ndarray


def _cover(
    thing: Thing, to_pixels: np.ndarray, time: float, size: tuple[int, int]
) -> _Cells | None:
    """Cover the part of the frame that a thing can reach at all with cells."""
    radius = float(np.hypot(to_pixels[0, 0], to_pixels[1, 0]))
    cell = int(np.clip(radius / 8, *_CELL))
    # A curl keeps the distance to the middle, and waves add no more than their reach.
    reach = radius * (float(np.hypot(*np.abs(thing.extent).max(axis=0))) + thing.bending.reach)
    first = np.maximum(np.floor(to_pixels[:2, 2] - reach), 0).astype(int)
    last = np.minimum(np.ceil(to_pixels[:2, 2] + reach) + 1, size[::-1]).astype(int)
    if (first >= last).any():
        return None
    x, y = (
        first[axis] + cell * (np.arange(-1, -(-(last - first)[axis] // cell) + 1) + 0.5) - 0.5
        for axis in (0, 1)
    )
    back = np.linalg.inv(to_pixels)
    local_x = back[0, 0] * x[None] + back[0, 1] * y[:, None] + back[0, 2]
    local_y = back[1, 0] * x[None] + back[1, 1] * y[:, None] + back[1, 2]
    return _Cells(cell, first, last, *thing.bending.look_up(local_x, local_y, time))


def _look_up(
    thing: Thing, to_pixels: np.ndarray, time: float, size: tuple[int, int]
) -> tuple[slice, slice, np.ndarray, np.ndarray] | None:
    """Return the window that a thing is in, and the sheet position of each of its pixels."""
    cells = _cover(thing, to_pixels, time, size)
    if cells is None:
        return None
    cell, x, y = cells.size, cells.sheet_x, cells.sheet_y
    margin = (1.5 * cell + _EDGE) / float(np.hypot(to_pixels[0, 0], to_pixels[1, 0]))
    low, high = thing.extent[0] - margin, thing.extent[1] + margin
    inside = (x > low[0]) & (x < high[0]) & (y > low[1]) & (y < high[1])
    used = [np.flatnonzero(inside.any(axis=axis)) for axis in (0, 1)]
    if not inside.any():
        return None
    # From here on cells are counted from the first that lies in the part.
    begin = [max(int(places[0]) - 1, 0) for places in used]
    end = [min(int(p[-1]), n - 2) for p, n in zip(used, x.shape[::-1], strict=True)]
    left, top = (int(cells.first[axis]) + begin[axis] * cell for axis in (0, 1))
    right, bottom = (
        min(int(cells.first[axis]) + end[axis] * cell, int(cells.last[axis])) for axis in (0, 1)
    )
    if left >= right or top >= bottom:
        return None
    maps = []
    for coarse in (x, y):
        part = coarse[begin[1] : end[1] + 2, begin[0] : end[0] + 2]
        pixels = ((part + 1) * (thing.sheet.shape[0] / 2) - 0.5).astype(np.float32)
        fine = cv2.resize(pixels, None, fx=cell, fy=cell, interpolation=cv2.INTER_LINEAR)
        maps.append(fine[cell : cell + bottom - top, cell : cell + right - left])
    return slice(top, bottom), slice(left, right), maps[0], maps[1]


def _lit_sheet(thing: Thing, angle: float, light: Light) -> np.ndarray:
    """Return a thing's sheet as the light makes it look when turned by ``angle``."""
    cosine, sine = np.cos(angle), np.sin(angle)
    # The lamp as the turned sheet sees it.
    x, y = np.array([[cosine, sine], [-sine, cosine]]) @ light.direction * light.contrast
    normal_x, normal_y = cv2.split(thing.normals)
    lit = cv2.addWeighted(normal_x, x, normal_y, y, 128 * (_LIFT - x - y))
    keep = np.full_like(lit, 128)  # the distance channel is not to be lit
    shaded = cv2.multiply(thing.sheet, cv2.merge([lit, lit, lit, keep]), scale=1 / 128)
    if not thing.gloss:
        return shaded
    bright = cv2.LUT(lit, _highlight(thing.gloss))
    return cv2.add(shaded, cv2.merge([bright, bright, bright, np.zeros_like(bright)]))


def _highlight(gloss: float) -> np.ndarray:
    """Return grey levels to add by shade, uint8 (256,): only what faces the lamp shines."""
    facing = np.clip((np.arange(256) - 150) / 50, 0, 1)
    return np.round(gloss * facing**3).astype(np.uint8)


def cast_shadow(
    image: np.ndarray, footprint: Footprint, coverage: np.ndarray, *, light: Light, length: float
) -> None:
    """Darken an image in place where the thing keeps the light off; ``length`` in pixels."""
    offset = -light.direction * length
    blur = 0.45 * length + 1.0
    pad = int(np.abs(offset).max() + 3 * blur) + 1
    top, left = max(footprint.rows.start - pad, 0), max(footprint.columns.start - pad, 0)
    region = image[top : footprint.rows.stop + pad, left : footprint.columns.stop + pad]
    height, width = region.shape[:2]
    small_size = (-(-width // _SHADOW_SCALE), -(-height // _SHADOW_SCALE))
    place = np.array([footprint.columns.start - left, footprint.rows.start - top]) + offset
    # A pixel's centre, not its corner, is at whole coordinates: hence the halves.
    shrink = np.column_stack([np.eye(2), place + 0.5]) / _SHADOW_SCALE
    shrink[:, 2] -= 0.5
    small = cv2.warpAffine(coverage, shrink, small_size, flags=cv2.INTER_LINEAR)
    small = cv2.GaussianBlur(small, (0, 0), blur / _SHADOW_SCALE)
    left_over = np.round(255 * (1 - np.float32(light.shadow) * small)).astype(np.uint8)
    factor = cv2.resize(left_over, (width, height), interpolation=cv2.INTER_LINEAR)
    region[:] = cv2.multiply(region, cv2.merge([factor, factor, factor]), scale=1 / 255)


def paint(
    image: np.ndarray, footprint: Footprint, coverage: np.ndarray, *, blur: np.ndarray
) -> None:
    """Blend a thing over an image in place; ``blur`` (2,) is its way in pixels during exposure."""
    colours = cv2.cvtColor(footprint.sheet, cv2.COLOR_RGBA2RGB)
    kernel = motion_kernel(blur)
    if kernel is not None:
        colours = cv2.filter2D(colours, -1, kernel, borderType=cv2.BORDER_REPLICATE)
        coverage = cv2.filter2D(coverage, -1, kernel, borderType=cv2.BORDER_REPLICATE)
    region = image[footprint.rows, footprint.columns]
    region[:] = cv2.blendLinear(colours, region, coverage, 1 - coverage)


def motion_kernel(way: np.ndarray) -> np.ndarray | None:
    """Return the kernel of a straight way of ``way`` (x, y) pixels, or None for less than one."""
    length = float(np.hypot(*way))
    if length < 1.0:
        return None
    way = way * min(1.0, _LONGEST_BLUR / length)
    half = int(np.ceil(np.abs(way).max() / 2))
    kernel = np.zeros((2 * half + 1, 2 * half + 1), np.float32)
    # Few taps, as the filter's cost is theirs; symmetric, so that outlines stay where they are.
    steps = np.linspace(-0.5, 0.5, 2 * half + 1)
    columns, rows = half + np.round(np.multiply.outer(way, steps)).astype(int)
    np.add.at(kernel, (rows, columns), 1.0)
    return kernel / kernel.sum()

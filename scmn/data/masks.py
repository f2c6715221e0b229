"""Label maps: palette PNG in and out, object ids, one-hot masks.

A label map is uint8 (H, W): 0 background, 1..254 object ids exactly as in the file (they need
not be consecutive), 255 void.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import cache
from pathlib import Path
from typing import Annotated, Literal, TypeAlias

import numpy as np
from PIL import Image
from pydantic import Field

from scmn.data.atomic import BeforeRename, atomic_path
from scmn.data.images import open_image
from scmn.data.shades import has_shades
from scmn.errors import InputError, some_of

VOID = 255
"""Label of ignored pixels: neither background nor an object."""
MAX_OBJECT_ID = 254
ObjectCount = Annotated[int, Field(ge=1, le=MAX_OBJECT_ID)]
MAX_GREY_ID = 64
"""Highest value of a greyscale file whose values are taken as object ids."""
LOSSY_FORMATS = frozenset({"JPEG", "MPO", "JPEG2000", "WEBP", "AVIF"})
"""Formats of files, as Pillow names them, that do not keep ids, or need not."""
LOSSY_TIFF = frozenset({"jpeg", "tiff_jpeg", "webp"})
"""Compressions inside TIFF files, as Pillow names them."""

GreyValues: TypeAlias = Literal["trusted", "checked", "forced"]
"""How grey values other than black and white become ids. "trusted", as in a data set: those up to
``MAX_GREY_ID`` are ids. "checked", in a mask from the user: the same, but shades are refused.
"forced": all are ids."""

_RLE_COMPRESSION = 3  # zlib's Z_RLE: the fastest strategy for label maps, with smaller files
_NAMED_VALUES = 6


@cache
def davis_palette() -> np.ndarray:
    """Return the palette of DAVIS and PASCAL VOC, uint8 (256, 3) RGB; all its colours differ.

    The bits of the index go to red, green and blue in turn, most significant colour bit first.
    """
    index = np.arange(256)
    palette = np.zeros((256, 3), dtype=np.uint8)
    for position in range(8):
        for channel in range(3):
            bit = (index >> (3 * position + channel)) & 1
            palette[:, channel] |= (bit << (7 - position)).astype(np.uint8)
    palette.setflags(write=False)
    return palette


def read_label_map(path: Path, *, grey: GreyValues = "trusted") -> np.ndarray:
    """Read a label map, uint8 (H, W).

    - Palette image: its indices, whatever the palette.
    - 1-bit image: 0 and 1.
    - Greyscale: only black and white become 0 and 1, as in DAVIS 2016; otherwise ``grey`` says
      which values are ids. Others look like an antialiased mask, whose edge would become hundreds
      of objects.
    - RGB: only black and white become 0 and 1; otherwise every colour must be in
      ``davis_palette()`` and becomes its index, or have equal channels and be grey.

    Alpha is ignored unless it has the object.

    Raises:
        InputError: the file is missing, corrupt, lossy, or not one of these.
    """
    with open_image(path, "mask") as image:
        require_lossless(image, path)
        mode = image.mode
        pixels = np.asarray(image)
    if mode in ("LA", "PA", "RGBA"):
        refuse_object_in_alpha(pixels, path)
        mode, pixels = mode[:-1], pixels[..., :3] if mode == "RGBA" else pixels[..., 0]
    if mode in ("P", "1"):
        return pixels.astype(np.uint8)
    if mode in ("L", "I", "I;16", "I;16B", "I;16L"):
        return _ids_from_grey(pixels, path, grey)
    if mode == "RGB":
        return _ids_from_colours(pixels, path, grey)
    raise InputError(f"mask {path} has mode {mode}; expected a palette PNG with object ids")


def require_lossless(image: Image.Image, path: Path) -> None:
    """Raise InputError if an image, opened from ``path``, is compressed with loss, or may be.

    Along an object's edge that makes pixels of other ids.
    """
    if image.format == "WEBP" and path.read_bytes()[12:16] == b"VP8L":  # its lossless kind
        return
    tiff = image.format == "TIFF" and image.info.get("compression") in LOSSY_TIFF
    if tiff or image.format in LOSSY_FORMATS:
        raise InputError(
            f"mask {path} is a {image.format} file, whose compression changes object ids; "
            "expected a palette PNG with object ids"
        )


def refuse_object_in_alpha(pixels: np.ndarray, path: Path) -> None:
    """Raise InputError if alpha, the last channel of (H, W, C), tells what the colours do not."""
    colours, alpha = pixels[..., :-1], pixels[..., -1]
    constant = (colours == colours[:1, :1]).all()
    if alpha.min() < alpha.max() and (constant or colours[alpha < 255].any()):
        raise InputError(
            f"mask {path} has its object in the alpha channel, which is not read; "
            "expected a palette PNG with object ids"
        )


def _ids_from_grey(grey: np.ndarray, path: Path, rule: GreyValues) -> np.ndarray:
    values = np.unique(grey)
    white = 65535 if values[-1] == 65535 else 255
    if np.isin(values, (0, white)).all():
        return (grey == white).astype(np.uint8)
    if values[0] >= 0 and values[-1] <= (VOID if rule == "forced" else MAX_GREY_ID):
        labels = grey.astype(np.uint8)
        if rule != "checked" or not has_shades(labels):
            return labels
    if rule == "forced":
        raise InputError(f"mask {path} has values {_some(values)}; ids are 1..{MAX_OBJECT_ID}")
    advice = "" if rule == "trusted" else "; if these values are ids, give --mask-ids"
    raise InputError(
        f"mask {path} is greyscale with values {_some(values)}, like an antialiased mask; "
        f"expected a palette PNG with object ids (or only 0 and 255, or ids up to {MAX_GREY_ID})"
        f"{advice}"
    )


def _ids_from_colours(rgb: np.ndarray, path: Path, rule: GreyValues) -> np.ndarray:
    codes = _colour_codes(rgb)
    colours, positions = np.unique(codes, return_inverse=True)
    if np.isin(colours, (0, 0xFFFFFF)).all():
        return (codes == 0xFFFFFF).astype(np.uint8)
    palette = _colour_codes(davis_palette())
    order = np.argsort(palette)
    places = np.searchsorted(palette, colours, sorter=order).clip(max=len(palette) - 1)
    ids = order[places]
    unknown = colours[palette[ids] != colours]
    if unknown.size:
        if (rgb == rgb[..., :1]).all():
            return _ids_from_grey(rgb[..., 0], path, rule)
        names = _some([f"#{colour:06x}" for colour in unknown])
        raise InputError(
            f"mask {path} is RGB with colours that are not in the DAVIS palette: {names}; "
            "expected a palette PNG with object ids"
        )
    return ids[positions].reshape(codes.shape).astype(np.uint8)


def _colour_codes(rgb: np.ndarray) -> np.ndarray:
    """Pack uint8 (..., 3) into one integer 0xRRGGBB each, uint32 (...)."""
    red, green, blue = np.moveaxis(rgb.astype(np.uint32), -1, 0)
    return (red << 16) | (green << 8) | blue


def _some(values: Sequence[object] | np.ndarray) -> str:
    return some_of(list(values), shown=_NAMED_VALUES)


def write_label_map(
    path: Path, labels: np.ndarray, *, before_rename: BeforeRename | None = None
) -> None:
    """Write a label map, uint8 (H, W), as a PNG with the DAVIS palette, atomically.

    For ``before_rename`` see ``atomic_path``.

    Raises:
        InputError: the file cannot be written.
    """
    if labels.dtype != np.uint8 or labels.ndim != 2:
        raise ValueError(f"a label map is uint8 (H, W), not {labels.dtype} {labels.shape}")
    image = Image.fromarray(labels)
    image.putpalette(davis_palette().tobytes())  # turns mode L into P, pixels unchanged
    with atomic_path(path, before_rename=before_rename) as temporary:
        image.save(temporary, "PNG", compress_level=1, compress_type=_RLE_COMPRESSION)


def object_ids(labels: np.ndarray) -> tuple[int, ...]:
    """Return the ids in a label map, sorted, without background and void."""
    pixels = labels.ravel()
    # Counting only the first pixel of each run is about 20 times faster.
    beginnings = np.append(pixels[:1], pixels[1:][pixels[1:] != pixels[:-1]])
    present = np.bincount(beginnings, minlength=256) > 0
    return tuple(int(value) for value in np.flatnonzero(present[: MAX_OBJECT_ID + 1]) if value)


def merge_objects(labels: np.ndarray) -> np.ndarray:
    """Return a label map in which every object has the id 1, as in DAVIS 2016."""
    return np.where((labels > 0) & (labels != VOID), np.uint8(1), labels)


def keep_objects(labels: np.ndarray, ids: Iterable[int]) -> np.ndarray:
    """Return a copy in which objects that are not in ``ids`` become background; void stays."""
    table = np.zeros(256, dtype=np.uint8)
    kept = [VOID, *ids]
    table[kept] = kept
    return table[labels]


def to_one_hot(labels: np.ndarray, ids: Sequence[int]) -> np.ndarray:
    """Return one mask per id, in the order of ``ids``: bool (N, H, W)."""
    return labels[None] == np.asarray(ids, dtype=np.uint8)[:, None, None]


def from_one_hot(masks: np.ndarray, ids: Sequence[int]) -> np.ndarray:
    """Join bool masks (N, H, W) into a label map; where they overlap, the first of ``ids`` wins."""
    labels = np.zeros(masks.shape[1:], dtype=np.uint8)
    for mask, object_id in reversed(list(zip(masks, ids, strict=True))):
        labels[mask] = object_id
    return labels


def check_size(labels: np.ndarray, size: tuple[int, ...], path: Path) -> None:
    """Raise InputError unless a label map read from ``path`` has its frame's size (H, W)."""
    if labels.shape != tuple(size):
        (height, width), (frame_height, frame_width) = labels.shape, size
        raise InputError(
            f"mask {path} is {width}x{height} pixels but its frame is {frame_width}x{frame_height};"
            " they must be equal"
        )


def require_objects(labels: np.ndarray, path: Path) -> tuple[int, ...]:
    """Return ``object_ids(labels)``; InputError if a label map read from ``path`` has none."""
    ids = object_ids(labels)
    if not ids:
        raise InputError(
            f"mask {path} has no object: it has only the values {_some(np.unique(labels))}; "
            f"expected object ids 1..{MAX_OBJECT_ID}"
        )
    return ids

"""Grey values that are the shades of a soft edge, not object ids."""

from __future__ import annotations

import numpy as np

WIDEST_BAND = 8
"""Pixels: a wider band of one value is an area, not a shade."""


def has_shades(grey: np.ndarray) -> bool:
    """Return whether values, uint8 (H, W), look like an antialiased, blurred or compressed mask.

    Values between the lowest and the highest are shades if they fill no square of 2x2 pixels, or
    lie mostly in bands between a darker and a brighter neighbour. Objects cover areas, and few of
    them lie between two others everywhere.
    """
    counts = np.bincount(grey.ravel(), minlength=256)
    values = np.flatnonzero(counts)
    between = values[(values > 0) & (values < values[-1])]
    if not between.size:
        return False
    banded = _bands(grey) | _bands(np.ascontiguousarray(grey.T)).T
    in_bands = np.bincount(grey[banded], minlength=256)
    shades = between[~_fill_squares(grey)[between] | (2 * in_bands >= counts)[between]]
    if between.size > 1:
        return bool(2 * shades.size > np.count_nonzero(values))
    # A single one may be a thin object, which is beside only a part of the other's outline.
    return bool(shades.size and banded.sum() >= _jumps(grey, values[-1]))


def _bands(grey: np.ndarray) -> np.ndarray:
    """Return the pixels in a row's short runs between a lower and a higher one, bool (H, W)."""
    width = grey.shape[1]
    pixels = grey.ravel().astype(np.int16)
    begins = np.append(True, pixels[1:] != pixels[:-1])
    begins[::width] = True
    starts = np.flatnonzero(begins)
    lengths = np.diff(starts, append=pixels.size)
    steps = np.sign(np.diff(pixels[starts]))
    steps[starts[1:] % width == 0] = 0  # to the next row
    found = np.zeros(len(starts), dtype=bool)
    found[1:-1] = (steps[:-1] * steps[1:] > 0) & (lengths[1:-1] <= WIDEST_BAND)
    return np.repeat(found, lengths).reshape(grey.shape)


def _fill_squares(grey: np.ndarray) -> np.ndarray:
    """Return which values fill a square of 2x2 pixels somewhere, bool (256,)."""
    corner = grey[:-1, :-1]
    equal = (corner == grey[1:, :-1]) & (corner == grey[:-1, 1:]) & (corner == grey[1:, 1:])
    return np.bincount(corner[equal], minlength=256) > 0


def _jumps(grey: np.ndarray, highest: int) -> int:
    """Return how often 0 and the highest value are neighbours."""
    values = grey.astype(np.int16)
    steps = (np.abs(np.diff(values, axis=axis)) for axis in (0, 1))
    return sum(int(np.count_nonzero(step == highest)) for step in steps)

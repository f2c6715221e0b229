"""Bands of lines of a map, each of which fits in the caches of a CPU."""

from __future__ import annotations

import itertools
from collections.abc import Iterable


def bands(
    height: int, map_bytes: int, *, band_bytes: int, min_lines: int, multiple: int = 1
) -> Iterable[tuple[int, int]]:
    """Divide a map into bands.

    Args:
        height: lines of the map, a multiple of ``multiple``.
        map_bytes: size of the map.
        band_bytes: size of a band, about.
        min_lines: lines of a band at least, about, whatever their size.
        multiple: each band starts at a multiple of this.

    Returns:
        For each band its first line and the one after its last.
    """
    lines = max(min_lines, band_bytes * height // map_bytes)
    count = -(-height // lines)
    return itertools.pairwise(
        multiple * round(height // multiple * band / count) for band in range(count + 1)
    )

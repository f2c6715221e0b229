"""Scaling and padding of frames and masks in NumPy, as in ``scmn.inference.geometry``."""

from __future__ import annotations

import numpy as np

STRIDE = 16


def scaled_size(frame_size: tuple[int, int], shorter_side: int | None) -> tuple[int, int]:
    """Scale height and width down to a shorter side (None: keep them), to at least 16."""
    height, width = frame_size
    factor = 1.0 if shorter_side is None else min(1.0, shorter_side / min(height, width))
    return max(STRIDE, round(height * factor)), max(STRIDE, round(width * factor))


def padding(size: tuple[int, int]) -> tuple[tuple[int, int], tuple[int, int]]:
    """Return what pads height and width to multiples of 16, the smaller half first."""
    vertical, horizontal = (-length % STRIDE for length in size)
    top, left = vertical // 2, horizontal // 2
    return (top, vertical - top), (left, horizontal - left)


def resize(maps: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Resize float32 (C, H, W) bilinearly, with antialiasing where it becomes smaller."""
    for axis, length in zip((1, 2), size, strict=True):
        if maps.shape[axis] != length:
            maps = _resize_axis(maps, axis, length)
    return maps


def _resize_axis(maps: np.ndarray, axis: int, length: int) -> np.ndarray:
    source = maps.shape[axis]
    scale = source / length
    support = max(scale, 1.0)
    centres = (np.arange(length) + 0.5) * scale
    first = np.floor(centres - support).astype(int)
    shape = [1, 1, 1]
    shape[axis] = length
    result = np.zeros((*maps.shape[:axis], length, *maps.shape[axis + 1 :]), np.float32)
    places = [first + offset for offset in range(int(np.ceil(2 * support)) + 2)]
    weights = [
        np.clip(1 - np.abs(place + 0.5 - centres) / support, 0, None)
        * ((place >= 0) & (place < source))
        for place in places
    ]
    total = np.sum(weights, axis=0)
    for place, weight in zip(places, weights, strict=True):
        taken = maps.take(place.clip(0, source - 1), axis=axis)
        result += taken * (weight / total).astype(np.float32).reshape(shape)
    return result


def resize_masks(masks: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Resize masks (N, H, W) by the nearest pixel; an object that it misses by its largest one."""
    if masks.shape[1:] == size:
        return masks
    rows, columns = (
        np.floor((np.arange(n) + 0.5) * (m / n)).astype(int)
        for n, m in zip(size, masks.shape[1:], strict=True)
    )
    nearest = masks[:, rows[:, None], columns]
    for position in np.flatnonzero(~nearest.any(axis=(1, 2)) & masks.any(axis=(1, 2))):
        nearest[position] = _touched(masks[position], size)
    return nearest


def _touched(mask: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Return the pixels of a smaller mask that the object touches, (h, w)."""
    for axis in (0, 1):
        source, length = mask.shape[axis], size[axis]
        parts = [
            mask.take(range(i * source // length, -(-(i + 1) * source // length)), axis).max(axis)
            for i in range(length)
        ]
        mask = np.stack(parts, axis)
    return mask

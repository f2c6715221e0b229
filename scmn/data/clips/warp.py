"""Geometric augmentation of a frame as a single resampling.

Crop, scale, flip and affine motion are one matrix; a thin-plate spline adds a smooth displacement.
Images are resampled bilinearly, label maps by the nearest pixel, so that no new labels appear.
Coordinates are continuous: the pixel in column i covers [i, i + 1).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property

import cv2
import numpy as np

FILL_COLOUR = (124, 116, 104)
"""RGB outside of the source (ImageNet's mean, as in STCN); label maps are background there."""


@dataclass(frozen=True)
class Warp:
    """A map from the pixels of a crop to those of a source image."""

    to_source: np.ndarray
    """float64 (2, 3): position (x, y) in the crop -> position in the source."""
    source_size: tuple[int, int]
    """Height, width of the source for which ``to_source`` holds."""
    size: tuple[int, int]
    """Height, width of the crop."""
    displacement: np.ndarray | None = None
    """float32 (h, w, 2): displacement (x, y) of the sampled positions in pixels of the crop, on a
    coarse grid of cells that covers the crop; None for an affine warp."""

    def image(self, image: np.ndarray) -> np.ndarray:
        """Resample uint8 (H', W', 3), which may be the source or a smaller version of it."""
        return self._resample(image, cv2.INTER_LINEAR, FILL_COLOUR)

    def labels(self, labels: np.ndarray) -> np.ndarray:
        """Resample a label map, uint8 (H', W'), to the nearest label."""
        return self._resample(labels, cv2.INTER_NEAREST, (0,))

    @cached_property
    def reduction(self) -> int:
        """Integer factor by which the source is reduced by averaging before it is resampled.

        Bilinear resampling alone would alias where a pixel of the crop spans two of the source.
        """
        return max(1, math.floor(math.sqrt(abs(np.linalg.det(self.to_source[:, :2])))))

    def _resample(
        self, source: np.ndarray, interpolation: int, fill: tuple[int, ...]
    ) -> np.ndarray:
        matrix = self._pixel_matrix(source.shape[:2])
        height, width = self.size
        if self.displacement is None:
            return cv2.warpAffine(
                source,
                matrix,
                (width, height),
                flags=interpolation | cv2.WARP_INVERSE_MAP,
                borderMode=cv2.BORDER_CONSTANT,
                borderValue=fill,
            )
        offsets = self.displacement @ matrix[:, :2].T.astype(np.float32)
        columns, rows = np.arange(width), np.arange(height)
        lookup = cv2.resize(offsets, (width, height), interpolation=cv2.INTER_LINEAR)
        for axis, (across, down, shift) in enumerate(matrix):
            lookup[..., axis] += (across * columns + shift).astype(np.float32)
            lookup[..., axis] += (down * rows).astype(np.float32)[:, None]
        return cv2.remap(
            source,
            lookup,
            None,
            interpolation,
            borderMode=cv2.BORDER_CONSTANT,
            borderValue=fill,
        )

    def _pixel_matrix(self, shape: tuple[int, ...]) -> np.ndarray:
        """Return ``to_source`` (2, 3) between pixel indices; pixel centres lie at i + 0.5."""
        scale = np.array([shape[1] / self.source_size[1], shape[0] / self.source_size[0]])
        matrix = self.to_source * scale[:, None]
        matrix[:, 2] += matrix[:, :2] @ [0.5, 0.5] - 0.5
        return matrix


def reduced(image: np.ndarray, factor: int) -> np.ndarray:
    """Return the image reduced by an integer factor by averaging."""
    if factor == 1:
        return image
    height, width = image.shape[:2]
    size = (max(1, round(width / factor)), max(1, round(height / factor)))
    return cv2.resize(image, size, interpolation=cv2.INTER_AREA)


def warp_about(
    linear: np.ndarray,
    *,
    source_centre: np.ndarray,
    crop_centre: np.ndarray,
    source_size: tuple[int, int],
    size: tuple[int, int],
    displacement: np.ndarray | None = None,
) -> Warp:
    """Return the warp that applies ``linear`` (2, 2) and maps ``source_centre`` to ``crop_centre``,
    both (x, y)."""
    inverse = np.linalg.inv(linear)
    offset = np.asarray(source_centre) - inverse @ np.asarray(crop_centre)
    return Warp(np.column_stack([inverse, offset]), source_size, size, displacement)

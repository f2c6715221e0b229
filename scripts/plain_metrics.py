"""A plain implementation of J and F: the reference for results and speed of the package's scorer.

It works like the official davis2017-evaluation: one float64 mask per object over the whole frame,
boundaries from the whole mask compared with its shifted copies, and a dilation of the whole frame.
Unlike the official tool, it keeps one frame in memory at a time instead of the whole sequence.
"""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
from PIL import Image


def plain_scores(annotations: list[Path], predictions: list[Path]) -> tuple[np.ndarray, np.ndarray]:
    """Return J and F, float64 (N, T - 2) each, of the N objects of the first annotation."""
    object_count = int(_read(annotations[0]).max())
    pairs = list(zip(annotations, predictions, strict=True))[1:-1]
    j = np.zeros((object_count, len(pairs)))
    f = np.zeros((object_count, len(pairs)))
    for frame, (annotation, prediction) in enumerate(pairs):
        true_masks = _one_hot(_read(annotation), object_count)
        predicted_masks = _one_hot(_read(prediction), object_count)
        for index in range(object_count):
            j[index, frame] = _plain_j(true_masks[index], predicted_masks[index])
            f[index, frame] = _plain_f(true_masks[index], predicted_masks[index])
    return j, f


def _read(path: Path) -> np.ndarray:
    return np.array(Image.open(path))


def _one_hot(labels: np.ndarray, object_count: int) -> np.ndarray:
    masks = np.zeros((object_count, *labels.shape))
    for index in range(object_count):
        masks[index] = labels == index + 1
    return masks


def _plain_j(true_mask: np.ndarray, predicted_mask: np.ndarray) -> float:
    true_region, predicted_region = true_mask.astype(bool), predicted_mask.astype(bool)
    union = np.sum(true_region | predicted_region)
    return float(np.sum(true_region & predicted_region) / union) if union else 1.0


def _plain_f(true_mask: np.ndarray, predicted_mask: np.ndarray) -> float:
    radius = int(np.ceil(0.008 * np.linalg.norm(true_mask.shape)))
    true_boundary = _plain_boundary(true_mask)
    predicted_boundary = _plain_boundary(predicted_mask)
    near_true = _plain_dilation(true_boundary, radius)
    near_predicted = _plain_dilation(predicted_boundary, radius)
    true_pixels, predicted_pixels = np.sum(true_boundary), np.sum(predicted_boundary)
    if true_pixels == 0 and predicted_pixels == 0:
        precision, recall = 1.0, 1.0
    elif true_pixels == 0:
        precision, recall = 0.0, 1.0
    elif predicted_pixels == 0:
        precision, recall = 1.0, 0.0
    else:
        precision = float(np.sum(predicted_boundary * near_true) / predicted_pixels)
        recall = float(np.sum(true_boundary * near_predicted) / true_pixels)
    return 2 * precision * recall / (precision + recall) if precision + recall > 0 else 0.0


def _plain_boundary(mask: np.ndarray) -> np.ndarray:
    region = mask.astype(bool)
    right, below, diagonal = (np.zeros_like(region) for _ in range(3))
    right[:, :-1] = region[:, 1:]
    below[:-1] = region[1:]
    diagonal[:-1, :-1] = region[1:, 1:]
    edges = (region ^ right) | (region ^ below) | (region ^ diagonal)
    edges[-1] = region[-1] ^ right[-1]
    edges[:, -1] = region[:, -1] ^ below[:, -1]
    edges[-1, -1] = False
    return edges


def _plain_dilation(pixels: np.ndarray, radius: int) -> np.ndarray:
    y, x = np.mgrid[-radius : radius + 1, -radius : radius + 1]
    disk = (x**2 + y**2 <= radius**2).astype(np.uint8)
    return cv2.dilate(pixels.astype(np.uint8), disk)

"""Region similarity J and contour accuracy F of segmentations, and their statistics over frames.

Source: Perazzi et al., A Benchmark Dataset and Evaluation Methodology for Video Object
Segmentation, CVPR 2016. Every number equals that of the official davis2017-evaluation, except the
decay over more than 256 frames, whose quarters overflow there.

Everything is computed in the object's box: the smallest box that holds it in the ground truth and
in the prediction, with one pixel around it. No boundary pixel lies outside, so the numbers are the
same, and most of the frame is skipped.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

import cv2
import numpy as np

BOUNDARY_TOLERANCE = 0.008
"""Largest distance at which two boundaries agree, as a share of the frame's diagonal."""
RECALL_THRESHOLD = 0.5


@dataclass(frozen=True)
class Statistics:
    """A measure over the frames of one object."""

    mean: float
    recall: float
    """Share of the frames with a value above 0.5."""
    decay: float
    """Mean over the first quarter of the frames minus mean over the last."""


def score_frame(
    ground_truth: np.ndarray, prediction: np.ndarray, object_ids: Iterable[int]
) -> tuple[np.ndarray, np.ndarray]:
    """Return J and F, float64 (N,) each, of N objects in two label maps, uint8 (H, W) each.

    An object that is missing from a label map has an empty mask there.

    Raises:
        ValueError: the label maps differ in size.
    """
    _check_sizes(ground_truth, prediction)
    tolerance = boundary_tolerance(ground_truth.shape)
    # Cropping to all objects first leaves less to search for each of them.
    ground_truth, prediction = _crop_to_union(ground_truth, prediction)
    scores = []
    for object_id in object_ids:
        masks = _crop_to_union(ground_truth == object_id, prediction == object_id)
        scores.append((_region_similarity(*masks), _contour_accuracy(*masks, tolerance)))
    j, f = np.array(scores, dtype=np.float64).reshape(-1, 2).T
    return j, f


def region_similarity(ground_truth: np.ndarray, prediction: np.ndarray) -> float:
    """Return J of two masks, bool (H, W): intersection over union; 1 where both are empty.

    Raises:
        ValueError: the masks differ in size.
    """
    _check_sizes(ground_truth, prediction)
    return _region_similarity(ground_truth, prediction)


def contour_accuracy(ground_truth: np.ndarray, prediction: np.ndarray) -> float:
    """Return F of two masks, bool (H, W): the F-measure of their boundary pixels.

    A boundary pixel agrees if the other mask has one within ``boundary_tolerance``. Precision is
    the share of the prediction's boundary that agrees, recall that of the ground truth's. Where
    only the prediction has no boundary, precision is 1 and recall 0; where only the ground truth
    has none, the reverse; where neither has one, F is 1.

    Raises:
        ValueError: the masks differ in size.
    """
    _check_sizes(ground_truth, prediction)
    tolerance = boundary_tolerance(ground_truth.shape)
    return _contour_accuracy(*_crop_to_union(ground_truth, prediction), tolerance)


def boundary_tolerance(size: tuple[int, ...]) -> int:
    """Return the tolerance in pixels for frames of size (H, W): 8 at 480p."""
    return math.ceil(BOUNDARY_TOLERANCE * float(np.linalg.norm(size)))


def boundary(mask: np.ndarray) -> np.ndarray:
    """Return the boundary pixels of a mask, bool (H, W): those that differ from the pixel to the
    right, below, or both. The mask is extended beyond the frame by its edge values.
    """
    differs = np.zeros_like(mask)
    differs[:, :-1] = mask[:, :-1] ^ mask[:, 1:]
    differs[:-1] |= mask[:-1] ^ mask[1:]
    differs[:-1, :-1] |= mask[:-1, :-1] ^ mask[1:, 1:]
    return differs


def statistics(values: np.ndarray) -> Statistics:
    """Return mean, recall and decay of a measure over the scored frames of an object, float (T,).

    The quarters are the official ones: neighbouring quarters share a frame.

    Raises:
        ValueError: there is no frame.
    """
    if not len(values):
        raise ValueError("statistics need the values of at least one frame")
    limits = np.round(np.linspace(1, len(values), 5) + 1e-10).astype(np.int64) - 1
    first_quarter = values[limits[0] : limits[1] + 1]
    last_quarter = values[limits[3] : limits[4] + 1]
    return Statistics(
        mean=float(np.mean(values)),
        recall=float(np.mean(values > RECALL_THRESHOLD)),
        decay=float(np.mean(first_quarter) - np.mean(last_quarter)),
    )


def _check_sizes(ground_truth: np.ndarray, prediction: np.ndarray) -> None:
    if ground_truth.shape != prediction.shape or ground_truth.ndim != 2:
        raise ValueError(
            f"ground truth {ground_truth.shape} and prediction {prediction.shape} must be of one "
            "size (H, W)"
        )


def _crop_to_union(first: np.ndarray, second: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Crop both to the box where either is not 0, with one pixel around it inside the frame.

    At every side where the box does not touch the edge of the frame the crop ends with a row or
    column of 0, so that ``boundary`` of the crop is the crop of ``boundary``.
    """
    left, top, width, height = cv2.boundingRect((first | second).view(np.uint8))
    rows = slice(max(top - 1, 0), top + height + 1)
    columns = slice(max(left - 1, 0), left + width + 1)
    return first[rows, columns], second[rows, columns]


def _region_similarity(ground_truth: np.ndarray, prediction: np.ndarray) -> float:
    union = np.count_nonzero(ground_truth | prediction)
    return np.count_nonzero(ground_truth & prediction) / union if union else 1.0


def _contour_accuracy(ground_truth: np.ndarray, prediction: np.ndarray, tolerance: int) -> float:
    true_boundary = boundary(ground_truth)
    predicted_boundary = boundary(prediction)
    true_pixels = np.count_nonzero(true_boundary)
    predicted_pixels = np.count_nonzero(predicted_boundary)
    if not true_pixels or not predicted_pixels:
        # One of precision and recall is 0 unless both boundaries are empty.
        return float(true_pixels == predicted_pixels)
    precise = np.count_nonzero(predicted_boundary & _dilate(true_boundary, tolerance))
    recalled = np.count_nonzero(true_boundary & _dilate(predicted_boundary, tolerance))
    precision, recall = precise / predicted_pixels, recalled / true_pixels
    return 2 * precision * recall / (precision + recall) if precision + recall else 0.0


def _dilate(pixels: np.ndarray, radius: int) -> np.ndarray:
    """Dilate bool (H, W) by the disk x^2 + y^2 <= radius^2."""
    y, x = np.ogrid[-radius : radius + 1, -radius : radius + 1]
    disk = (x**2 + y**2 <= radius**2).astype(np.uint8)
    return cv2.dilate(pixels.view(np.uint8), disk).view(bool)

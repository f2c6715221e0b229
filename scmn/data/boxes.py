"""Masks from boxes: GrabCut separates the object in a box from what surrounds it.

Rother et al., "GrabCut: Interactive Foreground Extraction using Iterated Graph Cuts" (SIGGRAPH
2004), as implemented in OpenCV.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeAlias

import cv2
import numpy as np

from scmn.data.masks import MAX_OBJECT_ID, from_one_hot
from scmn.errors import InputError

Box: TypeAlias = tuple[int, int, int, int]
"""Left, top, width and height in pixels."""

ITERATIONS = 5
MARGIN = 0.5
"""What GrabCut sees around the box, of the box's own width and height: the background of an object
is best told from what is near it, and a large frame takes seconds."""


def box_mask(image: np.ndarray, box: Box) -> np.ndarray:
    """Return the mask of the object in a box, bool (H, W).

    Args:
        image: uint8 (H, W, 3), RGB.
        box: around the object, with some background inside and around it.

    Raises:
        InputError: the box is empty, leaves the frame or covers it all, or GrabCut finds nothing.
    """
    left, top, width, height = box
    rows, columns = image.shape[:2]
    inside = left >= 0 and top >= 0 and left + width <= columns and top + height <= rows
    if not inside or width < 2 or height < 2:
        raise InputError(
            f"box {_text(box)} (x y width height) is not inside the frame of {columns}x{rows} "
            "pixels with at least 2x2"
        )
    x0, x1 = _enlarged(left, width, columns)
    y0, y1 = _enlarged(top, height, rows)
    if (x1 - x0, y1 - y0) == (width, height):
        raise InputError(f"box {_text(box)} covers the whole frame: it must leave some background")
    window = cv2.cvtColor(np.ascontiguousarray(image[y0:y1, x0:x1]), cv2.COLOR_RGB2BGR)
    labels = np.zeros(window.shape[:2], np.uint8)
    models = np.zeros((1, 65)), np.zeros((1, 65))
    rectangle = (left - x0, top - y0, width, height)
    cv2.setRNGSeed(0)  # its clustering draws random numbers; the same box gives the same mask
    cv2.grabCut(window, labels, rectangle, *models, ITERATIONS, cv2.GC_INIT_WITH_RECT)
    mask = np.zeros((rows, columns), bool)
    mask[y0:y1, x0:x1] = (labels == cv2.GC_FGD) | (labels == cv2.GC_PR_FGD)
    if not mask.any():
        raise InputError(
            f"nothing in box {_text(box)} differs from what surrounds it; draw the mask instead"
        )
    return mask


def box_labels(image: np.ndarray, boxes: Sequence[Box]) -> np.ndarray:
    """Return the label map of the objects in boxes, uint8 (H, W), with ids 1, 2, ...

    Where masks overlap, that of the smaller box is in front.

    Raises:
        InputError: as :func:`box_mask`; no boxes, or too many.
    """
    if not 1 <= len(boxes) <= MAX_OBJECT_ID:
        raise InputError(f"expected 1 to {MAX_OBJECT_ID} boxes, not {len(boxes)}")
    front = sorted(range(len(boxes)), key=lambda place: boxes[place][2] * boxes[place][3])
    masks = np.stack([box_mask(image, boxes[place]) for place in front])
    return from_one_hot(masks, [place + 1 for place in front])


def _enlarged(start: int, length: int, limit: int) -> tuple[int, int]:
    margin = max(2, round(MARGIN * length))
    return max(0, start - margin), min(limit, start + length + margin)


def _text(box: Box) -> str:
    return " ".join(map(str, box))

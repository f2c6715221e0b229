"""COCO's encodings of a mask: run lengths and polygons (needs ``pycocotools``, an optional extra).

Lin et al., "Microsoft COCO: Common Objects in Context" (2014).
"""

from __future__ import annotations

from types import ModuleType
from typing import Any

import cv2
import numpy as np

from scmn.errors import InputError
from scmn.extras import import_optional

TOLERANCE = 0.5
"""How far, in pixels, a polygon may run beside the mask's outline."""


def coco_tools() -> ModuleType:
    """Return ``pycocotools.mask``; InputError if it is not installed."""
    return import_optional("pycocotools.mask", need="COCO's masks need pycocotools", extra="coco")


def mask_to_rle(mask: np.ndarray) -> dict[str, Any]:
    """Encode a mask, bool (H, W), as COCO's compressed run lengths, with text for JSON; exact."""
    encoded = coco_tools().encode(np.asfortranarray(mask, dtype=np.uint8))
    return {"size": [int(n) for n in encoded["size"]], "counts": encoded["counts"].decode()}


def mask_to_polygons(mask: np.ndarray) -> list[list[float]]:
    """Return the outlines of a mask's parts, bool (H, W), as COCO's polygons [x, y, x, y, ...].

    They follow the outline to half a pixel; holes are filled, as polygons of COCO have none.
    """
    # Of doubled pixels the borders have even coordinates at a left or upper edge and odd ones at a
    # right or lower edge: halved and rounded up they are edges of the original pixels.
    doubled = np.repeat(np.repeat(mask.astype(np.uint8), 2, axis=0), 2, axis=1)
    contours, _ = cv2.findContours(doubled, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    polygons = []
    for contour in contours:
        edges = ((contour + 1) // 2).astype(np.int32)
        simple = cv2.approxPolyDP(edges, TOLERANCE, closed=True)
        if len(simple) >= 3:
            polygons.append([float(number) for number in simple.ravel()])
    return polygons


def segmentation_to_mask(segmentation: Any, size: tuple[int, ...]) -> np.ndarray:
    """Decode polygons, or run lengths of either kind, to bool (H, W).

    Raises:
        KeyError, TypeError, ValueError, IndexError: it is neither.
        InputError: pycocotools is not installed, or its size is not ``size``.
    """
    coco = coco_tools()
    height, width = size
    encoded = segmentation
    if isinstance(segmentation, list):
        encoded = coco.merge(coco.frPyObjects(segmentation, height, width))
    elif isinstance(segmentation["counts"], list):
        encoded = coco.frPyObjects(segmentation, *segmentation["size"])
    mask = coco.decode(encoded).astype(bool)
    if mask.shape != tuple(size):
        raise InputError(
            f"a segmentation has {mask.shape[1]}x{mask.shape[0]} pixels but its image is "
            f"{width}x{height}"
        )
    return mask

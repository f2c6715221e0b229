"""Pictures to look at: overlays, contact sheets, heat maps, and features as colours.

Images are uint8 (H, W, 3) RGB. Nothing here affects a result.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import cv2
import numpy as np

from scmn.data.masks import VOID, davis_palette

if TYPE_CHECKING:
    import torch

_FONT = cv2.FONT_HERSHEY_SIMPLEX
_CAPTION_HEIGHT = 26
_CAPTION_MARGIN = 8
_INK = (40, 40, 40)
_GAP = 4  # between the images of a contact sheet, in pixels
_OUTLINE_THICKNESS = 1 / 400  # per pixel of the shorter side


def overlay(
    image: np.ndarray,
    labels: np.ndarray,
    *,
    opacity: float = 0.5,
    outline: bool = True,
    palette: np.ndarray | None = None,
) -> np.ndarray:
    """Return a copy of an image with its objects tinted in the colours of a palette.

        Image.fromarray(overlay(frame, prediction.labels)).save("overlay.png")

    Args:
        image: uint8 (H, W, 3), RGB.
        labels: label map, uint8 (H, W): 0 background, 1..254 objects, 255 void. The background is
            not changed; void is tinted grey.
        opacity: of the tint, from 0 (none) to 1 (the image is hidden).
        outline: whether to draw, just inside each object, its outline in the full colour.
        palette: colours of the labels, uint8 (256, 3) RGB (None: the DAVIS palette).

    Returns:
        uint8 (H, W, 3), RGB.

    Raises:
        ValueError: image and labels differ in size or are not uint8.
    """
    _require_image(image)
    if labels.dtype != np.uint8 or labels.shape != image.shape[:2]:
        raise ValueError(
            f"labels are {labels.dtype} {labels.shape}, expected uint8 {image.shape[:2]}"
        )
    colours = _overlay_palette(palette)[labels]
    marked = labels > 0
    mixed = image.copy()
    tinted = cv2.addWeighted(image, 1 - opacity, colours, opacity, 0)
    mixed[marked] = tinted[marked]
    if outline:
        edge = _inner_outline(labels)
        mixed[edge] = colours[edge]
    return mixed


def _overlay_palette(palette: np.ndarray | None) -> np.ndarray:
    colours = (davis_palette() if palette is None else palette).copy()
    colours[VOID] = 128
    return colours


def _inner_outline(labels: np.ndarray) -> np.ndarray:
    """Return the pixels of objects that are near another label, bool (H, W)."""
    thickness = max(1, round(min(labels.shape) * _OUTLINE_THICKNESS))
    disk = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * thickness + 1, 2 * thickness + 1))
    # All nearby labels are equal where the lowest equals the highest. Pixels beyond the border do
    # not count: an object has no outline where the frame cuts it off.
    differs = cv2.dilate(labels, disk) != cv2.erode(labels, disk)
    return np.asarray(differs & (labels > 0) & (labels != VOID))


def contact_sheet(
    images: Sequence[np.ndarray],
    columns: int,
    *,
    captions: Sequence[str] | None = None,
) -> np.ndarray:
    """Arrange images row by row in one, uint8 (H, W, 3), with captions below them if given.

        contact_sheet(overlays, columns=4, captions=["frame 0", "frame 10", ...])

    All cells have the size of the first image; images of other sizes are scaled to fit and keep
    their aspect ratio.

    Raises:
        ValueError: there is no image, a caption is missing, or ``columns`` is below 1.
    """
    if not images or columns < 1:
        raise ValueError("a contact sheet needs at least one image and one column")
    if captions is not None and len(captions) != len(images):
        raise ValueError(f"{len(captions)} captions for {len(images)} images")
    for image in images:
        _require_image(image)
    height, width = images[0].shape[:2]
    below = _CAPTION_HEIGHT if captions is not None else 0
    columns = min(columns, len(images))
    rows = -(-len(images) // columns)
    shape = (rows * (height + below + _GAP) + _GAP, columns * (width + _GAP) + _GAP, 3)
    sheet = np.full(shape, 255, np.uint8)
    for place, image in enumerate(images):
        top = _GAP + (place // columns) * (height + below + _GAP)
        left = _GAP + (place % columns) * (width + _GAP)
        _put(sheet[top : top + height, left : left + width], image)
        if captions is not None:
            strip = sheet[top + height : top + height + below, left : left + width]
            _write(strip, captions[place])
    return sheet


def _put(cell: np.ndarray, image: np.ndarray) -> None:
    """Write an image into the centre of a cell in place, scaled to fit."""
    (height, width), (rows, columns) = cell.shape[:2], image.shape[:2]
    scale = min(height / rows, width / columns)
    if scale != 1:
        size = (max(1, round(columns * scale)), max(1, round(rows * scale)))
        method = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
        image = cv2.resize(image, size, interpolation=method)
    top, left = (height - image.shape[0]) // 2, (width - image.shape[1]) // 2
    cell[top : top + image.shape[0], left : left + image.shape[1]] = image


def _write(strip: np.ndarray, text: str) -> None:
    """Write a line of text into a strip in place, scaled down to fit."""
    (length, _), _ = cv2.getTextSize(text, _FONT, 1.0, 1)
    room = max(1, strip.shape[1] - 2 * _CAPTION_MARGIN)
    scale = min(0.5, room / max(1, length))
    canvas = np.ascontiguousarray(strip)
    baseline = _CAPTION_HEIGHT - _CAPTION_MARGIN
    cv2.putText(canvas, text, (_CAPTION_MARGIN, baseline), _FONT, scale, _INK, 1, cv2.LINE_AA)
    strip[:] = canvas


def heat_map(image: np.ndarray, field: np.ndarray, *, opacity: float = 0.6) -> np.ndarray:
    """Return an image under a heat map, dark blue for 0 to yellow for 1, uint8 (H, W, 3).

    ``field`` is float (h, w) in [0, 1], such as a spatial prior, at any resolution; other values
    are clipped.

    Raises:
        ValueError: the field is not two-dimensional or not finite.
    """
    _require_image(image)
    values = np.asarray(field, dtype=np.float32)
    if values.ndim != 2 or not np.isfinite(values).all():
        raise ValueError(f"a field is finite float (h, w), not {values.shape}")
    size = (image.shape[1], image.shape[0])
    large = cv2.resize(values, size, interpolation=cv2.INTER_LINEAR)
    levels = np.round(np.clip(large, 0, 1) * 255).astype(np.uint8)
    coloured = cv2.cvtColor(cv2.applyColorMap(levels, cv2.COLORMAP_CIVIDIS), cv2.COLOR_BGR2RGB)
    # In grey, as colours of the image could be mistaken for values.
    grey = cv2.cvtColor(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY), cv2.COLOR_GRAY2RGB)
    return np.asarray(cv2.addWeighted(grey, 1 - opacity, coloured, opacity, 0))


def feature_colours(features: np.ndarray | torch.Tensor) -> np.ndarray:
    """Return features (C, h, w) as colours, uint8 (h, w, 3): similar features look similar.

    Red, green and blue are the first three principal components, from percentile 1 to 99; missing
    ones are 0.

    Raises:
        ValueError: the features are not three-dimensional or not finite.
    """
    positions = _positions(features)
    centred = positions - positions.mean(axis=0)
    _, strengths, found = np.linalg.svd(centred, full_matrices=False)
    rank = int((strengths[:3] > 1e-6 * max(strengths[0], 1e-12)).sum())
    directions = np.zeros((3, positions.shape[1]))
    # The sign of a component is arbitrary; fix it, so that equal features get equal colours.
    signs = np.sign(found[:rank].sum(axis=1, keepdims=True))
    directions[:rank] = found[:rank] * np.where(signs == 0, 1, signs)
    projected = centred @ directions.T
    low, high = np.percentile(projected, (1, 99), axis=0)
    span = np.where(high > low, high - low, 1.0)
    levels = np.round(np.clip((projected - low) / span, 0, 1) * 255).astype(np.uint8)
    return levels.reshape(*features.shape[1:], 3)


def _positions(features: np.ndarray | torch.Tensor) -> np.ndarray:
    """Return features (C, h, w) of numpy or torch as float64 (h * w, C)."""
    if not isinstance(features, np.ndarray):
        # NumPy has no bfloat16, and a tensor may be on a GPU or require a gradient.
        features = features.detach().float().cpu().numpy()
    values = features.astype(np.float64)
    if values.ndim != 3 or not values.size or not np.isfinite(values).all():
        raise ValueError(f"features are finite (C, h, w), not {values.shape}")
    return values.reshape(values.shape[0], -1).T


def _require_image(image: np.ndarray) -> None:
    if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3:
        raise ValueError(f"an image is uint8 (H, W, 3), not {image.dtype} {image.shape}")

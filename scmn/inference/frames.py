"""Frames and label maps in the forms that users give them, and their conversion."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TypeAlias

import numpy as np
import torch
from PIL import Image, ImageOps
from torch import Tensor

from scmn.data.masks import MAX_OBJECT_ID, VOID
from scmn.errors import InputError
from scmn.inference.devices import upload

FrameImage: TypeAlias = np.ndarray | Image.Image | Tensor
"""uint8 (H, W, 3) RGB array or tensor, PIL image, or float tensor (3, H, W) in [0, 1]."""
LabelMap: TypeAlias = np.ndarray | Image.Image | Tensor
"""Integer array or tensor (H, W), or PIL image of mode P, L, I or 1: 0 background, 1..254 object
ids, 255 void."""
VideoLabels: TypeAlias = LabelMap | Mapping[int, LabelMap] | Iterable[tuple[int, LabelMap]]
"""A label map for the first frame, or frame indices with their label maps."""

LABEL_MODES = ("P", "L", "I", "1")
FRAME_MODES = ("RGB", "RGBA", "RGBX", "P", "PA", "L", "LA", "1", "CMYK", "YCbCr", "HSV", "LAB")
"""Modes of eight bits a channel. Pillow cuts others, such as I;16 and F, off at 255."""
ROUNDING = 1e-3
"""How far resampling may carry floats beyond [0, 1]."""


def image_tensor(frame: FrameImage, device: torch.device) -> Tensor:
    """Return (1, 3, H, W) float32 in [0, 1] on the device; InputError for any other kind.

    The numbers of a float tensor are checked if it is on the CPU: elsewhere that would wait for the
    device.
    """
    if isinstance(frame, Image.Image):
        if frame.mode not in FRAME_MODES:
            raise InputError(f"a frame image has eight bits a channel, not mode {frame.mode}")
        # As files are read: cameras store how they were held.
        frame = np.asarray(ImageOps.exif_transpose(frame).convert("RGB"))
    if isinstance(frame, Tensor) and frame.dtype == torch.uint8:
        if frame.dim() != 3 or frame.shape[2] != 3:
            raise InputError(
                "a frame tensor is uint8 (H, W, 3) or float (3, H, W) in [0, 1], not uint8 "
                f"{tuple(frame.shape)}"
            )
        return frame.to(device).permute(2, 0, 1).unsqueeze(0) / 255
    if isinstance(frame, Tensor):
        if frame.dim() != 3 or frame.shape[0] != 3 or not frame.is_floating_point():
            raise InputError(
                "a frame tensor is uint8 (H, W, 3) or float (3, H, W) in [0, 1], not "
                f"{frame.dtype} {tuple(frame.shape)}"
            )
        _check_range(frame)
        return frame.unsqueeze(0).to(device, torch.float32)
    if not isinstance(frame, np.ndarray):
        raise InputError(
            f"a frame is an array, a PIL image or a tensor, not {type(frame).__name__}"
        )
    if frame.ndim != 3 or frame.shape[2] != 3 or frame.dtype != np.uint8:
        raise InputError(f"a frame array is uint8 (H, W, 3), not {frame.dtype} {frame.shape}")
    return image_tensor(upload_frame(frame, device), device)


def _check_range(frame: Tensor) -> None:
    if frame.device.type != "cpu" or frame.numel() == 0:
        return
    lowest, highest = (float(number) for number in frame.aminmax())
    if not (lowest >= -ROUNDING and highest <= 1 + ROUNDING):  # also if one of them is NaN
        raise InputError(f"a float frame is in [0, 1], not {lowest:g}..{highest:g}")


def upload_frame(frame: np.ndarray, device: torch.device) -> Tensor:
    """Start the copy of a frame array, uint8 (H, W, 3), to the device.

    A thread that reads ahead can do so for :func:`image_tensor`, which accepts the result.
    """
    # A copy: the array may be read-only, or a view with negative strides.
    return upload(torch.tensor(np.ascontiguousarray(frame)), device)


def label_array(labels: LabelMap) -> np.ndarray:
    """Return a label map as an array of its own type; InputError for an image of another mode."""
    if isinstance(labels, Image.Image) and labels.mode not in LABEL_MODES:
        raise InputError(
            f"a label image has mode {' or '.join(LABEL_MODES)} with object ids as pixel values, "
            f"not {labels.mode}"
        )
    if isinstance(labels, Tensor):
        labels = labels.cpu().numpy()
    return np.asarray(labels)


def check_labels(labels: np.ndarray, frame_size: tuple[int, int], frame: int) -> None:
    """Raise InputError unless ``labels`` is a label map of the frame's size (H, W).

    Args:
        labels: from :func:`label_array`.
        frame_size: height and width of the frame.
        frame: index of the frame, for the message.
    """
    if labels.shape != frame_size:
        raise InputError(
            f"label map of frame {frame} is {'x'.join(map(str, labels.shape))}, "
            f"its frame {'x'.join(map(str, frame_size))}"
        )
    if labels.dtype.kind not in "bui":
        raise InputError(f"label map of frame {frame} holds {labels.dtype}, not integers")
    if labels.min() < 0 or labels.max() > VOID:
        raise InputError(
            f"label map of frame {frame} holds ids {labels.min()}..{labels.max()}; "
            f"0..{MAX_OBJECT_ID} and {VOID} (void) are allowed"
        )


def labels_by_frame(labels: VideoLabels) -> dict[int, LabelMap]:
    """Return the label maps of a video by frame index; InputError for a negative index."""
    if isinstance(labels, np.ndarray | Image.Image | Tensor):
        return {0: labels}
    by_frame = dict(labels)
    for index in by_frame:
        if index < 0:
            raise InputError(f"label map for frame {index}: frames are counted from 0")
    return by_frame

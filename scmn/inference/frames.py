"""What a frame may be given as, and how it becomes a tensor."""

from __future__ import annotations

from typing import TypeAlias

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from scmn.errors import InputError

FrameImage: TypeAlias = np.ndarray | Image.Image | Tensor
"""uint8 (H, W, 3) RGB array, PIL image, or float tensor (3, H, W) in [0, 1]."""


def image_tensor(frame: FrameImage, device: torch.device) -> Tensor:
    """Return (1, 3, H, W) float32 in [0, 1] on the device; InputError for any other kind."""
    if isinstance(frame, Image.Image):
        frame = np.asarray(frame.convert("RGB"))
    if isinstance(frame, Tensor):
        if frame.dim() != 3 or frame.shape[0] != 3 or not frame.is_floating_point():
            raise InputError(
                f"a frame tensor is float (3, H, W) in [0, 1], not {frame.dtype} "
                f"{tuple(frame.shape)}"
            )
        return frame.unsqueeze(0).to(device, torch.float32)
    if not isinstance(frame, np.ndarray):
        raise InputError(
            f"a frame is an array, a PIL image or a tensor, not {type(frame).__name__}"
        )
    if frame.ndim != 3 or frame.shape[2] != 3 or frame.dtype != np.uint8:
        raise InputError(f"a frame array is uint8 (H, W, 3), not {frame.dtype} {frame.shape}")
    # A copy: the array may be read-only, or a view with negative strides.
    array = torch.tensor(np.ascontiguousarray(frame)).to(device)
    return array.permute(2, 0, 1).unsqueeze(0) / 255

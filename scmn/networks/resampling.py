"""Halving and enlarging of maps, as fast with a few channels as with many.

The CPU's kernels for channels-last and for half precision work on whole vectors of channels: with
fewer they take up to ten times as long as what is done here instead.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

FEW_CHANNELS = 16


def enlarge(x: Tensor, factor: int) -> Tensor:
    """Enlarge (B, C, H, W) bilinearly; pixel centres, not corners, are the fixed points."""
    if x.shape[1] < FEW_CHANNELS and x.device.type == "cpu":
        return _bilinear(x.contiguous().float(), factor).to(x.dtype)
    return _bilinear(x, factor)


def _bilinear(x: Tensor, factor: int) -> Tensor:
    return functional.interpolate(x, scale_factor=factor, mode="bilinear", align_corners=False)


def halve(x: Tensor) -> Tensor:
    """Max-pool (B, C, H, W) with even H and W by 2."""
    if x.shape[1] >= FEW_CHANNELS or x.device.type != "cpu":
        return functional.max_pool2d(x, kernel_size=2)
    rows = torch.maximum(x[:, :, ::2], x[:, :, 1::2])
    return torch.maximum(rows[..., ::2], rows[..., 1::2])

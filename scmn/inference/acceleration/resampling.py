"""Upsampling and max pooling that are as fast with a few channels as with many, on the CPU.

PyTorch's CPU kernels for channels-last maps and for half precision work on whole vectors of
channels; with fewer channels they take up to ten times as long as the modules here.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

FEW_CHANNELS = 16


class FewChannelUpsample(nn.Upsample):
    """``nn.Upsample`` that handles few channels in float32 and in the default memory layout."""

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) -> (B, C, factor * H, factor * W)."""
        if x.shape[1] >= FEW_CHANNELS:
            return super().forward(x)
        return super().forward(x.contiguous().float()).to(x.dtype)


class FewChannelMaxPool2d(nn.MaxPool2d):
    """``nn.MaxPool2d`` of 2x2 pixels that handles few channels by two maxima of half the map."""

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W), H and W even -> (B, C, H/2, W/2)."""
        if x.shape[1] >= FEW_CHANNELS:
            return super().forward(x)
        rows = torch.maximum(x[:, :, ::2], x[:, :, 1::2])
        return torch.maximum(rows[..., ::2], rows[..., 1::2])


def use_few_channel_resampling(network: nn.Module) -> None:
    """Let a network on the CPU resample this way, in place; for inference and training."""
    for module in network.modules():
        if type(module) is nn.Upsample:
            module.__class__ = FewChannelUpsample
        elif type(module) is nn.MaxPool2d and module.kernel_size == module.stride == 2:
            module.__class__ = FewChannelMaxPool2d

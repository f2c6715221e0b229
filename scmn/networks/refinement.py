"""Refinement of each object's full-resolution logits by a small encoder-decoder.

Source: SCMN; the shape follows the residual refinement module of BASNet (Qin et al., CVPR 2019,
3.3), without batch norm, for which there would be no pretrained statistics to freeze.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from scmn.networks.decoder import bilinear_upsampling

LEVELS = 4
"""Levels of max pooling below full resolution, so that the lowest lies at stride 16."""


def _convolution(channels: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(channels, channels, kernel_size=3, padding=1), nn.ReLU(inplace=True)
    )


class JoinedConvolution(nn.Conv2d):
    """3x3 convolution + ReLU of the concatenation of a map and a skip, without concatenating.

    At full resolution the concatenation itself would cost more than the convolution.
    """

    def __init__(self, channels: int) -> None:
        super().__init__(2 * channels, channels, kernel_size=3, padding=1)

    def forward(self, x: Tensor, skip: Tensor) -> Tensor:  # type: ignore[override]
        """``x`` and ``skip``, both (B * N, C, H, W) -> the same shape."""
        weight_x, weight_skip = self.weight.chunk(2, dim=1)
        response = functional.conv2d(skip, weight_skip, self.bias, padding=self.padding)
        return torch.relu_(response.add_(functional.conv2d(x, weight_x, padding=self.padding)))


class Refinement(nn.Module):
    """Down by 3x3 convolutions and max pooling, up again with skips, added to the input."""

    def __init__(self, channels: int, *, logits: int) -> None:
        """
        Args:
            channels: width of every level (64 in BASNet).
            logits: channels of the map that is refined.
        """
        super().__init__()
        self.channels = channels
        self.entry = nn.Conv2d(logits, channels, kernel_size=3, padding=1)
        self.down = nn.ModuleList(_convolution(channels) for _ in range(LEVELS))
        self.bridge = _convolution(channels)
        self.up = nn.ModuleList(JoinedConvolution(channels) for _ in range(LEVELS))
        self.exit = nn.Conv2d(channels, logits, kernel_size=3, padding=1)
        self.max_pool = nn.MaxPool2d(2)
        self.upsample = bilinear_upsampling(2)

    def forward(self, logits: Tensor) -> Tensor:
        """(B * N, logits, H, W), H and W multiples of 16 -> the same shape."""
        x = self.entry(logits)
        skips = []
        for down in self.down:
            x = down(x)
            skips.append(x)
            x = self.max_pool(x)
        x = self.bridge(x)
        for up, skip in zip(self.up, reversed(skips), strict=True):
            x = up(self.upsample(x), skip)
        return logits + self.exit(x)

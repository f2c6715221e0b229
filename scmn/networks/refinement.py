"""Refinement of each object's full-resolution logits by a small encoder-decoder.

Source: SCMN; the shape follows the residual refinement module of BASNet (Qin et al., CVPR 2019,
3.3), without batch norm: this stage never has pretrained statistics to freeze.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

LEVELS = 4
"""Halvings below full resolution, so that the bottom lies at stride 16."""


def _convolution(in_channels: int, out_channels: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(in_channels, out_channels, kernel_size=3, padding=1), nn.ReLU(inplace=True)
    )


class Refinement(nn.Module):
    """Down by 3x3 convolutions and max pooling, up again with skips, added to the input."""

    def __init__(self, channels: int, *, logits: int) -> None:
        """
        Args:
            channels: width of every level (64 in BASNet).
            logits: channels of the map that is refined.
        """
        super().__init__()
        self.entry = nn.Conv2d(logits, channels, kernel_size=3, padding=1)
        self.down = nn.ModuleList(_convolution(channels, channels) for _ in range(LEVELS))
        self.bridge = _convolution(channels, channels)
        self.up = nn.ModuleList(_convolution(2 * channels, channels) for _ in range(LEVELS))
        self.exit = nn.Conv2d(channels, logits, kernel_size=3, padding=1)

    def forward(self, logits: Tensor) -> Tensor:
        """(B * N, logits, H, W), H and W multiples of 16 -> the same shape."""
        x = self.entry(logits)
        skips = []
        for down in self.down:
            x = down(x)
            skips.append(x)
            x = functional.max_pool2d(x, kernel_size=2)
        x = self.bridge(x)
        for up, skip in zip(self.up, reversed(skips), strict=True):
            x = functional.interpolate(x, scale_factor=2, mode="bilinear", align_corners=False)
            x = up(torch.cat([x, skip], dim=1))
        return logits + self.exit(x)

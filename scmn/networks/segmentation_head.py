"""ASPP head of SCMN: memory readout and query features at three scales.

Source: SCMN, segmentation head; atrous spatial pyramid pooling after Chen et al., "DeepLab", 2017.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from scmn.networks.initialization import keep_variance

DILATIONS = (2, 4, 8)


class SegmentationHead(nn.Module):
    """Three parallel 3x3 convolutions of dilation 2, 4 and 8, concatenated and projected."""

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__()
        self.branches = nn.ModuleList(
            nn.Conv2d(in_channels, out_channels, kernel_size=3, padding=rate, dilation=rate)
            for rate in DILATIONS
        )
        self.projection = nn.Conv2d(len(DILATIONS) * out_channels, out_channels, kernel_size=1)
        keep_variance(*(m for m in self.modules() if isinstance(m, nn.Conv2d)))

    def forward(self, x: Tensor) -> Tensor:
        """(B * N, in_channels, h, w) -> the current embedding, (B * N, out_channels, h, w)."""
        branches = [functional.relu(branch(x)) for branch in self.branches]
        return self.projection(torch.cat(branches, dim=1))

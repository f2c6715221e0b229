"""Feature fusion of STCN's value encoder: residual blocks around CBAM attention.

Sources: STCN (Cheng et al., NeurIPS 2021, 3.2); CBAM (Woo et al., ECCV 2018, 3).
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from scmn.networks.decoder import ResidualBlock

REDUCTION = 16
"""CBAM's reduction of channels in the channel gate."""


class ChannelGate(nn.Module):
    """Weights channels by one MLP over their average and their maximum."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.mlp = nn.Sequential(
            nn.Linear(channels, channels // REDUCTION),
            nn.ReLU(),
            nn.Linear(channels // REDUCTION, channels),
        )

    def forward(self, x: Tensor) -> Tensor:
        weights = self.mlp(x.mean(dim=(2, 3))) + self.mlp(x.amax(dim=(2, 3)))
        return x * torch.sigmoid(weights)[:, :, None, None]


class SpatialGate(nn.Module):
    """Weights positions by a 7x7 convolution over the channels' maximum and average."""

    def __init__(self) -> None:
        super().__init__()
        self.convolution = nn.Conv2d(2, 1, kernel_size=7, padding=3)

    def forward(self, x: Tensor) -> Tensor:
        pooled = torch.cat([x.amax(dim=1, keepdim=True), x.mean(dim=1, keepdim=True)], dim=1)
        return x * torch.sigmoid(self.convolution(pooled))


class FeatureFusion(nn.Module):
    """Joins an object's features with the image's key features."""

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__()
        self.block1 = ResidualBlock(in_channels, out_channels)
        self.channel_gate = ChannelGate(out_channels)
        self.spatial_gate = SpatialGate()
        self.block2 = ResidualBlock(out_channels, out_channels)

    def forward(self, object_features: Tensor, image_features: Tensor) -> Tensor:
        """(B * N, C1, h, w) and (B, C2, h, w) -> (B * N, out_channels, h, w)."""
        objects = object_features.shape[0] // image_features.shape[0]
        image_features = image_features.repeat_interleave(objects, dim=0)
        x = self.block1(torch.cat([object_features, image_features], dim=1))
        return self.block2(x + self.spatial_gate(self.channel_gate(x)))

"""Refinement of each object's logits at full resolution by a small encoder-decoder.

Source: SCMN; the shape follows the residual refinement module of BASNet (Qin et al., CVPR 2019,
3.3), without batch norm, for which there would be no pretrained statistics to freeze.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from scmn.networks.decoder import FINEST_STRIDE, bilinear_upsampling

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


class FeatureEntry(nn.Module):
    """The features' part of the refinement's first convolution, at the features' own resolution.

    Convolving the upsampled features would take 16 times the multiplications, and hold all their
    channels at full resolution.
    """

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__()
        self.convolution = nn.Conv2d(
            in_channels, out_channels, kernel_size=3, padding=1, bias=False
        )
        self.upsample = bilinear_upsampling(FINEST_STRIDE)

    def forward(self, features: Tensor) -> Tensor:
        """(B * N, in_channels, H/4, W/4) -> (B * N, out_channels, H, W)."""
        return self.upsample(self.convolution(features))


class Refinement(nn.Module):
    """Down by 3x3 convolutions and max pooling, up again with skips, added to the logits."""

    def __init__(self, channels: int, *, logits: int, features: int | None = None) -> None:
        """
        Args:
            channels: width of every level (64 in BASNet).
            logits: channels of the map that is refined.
            features: channels of the decoder's features that are joined with the logits (None:
                the logits are the only input, as in BASNet).
        """
        super().__init__()
        self.channels = channels
        self.entry = nn.Conv2d(logits, channels, kernel_size=3, padding=1)
        self.feature_entry: FeatureEntry | None = None
        if features is not None:
            self.feature_entry = FeatureEntry(features, channels)
        self.down = nn.ModuleList(_convolution(channels) for _ in range(LEVELS))
        self.bridge = _convolution(channels)
        self.up = nn.ModuleList(JoinedConvolution(channels) for _ in range(LEVELS))
        self.exit = nn.Conv2d(channels, logits, kernel_size=3, padding=1)
        self.max_pool = nn.MaxPool2d(2)
        self.upsample = bilinear_upsampling(2)

    def forward(self, logits: Tensor, features: Tensor) -> Tensor:
        """Refine the logits.

        Args:
            logits: (B * N, logits, H, W), H and W multiples of 16.
            features: the decoder's, (B * N, C, H/4, W/4); unused if the logits are the only input.

        Returns:
            (B * N, logits, H, W).
        """
        x = self.entry(logits)
        if self.feature_entry is not None:
            x = x.add_(self.feature_entry(features))
        skips = []
        for down in self.down:
            x = down(x)
            skips.append(x)
            x = self.max_pool(x)
        x = self.bridge(x)
        for up, skip in zip(self.up, reversed(skips), strict=True):
            x = up(self.upsample(x), skip)
        return logits + self.exit(x)

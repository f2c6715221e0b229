"""Inverted residual blocks in bands of lines, for the CPU: the same numbers, bit for bit.

A block of MobileNetV2 first makes its map six times as deep. At stride 2 of a 480p frame that takes
40 MB, which would go to main memory and back between the convolutions; a band stays in the caches.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torchvision.models.mobilenetv2 import InvertedResidual

from scmn.inference.acceleration.bands import bands

WHOLE_BYTES = 16 << 20
"""Largest expanded map that is computed as a whole: roughly what fits in the caches."""
BAND_BYTES = 4 << 20
"""Size of an expanded band of a larger map."""
MIN_LINES = 8
"""Fewest output lines of a band; with fewer, the lines that neighbouring bands both compute would
cost too much."""


class BandedInvertedResidual(InvertedResidual):  # type: ignore[misc]
    """A block that never holds the whole of a large expanded map."""

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) -> (B, C', H', W')."""
        expanded_bytes = x.nbytes // x.shape[1] * self.conv[0][0].out_channels
        if expanded_bytes <= WHOLE_BYTES:
            whole: Tensor = super().forward(x)
            return whole
        height = -(-x.shape[2] // self.stride)
        parts = bands(height, expanded_bytes, band_bytes=BAND_BYTES, min_lines=MIN_LINES)
        out = torch.cat([self._band(x, *part) for part in parts], dim=2)
        return x + out if self.use_res_connect else out

    def _band(self, x: Tensor, top: int, bottom: int) -> Tensor:
        """Return the block's lines from ``top`` up to ``bottom``, without the shortcut."""
        # The 3x3 convolution sees one more line on each side. Inside the map, the line above is
        # computed with padding and left out.
        first = max(0, top - 1)
        last = self.stride * (bottom - 1) + 2
        band: Tensor = self.conv(x[:, :, self.stride * first : last])
        return band[:, :, top - first : bottom - first]


def use_banded_inverted_residuals(network: nn.Module) -> None:
    """Compute the blocks of a network on the CPU that expand their map in bands, in place."""
    for module in network.modules():
        if type(module) is InvertedResidual and _expands(module):
            module.__class__ = BandedInvertedResidual


def _expands(block: InvertedResidual) -> bool:
    first: nn.Conv2d = block.conv[0][0]
    return first.kernel_size == (1, 1)

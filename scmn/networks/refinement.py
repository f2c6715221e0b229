"""Refinement of each object's full-resolution logits by a small encoder-decoder.

Source: SCMN; the shape follows the residual refinement module of BASNet (Qin et al., CVPR 2019,
3.3), without batch norm: this stage never has pretrained statistics to freeze.
"""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional

from scmn.networks.resampling import enlarge, halve

LEVELS = 4
"""Halvings below full resolution, so that the bottom lies at stride 16."""
MAPS_AT_ONCE = 5
"""Full-resolution maps of its width that it holds at its peak."""


def _convolution(channels: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(channels, channels, kernel_size=3, padding=1), nn.ReLU(inplace=True)
    )


class JoinedConvolution(nn.Conv2d):
    """Enlarging + 3x3 convolution + ReLU of a map and a skip, as of their concatenation.

    At full resolution the concatenation itself would cost more than the convolution.
    """

    def __init__(self, channels: int) -> None:
        super().__init__(2 * channels, channels, kernel_size=3, padding=1)

    def forward(self, x: Tensor, skip: Tensor) -> Tensor:  # type: ignore[override]
        """``x`` (B * N, C, H/2, W/2) and ``skip`` (B * N, C, H, W) -> as ``skip``."""
        return self.join(enlarge(x, 2), skip)

    def join(self, x: Tensor, skip: Tensor) -> Tensor:
        """The same of a map that is enlarged already, (B * N, C, H, W)."""
        of_x, of_skip = self.weight.chunk(2, dim=1)
        response = functional.conv2d(skip, of_skip, self.bias, padding=self.padding)
        return functional.relu_(response.add_(functional.conv2d(x, of_x, padding=self.padding)))


class Refinement(nn.Module):
    """Down by 3x3 convolutions and max pooling, up again with skips, added to the input."""

    def __init__(self, channels: int, *, logits: int) -> None:
        """
        Args:
            channels: width of every level (64 in BASNet).
            logits: channels of the map that is refined.
        """
        super().__init__()
        self.floats_per_pixel = MAPS_AT_ONCE * channels
        self.entry: nn.Module = nn.Conv2d(logits, channels, kernel_size=3, padding=1)
        self.down = nn.ModuleList(_convolution(channels) for _ in range(LEVELS))
        self.bridge = _convolution(channels)
        self.up = nn.ModuleList(JoinedConvolution(channels) for _ in range(LEVELS))
        self.exit: nn.Module = nn.Conv2d(channels, logits, kernel_size=3, padding=1)

    def forward(self, logits: Tensor) -> Tensor:
        """(B * N, logits, H, W), H and W multiples of 16 -> the same shape."""
        x = self.entry(logits)
        skips = []
        for down in self.down:
            x = down(x)
            skips.append(x)
            x = halve(x)
        x = self.bridge(x)
        for up, skip in zip(self.up, reversed(skips), strict=True):
            x = up(x, skip)
        return logits + self.exit(x)

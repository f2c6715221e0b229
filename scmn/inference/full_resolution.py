"""The refinement's operations at full resolution as a CPU does them best: the same numbers.

There each map of its 64 channels takes 100 MB at 480p, which neither stays in the caches nor is at
hand: the system clears memory for it anew on every frame.
"""

from __future__ import annotations

import itertools

import torch
from torch import Tensor, nn
from torch.nn import functional

from scmn.networks.refinement import JoinedConvolution, Refinement
from scmn.networks.resampling import enlarge

REACH = 3
"""Lines at a border that decide what a pair of convolutions makes of the outermost one."""
BAND_BYTES = 16 << 20
"""What a band of a map may take: about what stays in the caches."""
FEWEST_LINES = 48
"""Lines of a band; with fewer, those that neighbours compute as well would weigh."""
MARGIN = 2
"""Further lines on each side, at half and at full resolution, that a band's result depends on."""


class ConvolutionPair(nn.Module):
    """Two 3x3 convolutions in a row, with nothing between them, as one: the refinement's first two.

    A 5x5 convolution of two logits takes an eleventh of the products of the 3x3 convolution of 64
    maps that it spares. The second one pads what the first one returns with zeros; their product
    cannot know these, so the outermost line on each side is computed in two steps.
    """

    weight: Tensor
    bias: Tensor

    def __init__(self, first: nn.Conv2d, second: nn.Conv2d) -> None:
        """
        Args:
            first: 3x3 with padding 1.
            second: the same, of what ``first`` returns; both are kept for the borders.
        """
        super().__init__()
        self.first = first
        self.second = second
        inner, outer = first.weight.double(), second.weight.double()
        assert first.bias is not None
        assert second.bias is not None
        bias = second.bias.double() + outer.sum(dim=(2, 3)) @ first.bias.double()
        self.register_buffer("weight", functional.conv_transpose2d(outer, inner).to(first.weight))
        self.register_buffer("bias", bias.to(first.weight))

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) -> (B, O, H, W)."""
        x = x.contiguous(memory_format=torch.channels_last)
        out = functional.conv2d(x, self.weight, self.bias, padding=2)
        for line, near in (
            (slice(0, 1), slice(0, REACH)),
            (slice(-1, None), slice(-REACH, None)),
        ):
            out[:, :, line] = self.second(self.first(x[:, :, near]))[:, :, line]
            out[..., line] = self.second(self.first(x[..., near]))[..., line]
        return out


class BandedExit(nn.Module):
    """The refinement's last joined convolution and its exit, some lines at a time."""

    def __init__(self, joined: JoinedConvolution, exit: nn.Conv2d) -> None:
        """
        Args:
            joined: 3x3 with padding 1, at full resolution.
            exit: the same, of what ``joined`` returns.
        """
        super().__init__()
        self.joined = joined
        self.exit = exit

    def forward(self, x: Tensor, skip: Tensor) -> Tensor:
        """``x`` (B, C, H/2, W/2) and ``skip`` (B, C, H, W) -> what the exit returns."""
        height = skip.shape[2]
        lines = max(FEWEST_LINES, BAND_BYTES * height // skip.nbytes)
        bands = -(-height // lines)
        at = [2 * round(x.shape[2] * band / bands) for band in range(bands + 1)]
        return torch.cat(
            [self._band(x, skip, top, bottom) for top, bottom in itertools.pairwise(at)],
            dim=2,
        )

    def _band(self, x: Tensor, skip: Tensor, top: int, bottom: int) -> Tensor:
        """Return the lines from ``top`` up to ``bottom``, both even."""
        first, last = max(0, top - MARGIN), min(skip.shape[2], bottom + MARGIN)
        lower = max(0, top // 2 - MARGIN)
        enlarged = enlarge(x[:, :, lower : bottom // 2 + MARGIN], 2)
        enlarged = enlarged[:, :, first - 2 * lower : last - 2 * lower]
        # Where the band ends and the map goes on, the outermost of both results are not theirs.
        near = self.exit(self.joined.join(enlarged, skip[:, :, first:last]))
        return near[:, :, top - first : bottom - first]


def use_full_resolution_modules(network: nn.Module) -> None:
    """Take them for each refinement within a network, in place."""
    for module in network.modules():
        if isinstance(module, Refinement):
            entry, down, joined, exit = module.entry, module.down[0], module.up[-1], module.exit
            assert isinstance(down, nn.Sequential)
            first = down[0]
            assert isinstance(entry, nn.Conv2d)
            assert isinstance(first, nn.Conv2d)
            assert isinstance(joined, JoinedConvolution)
            assert isinstance(exit, nn.Conv2d)
            down[0] = ConvolutionPair(entry, first)
            module.entry = nn.Identity()
            module.up[-1] = BandedExit(joined, exit)
            module.exit = nn.Identity()

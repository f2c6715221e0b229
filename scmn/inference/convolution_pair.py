"""Two convolutions in a row, with nothing between them, as one: the refinement's first two.

At full resolution a 5x5 convolution of two logits takes an eleventh of the products of the 3x3
convolution of 64 maps that it spares.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from scmn.networks.refinement import Refinement

REACH = 3
"""Lines at a border that decide what the pair makes of the outermost one."""


class ConvolutionPair(nn.Module):
    """Two 3x3 convolutions in a row, for inference.

    The second one pads what the first one returns with zeros; their product cannot know these, so
    the outermost line on each side is computed in two steps.
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


def use_convolution_pairs(network: nn.Module) -> None:
    """Make one of the first two convolutions of each refinement within a network, in place."""
    for module in network.modules():
        if isinstance(module, Refinement):
            entry, down = module.entry, module.down[0]
            assert isinstance(down, nn.Sequential)
            first = down[0]
            assert isinstance(entry, nn.Conv2d)
            assert isinstance(first, nn.Conv2d)
            down[0] = ConvolutionPair(entry, first)
            module.entry = nn.Identity()

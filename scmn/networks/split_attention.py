"""Split attention of ResNeSt in fewer passes over its maps, from the library's layers.

Source: Zhang et al., "ResNeSt: Split-Attention Networks", 2020, 3.1.
"""

from __future__ import annotations

import torch
from resnest.torch.splat import SplAtConv2d
from torch import Tensor, nn


class SplitAttention(nn.Module):
    """Convolution into two splits and their sum, weighted by attention over the splits.

    The library's forward pass makes eight passes over full maps and changes their memory layout.
    Here the means are taken of each split, and the two attention weights, which sum to 1, blend the
    splits in one pass. State-dict names are those of the library.
    """

    def __init__(self, library: SplAtConv2d) -> None:
        """
        Args:
            library: the module whose layers this one takes over.

        Raises:
            ValueError: not the kind that ResNeSt-50 uses: two splits, one group, no DropBlock.
        """
        super().__init__()
        if library.radix != 2 or library.cardinality != 1 or library.dropblock_prob > 0:
            raise ValueError("SplitAttention supports only two splits, one group and no DropBlock")
        self.conv = library.conv
        self.bn0 = library.bn0
        self.fc1 = library.fc1
        self.bn1 = library.bn1
        self.fc2 = library.fc2

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) -> (B, C, H, W)."""
        first, second = torch.relu_(self.bn0(self.conv(x))).chunk(2, dim=1)
        means = first.mean(dim=(2, 3), keepdim=True) + second.mean(dim=(2, 3), keepdim=True)
        attention = self.fc2(torch.relu_(self.bn1(self.fc1(means))))
        # The softmax over two splits is the sigmoid of their difference.
        for_first, for_second = attention.chunk(2, dim=1)
        weight = torch.sigmoid(for_first - for_second)
        return torch.lerp(second, first, weight)


def use_lean_split_attention(network: nn.Module) -> None:
    """Replace the library's split attention in a network, in place."""
    for parent in list(network.modules()):
        for name, child in list(parent.named_children()):
            if isinstance(child, SplAtConv2d):
                setattr(parent, name, SplitAttention(child))

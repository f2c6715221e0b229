"""Split attention of ResNeSt in fewer passes over its maps, with the library's own parts.

Source: Zhang et al., "ResNeSt: Split-Attention Networks", 2020, 3.1.
"""

from __future__ import annotations

import torch
from resnest.torch.splat import SplAtConv2d
from torch import Tensor, nn

from scmn.networks.replacement import replace_modules


class SplitAttention(nn.Module):
    """Convolution into two splits and their sum, weighted by attention over the splits.

    The library's forward pass goes eight times over full maps and hands them on in another memory
    layout than it got them in. Here the means that attention starts from are taken of each split,
    and the two weights, which sum to 1, blend the splits in one pass. Names of weights stay.
    """

    def __init__(self, library: SplAtConv2d) -> None:
        """
        Args:
            library: the module whose parts are taken over.

        Raises:
            ValueError: it is not of the kind that ResNeSt-50 is made of: two splits, one group.
        """
        super().__init__()
        if library.radix != 2 or library.cardinality != 1 or library.dropblock_prob > 0:
            raise ValueError("split attention of two splits, one group and no dropping only")
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
        # Softmax over two splits is the sigmoid of their difference.
        for_first, for_second = attention.chunk(2, dim=1)
        weight = torch.sigmoid(for_first - for_second)
        return torch.lerp(second, first, weight)


def use_lean_split_attention(network: nn.Module) -> None:
    """Replace the library's split attention within a network, in place."""
    replace_modules(
        network, lambda module: SplitAttention(module) if isinstance(module, SplAtConv2d) else None
    )

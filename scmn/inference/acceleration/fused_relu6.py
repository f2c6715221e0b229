"""Convolution and ReLU6 as one operation on the CPU, as in every block of MobileNetV2.

ReLU6 by itself reads and writes the whole map once more, which takes as long as a depthwise
convolution. oneDNN clamps while it writes; the numbers are the same, bit for bit.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torchvision.ops import Conv2dNormActivation


class FusedConvolutionReLU6(Conv2dNormActivation):  # type: ignore[misc]
    """A convolution, its folded norm and ReLU6 in one pass."""

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) -> (B, C', H', W')."""
        convolution: nn.Conv2d = self[0]
        # The operation that torch.compile emits for the same pair of modules.
        return torch.ops.mkldnn._convolution_pointwise(
            x.to(convolution.weight.dtype),
            convolution.weight,
            convolution.bias,
            convolution.padding,
            convolution.stride,
            convolution.dilation,
            convolution.groups,
            "hardtanh",
            [0.0, 6.0],
            "",
        )


def use_fused_relu6(network: nn.Module) -> None:
    """Fuse every ReLU6 of a network on the CPU with the convolution before it, in place.

    Fold the norms between the two first.
    """
    if not torch.backends.mkldnn.is_available():
        return
    for module in network.modules():
        parts = [type(part) for part in module.children()]
        if type(module) is Conv2dNormActivation and parts == [nn.Conv2d, nn.Identity, nn.ReLU6]:
            module.__class__ = FusedConvolutionReLU6

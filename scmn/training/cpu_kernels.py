"""Modules that train far faster on a CPU than the standard ones, with the same parameters."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from scmn.inference.acceleration.resampling import use_few_channel_resampling


class _Float32Conv2d(nn.Conv2d):
    """A convolution that trains in float32 even under autocast."""

    def forward(self, x: Tensor) -> Tensor:
        if not self.training:  # there is no gradient to compute, and validation converts weights
            return super().forward(x)
        with torch.autocast(x.device.type, enabled=False):
            return super().forward(x.float())


def use_cpu_kernels(network: nn.Module) -> None:
    """Let a network train faster on the CPU, in place; parameters stay the same objects.

    Maps of few channels are resampled faster. Strided depthwise convolutions, with which
    MobileNetV2 downsamples, compute in float32: in bfloat16 their gradient takes 5 to 12 times as
    long, a quarter of a training step.
    """
    use_few_channel_resampling(network)
    for module in network.modules():
        if not isinstance(module, nn.Conv2d) or module.stride == (1, 1):
            continue
        if 1 < module.groups == module.in_channels:
            module.__class__ = _Float32Conv2d

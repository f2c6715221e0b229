"""Folding of batch norms into the convolutions before them, for inference."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm  # BatchNorm2d and SyncBatchNorm
from torch.nn.utils.fusion import fuse_conv_bn_eval

from scmn.networks.backbones import Trunk
from scmn.networks.base import STRIDE, MemoryNetwork


@torch.no_grad()
def fold_norms(network: MemoryNetwork) -> None:
    """Fold every batch norm of a network's trunks, in place.

    The memory encoder adds its mask stems to the output of the trunk's first convolution, so they
    are scaled as the norm after it does.
    """
    memory_encoder = network.memory_encoder
    for trunk in (network.query_encoder.trunk, memory_encoder.trunk):
        norms = _norms_by_convolution(trunk)
        first_norm = norms.get(trunk.first_convolution)
        if trunk is memory_encoder.trunk and first_norm is not None:
            assert first_norm.running_var is not None
            scale = first_norm.weight * torch.rsqrt(first_norm.running_var + first_norm.eps)
            for stem in memory_encoder.mask_stems:
                stem.weight.mul_(scale.view(-1, 1, 1, 1))
        names = {module: name for name, module in trunk.named_modules()}
        for convolution, norm in norms.items():
            trunk.set_submodule(names[convolution], fuse_conv_bn_eval(convolution, norm))
            trunk.set_submodule(names[norm], nn.Identity())


def _norms_by_convolution(trunk: Trunk) -> dict[nn.Conv2d, _BatchNorm]:
    """Return the batch norm that receives each convolution's output, found by running the trunk."""
    modules = list(trunk.modules())
    if not any(isinstance(module, _BatchNorm) for module in modules):
        return {}  # folded before
    outputs: list[tuple[Tensor, nn.Conv2d]] = []
    norms: dict[nn.Conv2d, _BatchNorm] = {}

    def record_output(convolution: Any, inputs: Any, output: Tensor) -> None:
        outputs.append((output, convolution))

    def find_convolution(norm: Any, inputs: tuple[Tensor]) -> None:
        norms.update({conv: norm for output, conv in outputs if output is inputs[0]})

    hooks = [m.register_forward_hook(record_output) for m in modules if isinstance(m, nn.Conv2d)]
    hooks += [
        module.register_forward_pre_hook(find_convolution)
        for module in modules
        if isinstance(module, _BatchNorm)
    ]
    trunk(torch.zeros(1, 3, 2 * STRIDE, 2 * STRIDE, device=trunk.scale.device))
    for hook in hooks:
        hook.remove()
    return norms

"""An accelerated copy of a network: the same up to rounding, from fewer and smaller operations."""

from __future__ import annotations

import copy
from typing import Any
from weakref import WeakKeyDictionary

import torch
from torch import nn

from scmn.errors import InputError
from scmn.inference.acceleration.fused_relu6 import use_fused_relu6
from scmn.inference.acceleration.inverted_residual import use_banded_inverted_residuals
from scmn.inference.acceleration.norm_folding import fold_norms
from scmn.inference.acceleration.refinement import use_banded_refinement
from scmn.inference.acceleration.resampling import use_few_channel_resampling
from scmn.inference.acceleration.winograd import use_winograd
from scmn.networks.base import MemoryNetwork
from scmn.networks.refinement import Refinement

_ACCELERATED: WeakKeyDictionary[MemoryNetwork, tuple[torch.device, torch.dtype | None, bool]] = (
    WeakKeyDictionary()
)


def accelerate(
    network: MemoryNetwork,
    device: torch.device,
    dtype: torch.dtype | None,
    *,
    compiled: bool = False,
) -> MemoryNetwork:
    """Return an accelerated copy of a network; the network itself is not changed.

    Batch norms are folded into the convolutions before them, weights are converted once instead of
    on every frame and laid out channels-last. On the CPU, maps of few channels are resampled
    faster, the refinement and MobileNetV2's first blocks go through large maps in bands and ReLU6
    takes no pass of its own; in float32, wide convolutions take fewer multiplications. The copy
    keeps the network's methods: inference runs what training runs.

    Args:
        network: any network; one that this function returned for the same device, data type and
            compilation is returned as it is.
        device: where the copy runs.
        dtype: data type of the convolutions in mixed precision (None: float32).
        compiled: compile encoders, decoder and refinement, on a GPU into CUDA graphs.

    Raises:
        InputError: this function returned the network for something else.
    """
    purpose = (device, dtype, compiled)
    earlier = _ACCELERATED.get(network)
    if earlier == purpose:
        return network
    if earlier is not None:
        raise InputError(
            "the network is a segmenter's accelerated copy for another device, precision or "
            "compilation; give the network that the copy was made of"
        )
    accelerated = copy.deepcopy(network).to(device).eval().requires_grad_(False)
    fold_norms(accelerated)
    for module in accelerated.modules():
        if isinstance(module, nn.Conv2d | nn.Linear):
            module.to(dtype)
    if device.type == "cpu":
        use_few_channel_resampling(accelerated)
        use_banded_refinement(accelerated)
        if not compiled:
            use_fused_relu6(accelerated)
            use_banded_inverted_residuals(accelerated)
            if dtype is None:
                use_winograd(accelerated)
    accelerated = accelerated.to(memory_format=torch.channels_last)
    if compiled:
        mode = "reduce-overhead" if device.type == "cuda" else "default"
        compile_parts(accelerated, mode=mode)
    _ACCELERATED[accelerated] = purpose
    return accelerated


def compile_parts(network: MemoryNetwork, **options: Any) -> None:
    """Compile a network's encoders, decoder and refinement in place, for inference or training.

    The memory read between them is left out: its size changes from frame to frame. A part is
    compiled for one number of objects or frame size, and once more for all if that changes: torch
    gives up on what it has to compile for each of more than eight. The refinement in bands, of the
    CPU, is not compiled: its bands depend on the size.

    Args:
        network: any network.
        **options: those of ``torch.compile``.
    """
    refinements = [module for module in network.modules() if isinstance(module, Refinement)]
    for part in (network.query_encoder, network.memory_encoder, network.decoder, *refinements):
        part.compile(**options)

"""A network made ready for inference: the same numbers from fewer and smaller operations."""

from __future__ import annotations

import copy
from weakref import WeakKeyDictionary

import torch
from torch import nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from scmn.inference.full_resolution import use_full_resolution_modules
from scmn.inference.winograd import use_winograd
from scmn.networks.base import MemoryNetwork
from scmn.networks.encoders import MemoryEncoder

_PREPARED: WeakKeyDictionary[MemoryNetwork, tuple[torch.device, torch.dtype | None, bool]] = (
    WeakKeyDictionary()
)


def prepare(
    network: MemoryNetwork,
    device: torch.device,
    dtype: torch.dtype | None,
    *,
    compiled: bool = False,
) -> MemoryNetwork:
    """Return a copy of a network for inference; the network itself stays as it is.

    Batch norm is folded into the convolution before it, weights are converted once instead of on
    every frame, and laid out channels-last. On the CPU the refinement goes less often over maps of
    full resolution, and in float32 wide convolutions take fewer multiplications. The copy has the
    network's methods: what is called is what is trained.

    Args:
        network: any network; one that this function returned is not copied again.
        device: where the copy goes.
        dtype: in what automatic mixed precision convolves, None for float32.
        compiled: whether encoders and decoder are compiled, on a GPU into CUDA graphs.
    """
    purpose = (device, dtype, compiled)
    if _PREPARED.get(network) == purpose:
        return network
    prepared = copy.deepcopy(network).to(device).eval().requires_grad_(False)
    for module in list(prepared.modules()):
        if isinstance(module, MemoryEncoder):
            _scale_mask_stems(module)
    for module in list(prepared.modules()):
        _fold_norms(module)
    for module in prepared.modules():
        if isinstance(module, nn.Conv2d | nn.Linear):
            module.to(dtype)
    if device.type == "cpu":
        use_full_resolution_modules(prepared)
        if dtype is None and not compiled:
            use_winograd(prepared)
    prepared = prepared.to(memory_format=torch.channels_last)
    if compiled:
        mode = "reduce-overhead" if device.type == "cuda" else "default"
        prepared.compile_parts(mode=mode, dynamic=False)
    _PREPARED[prepared] = purpose
    return prepared


def _fold_norms(module: nn.Module) -> None:
    """Fold each batch norm among a module's children into the convolution that stands before it.

    In the trunks' modules, children stand in the order in which they are called.
    """
    before: tuple[nn.Module, str, nn.Conv2d] | None = None
    for name, child in list(module.named_children()):
        if isinstance(child, nn.BatchNorm2d) and before is not None:
            owner, key, convolution = before
            setattr(owner, key, fuse_conv_bn_eval(convolution, child))
            setattr(module, name, nn.Identity())
        before = _last_convolution(module, name)


def _last_convolution(owner: nn.Module, name: str) -> tuple[nn.Module, str, nn.Conv2d] | None:
    """Return the convolution that ends a child, with the module and the name that hold it."""
    child = owner.get_submodule(name)
    if isinstance(child, nn.Conv2d):
        return owner, name, child
    if isinstance(child, nn.Sequential) and len(child):
        return _last_convolution(child, list(child._modules)[-1])
    return None


def _scale_mask_stems(encoder: MemoryEncoder) -> None:
    """Scale what the masks add to the first convolution's response as the norm after it does."""
    norm = encoder.trunk.first_norm
    if not isinstance(norm, nn.BatchNorm2d):
        return  # folded before
    assert norm.running_var is not None
    scale = norm.weight * torch.rsqrt(norm.running_var + norm.eps)
    for stem in (encoder.object_stem, encoder.others_stem):
        stem.weight.data.mul_(scale.view(-1, 1, 1, 1))

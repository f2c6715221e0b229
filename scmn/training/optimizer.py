"""Adam and AdamW, their learning rate, and gradient clipping."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Adam, AdamW, Optimizer

from scmn.errors import InputError
from scmn.networks.backbones import Trunk
from scmn.networks.mask_quality import MaskQuality
from scmn.training.settings import OptimizerSettings

OPTIMIZERS: dict[str, type[Adam]] = {"adam": Adam, "adamw": AdamW}


def build_optimizer(network: nn.Module, settings: OptimizerSettings) -> Optimizer:
    """Build the optimizer of the parameters that require a gradient.

    Move the network to its device first.

    Raises:
        InputError: no parameter requires a gradient.
    """
    parameters = _parameters(network)
    if not parameters:
        raise InputError("no parameter of the network requires a gradient")
    fused = settings.fused
    if fused is None:
        fused = all(parameter.is_cuda for parameter in parameters)
    return OPTIMIZERS[settings.name](
        parameters,
        lr=settings.learning_rate,
        betas=settings.betas,
        eps=settings.epsilon,
        weight_decay=settings.weight_decay,
        fused=fused,
    )


def set_learning_rate(optimizer: Optimizer, rate: float) -> None:
    """Set the learning rate of all parameters."""
    for group in optimizer.param_groups:
        group["lr"] = rate


def restore_optimizer(optimizer: Optimizer, state: Mapping[str, Any]) -> None:
    """Load the moments of a checkpoint; rate, decay and the like stay as configured.

    Raises:
        InputError: the state belongs to another number of parameters.
    """
    (own,) = optimizer.state_dict()["param_groups"]
    # Earlier versions wrote a group for the trunks and one for the other parameters.
    saved = [number for group in state["param_groups"] for number in group["params"]]
    if len(saved) != len(own["params"]):
        raise InputError(
            f"the checkpoint's optimizer has {len(saved)} parameters, this configuration "
            f"{len(own['params'])}: resume with the same network, norm settings and parts"
        )
    group = {**own, "params": saved}
    optimizer.load_state_dict({"state": state["state"], "param_groups": [group]})


def clip_gradients(network: nn.Module, maximum: float | None) -> Tensor:
    """Scale gradients down to the global norm ``maximum`` and return their norm before that.

    The estimate of mask quality, whose gradients do not reach the other parts, is scaled by itself.
    With mixed precision, unscale the gradients first.
    """
    estimates = [module for module in network.modules() if isinstance(module, MaskQuality)]
    apart = {id(parameter) for module in estimates for parameter in module.parameters()}
    trained = [parameter for parameter in network.parameters() if parameter.grad is not None]
    groups = [[p for p in trained if (id(p) in apart) == separate] for separate in (False, True)]
    norms = [_clipped(group, maximum) for group in groups if group]
    return norms[0] if len(norms) == 1 else torch.stack(norms).square().sum().sqrt()


def _clipped(parameters: Iterable[Tensor], maximum: float | None) -> Tensor:
    parameters = list(parameters)
    if maximum is not None:
        return nn.utils.clip_grad_norm_(parameters, maximum)
    return nn.utils.get_total_norm([p.grad for p in parameters if p.grad is not None])


def _parameters(network: nn.Module) -> list[nn.Parameter]:
    """Return the parameters to train, those of the trunks last: the order of all checkpoints."""
    trunks = [module for module in network.modules() if isinstance(module, Trunk)]
    in_trunks = {id(parameter) for trunk in trunks for parameter in trunk.parameters()}
    parameters = [parameter for parameter in network.parameters() if parameter.requires_grad]
    return sorted(parameters, key=lambda parameter: id(parameter) in in_trunks)

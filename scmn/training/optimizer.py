"""Adam and AdamW over groups of parameters, their learning rate, and gradient clipping."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from torch import Tensor, nn
from torch.optim import Adam, AdamW, Optimizer

from scmn.errors import InputError, nearest_name
from scmn.networks.backbones import Trunk
from scmn.training.settings import OptimizerSettings

OPTIMIZERS: dict[str, type[Adam]] = {"adam": Adam, "adamw": AdamW}


def build_optimizer(network: nn.Module, settings: OptimizerSettings) -> Optimizer:
    """Build the optimizer of the parameters that require a gradient.

    Their groups are called "network" or "backbone", and "..., not decayed" for norms and biases
    where these are exempt from weight decay. Move the network to its device first.

    Raises:
        InputError: an unknown name, or a value out of its range.
    """
    _check(settings)
    groups = _parameter_groups(network, settings)
    parameters = [parameter for group in groups for parameter in group["params"]]
    if not parameters:
        raise InputError("no parameter of the network requires a gradient")
    fused = settings.fused
    if fused is None:
        fused = all(parameter.is_cuda for parameter in parameters)
    return OPTIMIZERS[settings.name](
        groups,
        lr=settings.learning_rate,
        betas=(settings.betas[0], settings.betas[1]),
        eps=settings.epsilon,
        fused=fused,
    )


def set_learning_rate(optimizer: Optimizer, factor: float) -> None:
    """Set every group's learning rate to ``factor`` times its base rate."""
    for group in optimizer.param_groups:
        group["lr"] = factor * group["initial_lr"]


def restore_optimizer(optimizer: Optimizer, state: Mapping[str, Any]) -> None:
    """Load the moments of a checkpoint; rates, decay and the like stay as configured.

    Raises:
        InputError: the state belongs to other groups of parameters.
    """
    own = optimizer.state_dict()
    groups = [(group["name"], len(group["params"])) for group in own["param_groups"]]
    saved = [(group.get("name"), len(group["params"])) for group in state["param_groups"]]
    if groups != saved:
        raise InputError(
            "the checkpoint's optimizer has the parameter groups "
            f"{_listed(saved)}, this configuration {_listed(groups)}: "
            "resume with the same network, norm and optimizer settings"
        )
    merged = [
        {**ours, "params": theirs["params"]}
        for ours, theirs in zip(own["param_groups"], state["param_groups"], strict=True)
    ]
    try:
        optimizer.load_state_dict({"state": state["state"], "param_groups": merged})
    except ValueError as error:
        raise InputError(f"the checkpoint's optimizer does not fit: {error}") from error


def clip_gradients(parameters: Iterable[Tensor], maximum: float | None) -> Tensor:
    """Scale gradients down to the global norm ``maximum`` and return the norm that they had.

    With mixed precision, unscale the gradients first.
    """
    with_gradient = [parameter for parameter in parameters if parameter.grad is not None]
    if maximum is not None:
        return nn.utils.clip_grad_norm_(with_gradient, maximum)
    return nn.utils.get_total_norm([p.grad for p in with_gradient if p.grad is not None])


def _parameter_groups(network: nn.Module, settings: OptimizerSettings) -> list[dict[str, Any]]:
    in_trunks = {
        id(parameter)
        for module in network.modules()
        if isinstance(module, Trunk)
        for parameter in module.parameters()
    }
    members: dict[tuple[bool, bool], list[nn.Parameter]] = {}
    for parameter in network.parameters():
        if parameter.requires_grad:
            # Norms' weights and all biases are vectors, everything else has more dimensions.
            decayed = settings.decay_norms_and_biases or parameter.ndim > 1
            members.setdefault((id(parameter) in in_trunks, decayed), []).append(parameter)
    groups = []
    for (backbone, decayed), parameters in sorted(members.items(), key=lambda item: item[0]):
        rate = settings.learning_rate * (settings.backbone_factor if backbone else 1.0)
        groups.append(
            {
                "name": ("backbone" if backbone else "network")
                + ("" if decayed else ", not decayed"),
                "params": parameters,
                "lr": rate,
                "initial_lr": rate,
                "weight_decay": settings.weight_decay if decayed else 0.0,
            }
        )
    return groups


def _check(settings: OptimizerSettings) -> None:
    if settings.name not in OPTIMIZERS:
        raise InputError(
            f"unknown optimizer '{settings.name}'{nearest_name(settings.name, OPTIMIZERS)}; "
            f"known: {', '.join(OPTIMIZERS)}"
        )
    for name in ("learning_rate", "backbone_factor", "weight_decay"):
        if not getattr(settings, name) >= 0:
            raise InputError(f"optimizer.{name} is at least 0, not {getattr(settings, name)}")
    if not settings.epsilon > 0:
        raise InputError(f"optimizer.epsilon is above 0, not {settings.epsilon}")
    if len(settings.betas) != 2 or not all(0 <= beta < 1 for beta in settings.betas):
        raise InputError(f"optimizer.betas are two values in [0, 1), not {list(settings.betas)}")
    maximum = settings.clip_gradient_norm
    if maximum is not None and not maximum > 0:
        raise InputError(f"optimizer.clip_gradient_norm is above 0 or null, not {maximum}")


def _listed(groups: list[tuple[Any, int]]) -> str:
    return ", ".join(f"'{name}' of {count}" for name, count in groups)

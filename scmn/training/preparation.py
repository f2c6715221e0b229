"""Preparation of a network for training."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from scmn.errors import InputError, nearest_name
from scmn.inference.acceleration.network import compile_parts
from scmn.networks.base import MemoryNetwork
from scmn.training.activation_checkpointing import recompute_encoders
from scmn.training.cpu_kernels import use_cpu_kernels
from scmn.training.normalization import set_normalization, synchronize_norms
from scmn.training.settings import TrainingSettings


def prepare_network(
    network: MemoryNetwork, settings: TrainingSettings, device: torch.device, *, processes: int = 1
) -> MemoryNetwork:
    """Prepare a network for training: norms, device, memory format, checkpointing, compilation.

    Raises:
        InputError: the network has no such part.
    """
    set_normalization(network, settings.norm, train_affine=settings.train_affine)
    if settings.parts:
        freeze_others(network, settings.parts)
    if settings.norm == "batch" and processes > 1:
        network = synchronize_norms(network, device)
    if device.type == "cpu":
        use_cpu_kernels(network)
    network = network.to(device).train()
    if settings.channels_last:
        network = network.to(memory_format=torch.channels_last)
    if settings.activation_checkpointing:
        recompute_encoders(network)
    if settings.compile:
        compile_parts(network)
    return network


def freeze_others(network: MemoryNetwork, parts: Sequence[str]) -> None:
    """Let only some parts of a network require gradients, in place.

    Raises:
        InputError: the network has no such part; those that it has are named.
    """
    names = list(dict.fromkeys(name.split(".")[0] for name, _ in network.named_parameters()))
    for part in parts:
        if part not in names:
            raise InputError(
                f"training.parts: the network has no part '{part}'; it has {', '.join(names)}"
                f"{nearest_name(part, names)}"
            )
    for name, parameter in network.named_parameters():
        if name.split(".")[0] not in parts:
            parameter.requires_grad_(False)

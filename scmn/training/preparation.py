"""Preparation of a network for training."""

from __future__ import annotations

import torch

from scmn.inference.acceleration.network import compile_parts
from scmn.networks.base import MemoryNetwork
from scmn.training.activation_checkpointing import recompute_encoders
from scmn.training.cpu_kernels import use_cpu_kernels
from scmn.training.normalization import set_normalization, synchronize_norms
from scmn.training.settings import TrainingSettings


def prepare_network(
    network: MemoryNetwork, settings: TrainingSettings, device: torch.device, *, processes: int = 1
) -> MemoryNetwork:
    """Prepare a network for training: norms, device, memory format, checkpointing, compilation."""
    set_normalization(network, settings.norm, train_affine=settings.train_affine)
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

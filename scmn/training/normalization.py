"""Batch norms in training: frozen as in the published recipes, or learning.

Frozen norms keep the statistics of the pretrained backbone. A step has too few clips to estimate
new ones, and split attention normalises maps of one pixel, which is impossible for a batch of one.
"""

from __future__ import annotations

import logging
from typing import TypeVar

import torch
from torch import nn

from scmn.errors import InputError
from scmn.networks.split_attention import SplitAttention
from scmn.training.settings import Norm

logger = logging.getLogger(__name__)

Network = TypeVar("Network", bound=nn.Module)


class FrozenBatchNorm2d(nn.BatchNorm2d):
    """A batch norm that uses its running statistics and does not update them, even when training.

    Its state dict is that of ``nn.BatchNorm2d``.
    """

    def train(self, mode: bool = True) -> FrozenBatchNorm2d:
        return super().train(False)


def set_normalization(network: Network, norm: Norm, *, train_affine: bool = True) -> Network:
    """Freeze the batch norms of ``network`` or let them learn, in place, and return it.

    Parameters and buffers stay the same objects. Call this before building the optimizer.

    Args:
        network: any module.
        norm: "frozen" or "batch".
        train_affine: whether frozen norms train their scale and shift (STCN) or not (STM).
    """
    frozen = norm == "frozen"
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.__class__ = FrozenBatchNorm2d if frozen else nn.BatchNorm2d
            module.train(module.training)
            for parameter in module.parameters():
                parameter.requires_grad_(train_affine or not frozen)
    if frozen and _has_untrained_statistics(network):
        logger.warning(
            "norm 'frozen' freezes batch norms that have never seen data: "
            "use norm 'batch' to train from random weights, or start from pretrained ones"
        )
    return network


def synchronize_norms(network: Network, device: torch.device) -> Network:
    """Let learning batch norms use the clips of all processes, in place, and return the network.

    Parameters and buffers stay the same objects. torch synchronises on CUDA only: on a CPU every
    process normalises with its own clips, with a warning, and the first one's statistics are kept.

    Args:
        network: after :func:`set_normalization` with norm "batch".
        device: where every process computes.
    """
    if device.type == "cuda":
        return nn.SyncBatchNorm.convert_sync_batchnorm(network)
    logger.warning(
        "norm 'batch' with several processes on the CPU: each normalises with its own clips, "
        "unlike one process with the whole batch (GPUs synchronise their norms)"
    )
    return network


def check_images_per_pass(network: nn.Module, images: int) -> None:
    """Raise InputError if learning batch norms would get a single map of one pixel.

    Synchronised norms always get several, from other processes.

    Args:
        network: after :func:`set_normalization`.
        images: images that one process encodes in one forward pass (its clips per step).
    """
    split_attention = any(isinstance(module, SplitAttention) for module in network.modules())
    learning = any(type(module) is nn.BatchNorm2d for module in network.modules())
    if split_attention and learning and images < 2:
        raise InputError(
            "norm 'batch' with a ResNeSt backbone needs at least 2 clips per step on every process "
            f"(there is {images}): raise the batch size, or use norm 'frozen' or a ResNet backbone"
        )


def learns_statistics(network: nn.Module) -> bool:
    """Whether a norm of a network in training mode updates its statistics."""
    return any(
        isinstance(module, nn.modules.batchnorm._BatchNorm) and module.training
        for module in network.modules()
    )


def _has_untrained_statistics(network: nn.Module) -> bool:
    norms = [module for module in network.modules() if isinstance(module, FrozenBatchNorm2d)]
    return any(
        norm.running_mean is not None
        and norm.running_var is not None
        and not norm.running_mean.any()
        and bool((norm.running_var == 1).all())
        for norm in norms
    )

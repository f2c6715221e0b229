"""Batch norms in training: frozen as in the published recipes, or learning.

Frozen norms keep the statistics of the pretrained backbone: clips are too few per step to estimate
new ones, and split attention normalises maps of one pixel, which a batch of one cannot do at all.
"""

from __future__ import annotations

import logging
from typing import TypeVar

import torch
from torch import nn

from scmn.errors import InputError, nearest_name
from scmn.networks.replacement import replace_modules
from scmn.networks.split_attention import SplitAttention

logger = logging.getLogger(__name__)

NORMS = ("frozen", "batch")

Network = TypeVar("Network", bound=nn.Module)


class FrozenBatchNorm2d(nn.BatchNorm2d):
    """A batch norm that uses and keeps its running statistics, in ``train()`` too.

    Its tensors have the names of ``nn.BatchNorm2d``: files of weights fit either.
    """

    def train(self, mode: bool = True) -> FrozenBatchNorm2d:
        return super().train(False)


def set_normalization(network: Network, norm: str, *, train_affine: bool = True) -> Network:
    """Make the batch norms of ``network`` frozen or learning, in place, and return it.

    Parameters and buffers stay the same objects. Call it before the optimizer is built.

    Args:
        network: any module.
        norm: "frozen" or "batch".
        train_affine: whether scale and shift of frozen norms are trained (STCN) or not (STM).

    Raises:
        InputError: an unknown ``norm``.
    """
    if norm not in NORMS:
        raise InputError(
            f"unknown norm '{norm}'{nearest_name(norm, NORMS)}: use {' or '.join(NORMS)}"
        )
    frozen = norm == "frozen"

    def converted(module: nn.Module) -> nn.Module | None:
        if not isinstance(module, nn.BatchNorm2d):
            return None
        replacement = _converted(module, FrozenBatchNorm2d if frozen else nn.BatchNorm2d)
        for parameter in replacement.parameters():
            parameter.requires_grad_(train_affine or not frozen)
        return replacement

    replace_modules(network, converted)
    if frozen and _has_untrained_statistics(network):
        logger.warning(
            "norm 'frozen' keeps batch norms that have never seen data: "
            "use norm 'batch' to train from random weights, or start from pretrained ones"
        )
    return network


def check_images_per_pass(network: nn.Module, images: int) -> None:
    """Raise InputError if batch norms that learn would meet maps of one pixel, one at a time.

    Args:
        network: after :func:`set_normalization`.
        images: how many images one process encodes in one forward pass (its clips per step).
    """
    split_attention = any(isinstance(module, SplitAttention) for module in network.modules())
    learning = any(type(module) is nn.BatchNorm2d for module in network.modules())
    if split_attention and learning and images < 2:
        raise InputError(
            "norm 'batch' with a ResNeSt backbone needs at least 2 clips per step on every process "
            f"(there is {images}): raise the batch size, or use norm 'frozen' or a ResNet backbone"
        )


def _converted(norm: nn.BatchNorm2d, kind: type[nn.BatchNorm2d]) -> nn.BatchNorm2d:
    # Made without storage: the tensors of ``norm`` take its place.
    converted = kind(
        norm.num_features,
        eps=norm.eps,
        momentum=norm.momentum,
        affine=norm.affine,
        track_running_stats=norm.track_running_stats,
        device=torch.device("meta"),
    )
    for name, parameter in norm.named_parameters():
        setattr(converted, name, parameter)
    for name, buffer in norm.named_buffers():
        setattr(converted, name, buffer)
    return converted.train(norm.training)


def _has_untrained_statistics(network: nn.Module) -> bool:
    norms = [module for module in network.modules() if isinstance(module, FrozenBatchNorm2d)]
    return any(
        norm.running_mean is not None
        and norm.running_var is not None
        and not norm.running_mean.any()
        and bool((norm.running_var == 1).all())
        for norm in norms
    )

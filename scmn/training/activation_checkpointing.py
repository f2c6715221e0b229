"""Activation checkpointing of the encoders: their forward pass runs again in the backward pass.

Chen et al., "Training Deep Nets with Sublinear Memory Cost" (2016). Between the two passes an
encoder keeps its inputs instead of its activations, for about a third more arithmetic in training.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

import torch
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.utils.checkpoint import checkpoint

from scmn.networks.base import MemoryNetwork
from scmn.networks.encoders import MemoryEncoder, QueryEncoder


class _Recomputed(nn.Module):
    """Mixin of a module whose activations are computed again when they are needed."""

    def __call__(self, *inputs: Any) -> Any:
        # Around a compiled forward pass, not inside it.
        if not (self.training and torch.is_grad_enabled()):
            return super().__call__(*inputs)
        return checkpoint(
            super().__call__,
            *inputs,
            use_reentrant=False,
            preserve_rng_state=False,  # encoders draw nothing
            context_fn=lambda: (contextlib.nullcontext(), _without_new_statistics(self)),
        )


class _RecomputedQueryEncoder(_Recomputed, QueryEncoder):
    pass


class _RecomputedMemoryEncoder(_Recomputed, MemoryEncoder):
    pass


def recompute_encoders(network: MemoryNetwork) -> None:
    """Let the encoders keep no activations for the backward pass, in place.

    Loss and gradients stay the same; parameters stay the same objects.
    """
    network.query_encoder.__class__ = _RecomputedQueryEncoder
    network.memory_encoder.__class__ = _RecomputedMemoryEncoder


@contextlib.contextmanager
def _without_new_statistics(module: nn.Module) -> Iterator[None]:
    """Do not count a batch twice in the running statistics of batch norms."""
    norms = [m for m in module.modules() if isinstance(m, _BatchNorm) and m.training]
    kept = [(norm.momentum, norm.num_batches_tracked) for norm in norms]
    for norm in norms:
        # The statistics take part all the same: autograd expects the tensors of the first pass.
        norm.momentum = 0.0
        if norm.num_batches_tracked is not None:
            norm.num_batches_tracked = norm.num_batches_tracked.clone()
    try:
        yield
    finally:
        for norm, (momentum, batches) in zip(norms, kept, strict=True):
            norm.momentum, norm.num_batches_tracked = momentum, batches

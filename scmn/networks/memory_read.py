"""Space-time memory read: every query position gathers values from all remembered positions.

Sources: STM (Oh et al., ICCV 2019, 3.3) for the dot product; STCN (Cheng et al., NeurIPS 2021,
3.3) for the negative squared L2 distance; top-k: MiVOS (Cheng et al., CVPR 2021, 3.2).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional

Similarity = Literal["dot", "l2"]
Strategy = Literal["auto", "dense", "blocked"]


@dataclass(frozen=True)
class ReadSettings:
    """How the memory is read; only ``top_k`` changes what comes out."""

    top_k: int | None = None
    """Softmax over only the k most similar positions of each query position (None: over all)."""
    strategy: Strategy = "auto"
    """dense: one affinity matrix; blocked: some query rows at a time; auto: blocked when the
    affinity would exceed ``block_bytes``."""
    block_bytes: int | None = None
    """Largest affinity matrix that a blocked read holds (None: what suits the device)."""

    def largest_block(self, device: torch.device) -> int:
        """Return the bound in bytes.

        On a CPU a block of some MiB stays in the cache through product, softmax and conversion,
        which halves the time of a read; a GPU wants few large kernels.
        """
        if self.block_bytes is not None:
            return self.block_bytes
        return (8 if device.type == "cpu" else 256) * 2**20


def read_memory(
    query_key: Tensor,
    memory_key: Tensor,
    memory_value: Tensor,
    *,
    similarity: Similarity,
    settings: ReadSettings | None = None,
) -> Tensor:
    """Read the memory at every query position.

    Weights are the softmax over all T*h*w remembered positions of ``k_M . k_Q / sqrt(Ck)`` (dot)
    or ``(2 k_M . k_Q - |k_M|^2) / sqrt(Ck)`` (l2: the negative squared distance less the query's
    own norm, which the softmax cancels).

    Args:
        query_key: (B, Ck, h, w).
        memory_key: (B, N, Ck, T, h, w), or (B, 1, Ck, T, h, w) if all objects share it.
        memory_value: (B, N, Cv, T, h, w).
        similarity: "dot" or "l2".
        settings: how to compute it.

    Returns:
        Readout (B, N, Cv, h, w) in the values' data type.
    """
    settings = settings or ReadSettings()
    batch, objects, value_dim = memory_value.shape[:3]
    keys = memory_key.flatten(3).flatten(0, 1)
    sharing = objects // memory_key.shape[1]
    # With a shared key the values of all objects are read with one affinity matrix.
    values = memory_value.flatten(3).reshape(keys.shape[0], sharing * value_dim, -1)
    queries = query_key.flatten(2).repeat_interleave(memory_key.shape[1], dim=0)
    blocks = _query_blocks(queries, keys, settings)
    if len(blocks) > 1:
        # A part of a larger store would be copied anew by the products of every block.
        keys, values = keys.contiguous(), values.contiguous()
    affinity = _Affinity(keys, similarity)
    weighted: Callable[[Tensor], Tensor]
    if settings.top_k is None or settings.top_k >= keys.shape[2]:
        weighted = partial(_weighted_values, values=values)
    else:
        weighted = partial(_best_values, table=values.transpose(1, 2), top_k=settings.top_k)
    readouts = [weighted(affinity(block)) for block in blocks]
    readout = readouts[0] if len(readouts) == 1 else torch.cat(readouts, dim=2)
    return readout.reshape(batch, objects, value_dim, *query_key.shape[-2:])


def _query_blocks(queries: Tensor, keys: Tensor, settings: ReadSettings) -> Sequence[Tensor]:
    """Split the query positions so that no affinity exceeds the bound that the settings give."""
    row_bytes = 4 * keys.shape[0] * keys.shape[2]
    rows = queries.shape[2]
    largest = settings.largest_block(queries.device)
    if settings.strategy == "blocked" or (
        settings.strategy == "auto" and rows * row_bytes > largest
    ):
        rows = min(rows, max(1, largest // row_bytes))
    return queries.split(rows, dim=2)


class _Affinity:
    """Similarities of query positions to all remembered ones, always in float32.

    In half precision the rounding of |k|^2 and of the product would each exceed the differences
    that matter; the product is a small part of a network's work.
    """

    def __init__(self, keys: Tensor, similarity: Similarity) -> None:
        """``keys``: (G, Ck, P)."""
        self._keys = keys.float()
        self._scale = 1 / math.sqrt(keys.shape[1])
        self._offset: Tensor | None = None
        if similarity == "l2":
            self._offset = -self._scale * self._keys.square().sum(dim=1, keepdim=True)
            self._scale *= 2

    def __call__(self, queries: Tensor) -> Tensor:
        """(G, Ck, Q) -> (G, Q, P)."""
        with torch.autocast(queries.device.type, enabled=False):
            scaled = self._scale * queries.float().transpose(1, 2)
            if self._offset is None:
                return torch.bmm(scaled, self._keys)
            return torch.baddbmm(self._offset, scaled, self._keys)


def _weighted_values(affinity: Tensor, *, values: Tensor) -> Tensor:
    """(G, Q, P) similarities and (G, C, P) values -> (G, C, Q)."""
    weights = torch.softmax(affinity, dim=2).to(values.dtype)
    return torch.bmm(values, weights.transpose(1, 2))


def _best_values(affinity: Tensor, *, table: Tensor, top_k: int) -> Tensor:
    """(G, Q, P) similarities and (G, P, C) values -> (G, C, Q), from the k best of each row."""
    best, positions = affinity.topk(top_k, dim=2)
    weights = torch.softmax(best, dim=2).to(table.dtype)
    # Gathering k values costs the same however many frames are remembered.
    readouts = [
        functional.embedding_bag(rows, group, mode="sum", per_sample_weights=row_weights)
        for rows, group, row_weights in zip(positions, table, weights, strict=True)
    ]
    return torch.stack(readouts).transpose(1, 2)

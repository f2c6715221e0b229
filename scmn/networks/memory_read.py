"""Space-time memory read: every query position gathers values from all remembered positions.

Sources: STM (Oh et al., ICCV 2019, 3.3) for the dot product; STCN (Cheng et al., NeurIPS 2021,
3.3) for the negative squared L2 distance; top-k: MiVOS (Cheng et al., CVPR 2021, 3.2).
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
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
    block_bytes: int = 256 * 2**20
    """Largest affinity matrix that a blocked read holds."""


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
    readouts = [
        _weighted_values(_affinity(keys, block, similarity), values, settings.top_k)
        for block in _query_blocks(queries, keys, settings)
    ]
    readout = readouts[0] if len(readouts) == 1 else torch.cat(readouts, dim=2)
    return readout.reshape(batch, objects, value_dim, *query_key.shape[-2:])


def _query_blocks(queries: Tensor, keys: Tensor, settings: ReadSettings) -> Iterator[Tensor]:
    """Split the query positions so that no affinity exceeds the bound that the settings give."""
    row_bytes = 4 * keys.shape[0] * keys.shape[2]
    rows = queries.shape[2]
    if settings.strategy == "blocked" or (
        settings.strategy == "auto" and rows * row_bytes > settings.block_bytes
    ):
        rows = min(rows, max(1, settings.block_bytes // row_bytes))
    yield from queries.split(rows, dim=2)


def _affinity(keys: Tensor, queries: Tensor, similarity: Similarity) -> Tensor:
    """(G, Ck, P) keys and (G, Ck, Q) queries -> float32 similarities (G, Q, P)."""
    product = torch.bmm(queries.transpose(1, 2), keys).float()
    if similarity == "l2":
        # In half precision the rounding of |k|^2 alone would exceed the differences that matter.
        squared_norm = keys.float().square().sum(dim=1)
        product = 2 * product - squared_norm.unsqueeze(1)
    return product / math.sqrt(keys.shape[1])


def _weighted_values(affinity: Tensor, values: Tensor, top_k: int | None) -> Tensor:
    """(G, Q, P) similarities and (G, C, P) values -> (G, C, Q)."""
    if top_k is None or top_k >= affinity.shape[2]:
        weights = torch.softmax(affinity, dim=2).to(values.dtype)
        return torch.bmm(values, weights.transpose(1, 2))
    best, positions = affinity.topk(top_k, dim=2)
    weights = torch.softmax(best, dim=2).to(values.dtype)
    # Gathering k values costs the same however many frames are remembered.
    readouts = [
        functional.embedding_bag(rows, table, mode="sum", per_sample_weights=row_weights)
        for rows, table, row_weights in zip(
            positions, values.transpose(1, 2).contiguous(), weights, strict=True
        )
    ]
    return torch.stack(readouts).transpose(1, 2)

"""Space-time memory read: every query position gathers values from all remembered positions.

Sources: STM (Oh et al., ICCV 2019, "space-time memory read"); top-k: MiVOS (Cheng et al., CVPR
2021, 3.2).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional

from scmn.networks.affinity import Affinity, Similarity

Attention = Literal["frames", "positions"]


@dataclass(frozen=True)
class ReadSettings:
    """How the memory is read; only ``top_k`` and the kernel change the readout.

    The affinity matrix of all query and memory positions is computed at once, or in blocks of query
    positions, which bound its size however many frames are remembered.
    """

    top_k: int | None = None
    """Softmax over only the k most similar positions of each query position (None: over all)."""
    kernel_sigma: float | None = None
    """Standard deviation of a Gaussian around the query position that is most similar to a
    remembered one, in positions of a map that is 30 of them high, and in proportion for others:
    each remembered position is read mainly there (None: everywhere)."""
    kernel_half_size: bool = False
    """The most similar position is searched for on maps of half the size."""
    dense_bytes: int | None = None
    """Largest affinity matrix that is computed at once (None: any size)."""
    block_bytes: int | None = None
    """Largest affinity matrix of one block (None: any size)."""
    rows_per_channel: float | None = None
    """Query positions of one block for each channel of the keys and values (None: any number)."""
    attention: Attention | None = None
    """Which sums of the weights are returned beside the readout: of each query position over each
    remembered frame, or of each remembered position over all query positions (None: none)."""


def read_memory(
    query_key: Tensor,
    memory_key: Tensor,
    memory_value: Tensor,
    *,
    similarity: Similarity,
    settings: ReadSettings | None = None,
) -> Tensor:
    """Read the memory as :func:`read_with_attention` does, and return the readout alone."""
    return read_with_attention(
        query_key, memory_key, memory_value, similarity=similarity, settings=settings
    )[0]


def read_with_attention(
    query_key: Tensor,
    memory_key: Tensor,
    memory_value: Tensor,
    *,
    similarity: Similarity,
    settings: ReadSettings | None = None,
    key_embedding: Tensor | None = None,
) -> tuple[Tensor, Tensor | None]:
    """Read the memory at every query position.

    Weights are the softmax over all T*h*w remembered positions of ``k_M . k_Q / sqrt(Ck)`` (dot)
    or ``(2 k_M . k_Q - |k_M|^2) / sqrt(Ck)`` (l2: the negative squared distance less the query's
    own norm, which the softmax cancels). With a kernel, the weight of remembered position j at
    query position i is multiplied by ``exp(-|x_i - x_m|^2 / (2 sigma^2))``, where m is the query
    position most similar to j, before the normalisation.

    Args:
        query_key: (B, Ck, h, w).
        memory_key: (B, N, Ck, T, h, w), or (B, 1, Ck, T, h, w) if all objects share it.
        memory_value: (B, N, Cv, T, h, w).
        similarity: "dot" or "l2".
        settings: how the memory is read.
        key_embedding: (Ck, T), added to the memory keys of each frame (None: nothing).

    Returns:
        Readout (B, N, Cv, h, w) in the values' data type; and, if ``settings.attention`` asks for
        it, the attention in float32, with N = 1 if the key is shared: "frames", the share of each
        query position's attention that each frame gets, (B, N, T, h, w); "positions", what each
        remembered position gets from all query positions, (B, N, T, h, w) of the memory.
    """
    settings = settings or ReadSettings()
    batch, objects, value_dim = memory_value.shape[:3]
    size = query_key.shape[-2:]
    keys = memory_key.flatten(3).flatten(0, 1)
    sharing = objects // memory_key.shape[1]
    # With a shared key one affinity matrix reads the values of all objects.
    values = memory_value.flatten(3).reshape(keys.shape[0], sharing * value_dim, -1)
    table = values.transpose(1, 2)
    queries = query_key.flatten(2).repeat_interleave(memory_key.shape[1], dim=0)
    rows = _block_rows(queries, keys, table, settings)
    read = partial(
        _read,
        similarity=similarity,
        settings=settings,
        width=size[1],
        remembered=memory_key.shape[3:],
        key_embedding=key_embedding,
    )
    if rows is None:
        reads = [read(queries, keys, table, rows=queries.shape[2])]
    else:
        # Group by group: a product of more rows repacks its operands less often.
        groups = zip(queries.split(1), keys.contiguous().split(1), table.split(1), strict=True)
        reads = [read(*group, rows=rows) for group in groups]
    readout = _joined([group for group, _ in reads], dim=0)
    readout = readout.transpose(1, 2).reshape(batch, objects, value_dim, *size)
    if settings.attention is None:
        return readout, None
    attention = _joined([group for _, group in reads if group is not None], dim=0)
    shape = (memory_key.shape[3], *size) if settings.attention == "frames" else memory_key.shape[3:]
    return readout, attention.reshape(batch, -1, *shape)


def _joined(parts: Sequence[Tensor], *, dim: int) -> Tensor:
    return parts[0] if len(parts) == 1 else torch.cat(list(parts), dim=dim)


def _block_rows(queries: Tensor, keys: Tensor, table: Tensor, settings: ReadSettings) -> int | None:
    """Return how many query positions of one group form a block; None: no blocks."""
    groups, key_dim, positions = keys.shape
    rows = queries.shape[2]
    if settings.dense_bytes is None or 4 * groups * rows * positions <= settings.dense_bytes:
        return None
    if settings.rows_per_channel is not None:
        rows = min(rows, int((key_dim + table.shape[2]) * settings.rows_per_channel) + 1)
    if settings.block_bytes is not None:
        rows = min(rows, max(1, settings.block_bytes // (4 * positions)))
    return rows


def _read(
    queries: Tensor,
    keys: Tensor,
    table: Tensor,
    *,
    similarity: Similarity,
    settings: ReadSettings,
    rows: int,
    width: int,
    remembered: Sequence[int],
    key_embedding: Tensor | None,
) -> tuple[Tensor, Tensor | None]:
    """Read (G, Ck, P) keys and (G, P, C) values with (G, Ck, Q) queries, ``rows`` at a time.

    P = T * h * w of the ``remembered`` maps.

    Returns:
        Readout (G, Q, C), and attention (G, T, Q) or (G, P).
    """
    affinity = Affinity(keys, similarity, key_embedding)
    if settings.kernel_sigma is not None:
        queries = affinity.add_kernel(
            queries,
            width=width,
            remembered=remembered,
            sigma=settings.kernel_sigma,
            half_size=settings.kernel_half_size,
            rows=rows,
        )
    readouts, attention = [], []
    for block in queries.split(rows, dim=2):
        weights = _Weights(affinity(block), settings.top_k)
        readouts.append(weights.readout(table))
        if settings.attention == "frames":
            attention.append(weights.of_frames(remembered[0]))
        elif settings.attention == "positions":
            attention.append(weights.of_positions())
    readout = _joined(readouts, dim=1)
    if settings.attention == "positions":
        return readout, torch.stack(attention).sum(dim=0)
    return readout, _joined(attention, dim=2) if attention else None


class _Weights:
    """Weights of remembered positions at query positions: the softmax of their similarities."""

    def __init__(self, affinity: Tensor, top_k: int | None) -> None:
        """``affinity``: (G, Q, P); its ``top_k`` best of each row alone get a weight."""
        self._remembered = affinity.shape[2]
        self._positions: Tensor | None = None
        if top_k is not None and top_k < self._remembered:
            affinity, self._positions = affinity.topk(top_k, dim=2)
        self._weights = torch.softmax(affinity, dim=2)

    def readout(self, table: Tensor) -> Tensor:
        """(G, P, C) values -> (G, Q, C)."""
        weights = self._weights.to(table.dtype)
        if self._positions is None:
            return torch.bmm(weights, table)
        # Gathering k values costs the same for any number of remembered frames.
        readouts = [
            functional.embedding_bag(rows, group, mode="sum", per_sample_weights=row_weights)
            for rows, group, row_weights in zip(self._positions, table, weights, strict=True)
        ]
        return torch.stack(readouts)

    def of_frames(self, frames: int) -> Tensor:
        """Return the share that each of the frames gets of each query position, (G, T, Q)."""
        if self._positions is None:
            return self._weights.unflatten(2, (frames, -1)).sum(dim=3).transpose(1, 2)
        frame = self._positions.div(self._remembered // frames, rounding_mode="floor")
        shares = self._weights.new_zeros(*frame.shape[:2], frames)
        return shares.scatter_add_(2, frame, self._weights).transpose(1, 2)

    def of_positions(self) -> Tensor:
        """Return what each remembered position gets from all query positions, (G, P)."""
        if self._positions is None:
            return self._weights.sum(dim=1)
        attention = self._weights.new_zeros(len(self._weights), self._remembered)
        return attention.scatter_add_(1, self._positions.flatten(1), self._weights.flatten(1))

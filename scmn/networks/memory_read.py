"""Space-time memory read: every query position gathers values from all remembered positions.

Sources: STM (Oh et al., ICCV 2019, 3.3) for the dot product; STCN (Cheng et al., NeurIPS 2021,
3.3) for the negative squared L2 distance; top-k: MiVOS (Cheng et al., CVPR 2021, 3.2); kernelised
read: KMN (Seong et al., ECCV 2020, 3.2).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional

Similarity = Literal["dot", "l2"]

KERNEL_HEIGHT = 30
"""Positions of the shorter side for which the kernel's width is given: 480 pixels at stride 16."""


@dataclass(frozen=True)
class ReadSettings:
    """How the memory is read; only ``top_k`` changes the result.

    The affinity matrix of all query and memory positions is computed at once, or in blocks of query
    positions, which bound its size however many frames are remembered.
    """

    top_k: int | None = None
    """Softmax over only the k most similar positions of each query position (None: over all)."""
    kernel_sigma: float | None = None
    """Standard deviation of a Gaussian around the query position that is most similar to a
    remembered one, in positions of a map that is 30 of them high, and in proportion for others:
    each remembered position is read mainly there (None: everywhere)."""
    dense_bytes: int | None = None
    """Largest affinity matrix that is computed at once (None: any size)."""
    block_bytes: int | None = None
    """Largest affinity matrix of one block (None: any size)."""
    rows_per_channel: float | None = None
    """Query positions of one block for each channel of the keys and values (None: any number)."""


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
    own norm, which the softmax cancels). With a kernel, the weight of remembered position j at
    query position i is multiplied by ``exp(-|x_i - x_m|^2 / (2 sigma^2))``, where m is the query
    position most similar to j, before the normalisation.

    Args:
        query_key: (B, Ck, h, w).
        memory_key: (B, N, Ck, T, h, w), or (B, 1, Ck, T, h, w) if all objects share it.
        memory_value: (B, N, Cv, T, h, w).
        similarity: "dot" or "l2".
        settings: how the memory is read.

    Returns:
        Readout (B, N, Cv, h, w) in the values' data type.
    """
    settings = settings or ReadSettings()
    batch, objects, value_dim = memory_value.shape[:3]
    keys = memory_key.flatten(3).flatten(0, 1)
    sharing = objects // memory_key.shape[1]
    # With a shared key one affinity matrix reads the values of all objects.
    values = memory_value.flatten(3).reshape(keys.shape[0], sharing * value_dim, -1)
    table = values.transpose(1, 2)
    queries = query_key.flatten(2).repeat_interleave(memory_key.shape[1], dim=0)
    rows = _block_rows(queries, keys, table, settings)
    read = partial(_read, similarity=similarity, settings=settings, width=query_key.shape[3])
    if rows is None:
        readout = read(queries, keys, table, rows=queries.shape[2])
    else:
        # Group by group: a product of more rows repacks its operands less often.
        groups = zip(queries.split(1), keys.contiguous().split(1), table.split(1), strict=True)
        readout = torch.cat([read(*group, rows=rows) for group in groups])
    return readout.transpose(1, 2).reshape(batch, objects, value_dim, *query_key.shape[-2:])


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
) -> Tensor:
    """(G, Ck, Q) queries, (G, Ck, P) keys, (G, P, C) values -> (G, Q, C), ``rows`` at a time."""
    affinity = _Affinity(keys, similarity)
    weighted: Callable[[Tensor], Tensor]
    if settings.top_k is None or settings.top_k >= keys.shape[2]:
        weighted = partial(_weighted_values, table=table)
    else:
        weighted = partial(_top_k_values, table=table, top_k=settings.top_k)
    if settings.kernel_sigma is not None:
        sigma = settings.kernel_sigma * min(width, queries.shape[2] // width) / KERNEL_HEIGHT
        queries = affinity.add_kernel(queries, width=width, sigma=sigma, rows=rows)
    readouts = [weighted(affinity(block)) for block in queries.split(rows, dim=2)]
    return readouts[0] if len(readouts) == 1 else torch.cat(readouts, dim=1)


class _Affinity:
    """Similarities of query positions to all remembered positions, always in float32.

    In half precision the rounding errors of |k|^2 and of the product would each exceed the
    differences that matter. The product is a small part of a network's work.
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

    def add_kernel(self, queries: Tensor, *, width: int, sigma: float, rows: int) -> Tensor:
        """Add a Gaussian around each remembered position's most similar query position.

        Args:
            queries: all query positions, (G, Ck, Q).
            width: of their map.
            sigma: standard deviation of the Gaussian in positions.
            rows: query positions of a block, whose size is kept to.

        Returns:
            The queries with their coordinates, (G, Ck + 2, Q), of which this now takes blocks.
        """
        count, remembered = queries.shape[2], self._keys.shape[2]
        centres = self._most_similar(queries.float(), max(1, rows * remembered // count))
        y, x = _coordinates(centres, width)
        # -|x_i - x_m|^2 is a product of coordinates and a part of m; the softmax over j cancels
        # the part of i.
        coordinates = torch.stack([y, x], dim=1) / (sigma**2 * self._scale)
        self._keys = torch.cat([self._keys, coordinates], dim=1)
        offset = (y.square() + x.square()).unsqueeze(1) / (-2 * sigma**2)
        self._offset = offset if self._offset is None else self._offset + offset
        points = torch.stack(_coordinates(torch.arange(count, device=queries.device), width))
        return torch.cat([queries.float(), points.expand(len(queries), -1, -1)], dim=1)

    def _most_similar(self, queries: Tensor, columns: int) -> Tensor:
        """Return the query position most similar to each remembered one, (G, P)."""
        # l2's norms of the queries, which the softmax over j cancels, matter here.
        norms = queries.new_zeros(len(queries), 1, queries.shape[2])
        if self._offset is not None:
            norms = queries.square().sum(dim=1, keepdim=True) * (-self._scale / 2)
        with torch.autocast(queries.device.type, enabled=False):
            best = [
                torch.baddbmm(norms, keys.transpose(1, 2), queries, alpha=self._scale).max(dim=2)
                for keys in self._keys.split(columns, dim=2)
            ]
        return torch.cat([block.indices for block in best], dim=1)


def _coordinates(positions: Tensor, width: int) -> tuple[Tensor, Tensor]:
    """Return the rows and columns of query positions."""
    return positions.div(width, rounding_mode="floor").float(), (positions % width).float()


def _weighted_values(affinity: Tensor, *, table: Tensor) -> Tensor:
    """(G, Q, P) similarities and (G, P, C) values -> (G, Q, C)."""
    return torch.bmm(torch.softmax(affinity, dim=2).to(table.dtype), table)


def _top_k_values(affinity: Tensor, *, table: Tensor, top_k: int) -> Tensor:
    """(G, Q, P) similarities and (G, P, C) values -> (G, Q, C), from each row's k best."""
    best, positions = affinity.topk(top_k, dim=2)
    weights = torch.softmax(best, dim=2).to(table.dtype)
    # Gathering k values costs the same for any number of remembered frames.
    readouts = [
        functional.embedding_bag(rows, group, mode="sum", per_sample_weights=row_weights)
        for rows, group, row_weights in zip(positions, table, weights, strict=True)
    ]
    return torch.stack(readouts)

"""Affinity: the similarities of query positions to remembered positions.

Sources: STM (Oh et al., ICCV 2019, "space-time memory read") for the dot product; STCN (Cheng et
al., NeurIPS 2021, "computing affinity") for the negative squared L2 distance; kernel: KMN (Seong et
al., ECCV 2020, 3.2).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional

Similarity = Literal["dot", "l2"]

KERNEL_HEIGHT = 30
"""Positions of the shorter side for which the kernel's width is given: 480 pixels at stride 16."""


class Affinity:
    """Similarities of query positions to all remembered positions, never in half precision.

    There the rounding errors of |k|^2 and of the product would each exceed the differences that
    matter. The product is a small part of a network's work.
    """

    def __init__(
        self, keys: Tensor, similarity: Similarity, embedding: Tensor | None = None
    ) -> None:
        """``keys``: (G, Ck, P); ``embedding``: (Ck, T), added to them frame by frame."""
        self._keys = keys.float()
        if embedding is not None:
            # A pass over the keys costs less than one over the affinity, of which each key has as
            # many numbers as there are query positions.
            by_frame = self._keys.unflatten(2, (embedding.shape[1], -1))
            self._keys = (by_frame + embedding.unsqueeze(2)).flatten(2)
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

    def add_kernel(
        self,
        queries: Tensor,
        *,
        width: int,
        remembered: Sequence[int],
        sigma: float,
        half_size: bool,
        rows: int,
    ) -> Tensor:
        """Add a Gaussian around each remembered position's most similar query position.

        Args:
            queries: all query positions, (G, Ck, Q).
            width: of their map.
            remembered: shape of the remembered maps, (T, h, w).
            sigma: standard deviation of the Gaussian, in positions of a map that is
                ``KERNEL_HEIGHT`` of them high.
            half_size: compare maps of half the size.
            rows: query positions of a block, whose size is kept to.

        Returns:
            The queries with their coordinates, (G, Ck + 2, Q), of which this now takes blocks.
        """
        count = queries.shape[2]
        columns = max(1, rows * self._keys.shape[2] // count)
        size = (count // width, width)
        sides = [torch.arange(length, device=queries.device).float() for length in size]
        places = torch.stack(torch.meshgrid(sides, indexing="ij")).flatten(1)
        queries = torch.cat([queries.float(), places.expand(len(queries), -1, -1)], dim=1)
        if half_size:
            maps = queries.unflatten(2, size)
            centres = self._centres_at_half_size(maps, remembered, columns)
        else:
            centres = self._centres(queries, self._keys, columns)
        deviation = sigma * min(size) / KERNEL_HEIGHT
        # -|x_i - x_m|^2 is a product of coordinates and a part of m; the softmax over j cancels
        # the part of i.
        self._keys = torch.cat([self._keys, centres / (deviation**2 * self._scale)], dim=1)
        offset = centres.square().sum(dim=1, keepdim=True) / (-2 * deviation**2)
        self._offset = offset if self._offset is None else self._offset + offset
        return queries

    def _centres_at_half_size(
        self, queries: Tensor, remembered: Sequence[int], columns: int
    ) -> Tensor:
        """Return what :meth:`_centres` does, found on maps of half the size.

        Args:
            queries: with coordinates, (G, Ck + 2, h, w).
            remembered: shape of the remembered maps, (T, h, w).
            columns: as there.
        """
        maps = _halved(self._keys.unflatten(2, remembered).flatten(1, 2))
        keys = maps.unflatten(1, (-1, remembered[0])).flatten(2)
        centres = self._centres(_halved(queries).flatten(2), keys, columns)
        maps = centres.unflatten(2, (remembered[0], *maps.shape[2:])).flatten(1, 2)
        maps = functional.interpolate(maps, size=remembered[1:], mode="nearest")
        return maps.unflatten(1, (2, -1)).flatten(2)

    def _centres(self, queries: Tensor, keys: Tensor, columns: int) -> Tensor:
        """Return the coordinates of the query position most similar to each key, (G, 2, P).

        Args:
            queries: with coordinates, (G, Ck + 2, Q).
            keys: (G, Ck, P).
            columns: how many keys to compare at a time.
        """
        features, places = queries[:, :-2], queries[:, -2:]
        # l2's norms of the queries, which the softmax over j cancels, matter here.
        norms = features.new_zeros(len(features), 1, features.shape[2])
        if self._offset is not None:
            norms = features.square().sum(dim=1, keepdim=True) * (-self._scale / 2)
        with torch.autocast(queries.device.type, enabled=False):
            best = [
                torch.baddbmm(norms, some.transpose(1, 2), features, alpha=self._scale).max(dim=2)
                for some in keys.split(columns, dim=2)
            ]
        indices = torch.cat([block.indices for block in best], dim=1)
        return places.gather(2, indices.unsqueeze(1).expand(-1, 2, -1))


def _halved(maps: Tensor) -> Tensor:
    """Scale (G, C, h, w) down to half the size, rounded up: to means of 2 x 2 if it is even."""
    size = [(length + 1) // 2 for length in maps.shape[2:]]
    return functional.interpolate(maps, size=size, mode="bilinear")

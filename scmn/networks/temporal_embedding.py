"""Temporal embeddings: learned vectors that tell a memory read how old each remembered frame is.

Source: RMem (Zhou et al., CVPR 2024, 3.3), with as many vectors for the remembered frames: four.
Which frames they belong to is ours: the first one, the latest one, and the older and the newer half
of those between them, where the published code divides all frames into quarters. They start at zero
instead of random numbers, so that a network's weights can be trained on without a jump.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

BETWEEN = 2
"""Vectors for the frames between the first and the latest one."""


class TemporalEmbedding(nn.Module):
    """One vector for the keys of each remembered frame, by its place in time, and one for queries.

    Between the first and the latest frame, any number of frames share the vectors evenly, from the
    oldest to the newest (nearest interpolation). The first frame of all is the first one, even if
    there is no other.
    """

    def __init__(self, key_dim: int) -> None:
        super().__init__()
        self.query = nn.Parameter(torch.zeros(key_dim))
        # One parameter: with a short memory, too, all of it gets a gradient, as DDP expects.
        self.memory = nn.Parameter(torch.zeros(1 + BETWEEN + 1, key_dim))

    def of_query(self, key: Tensor) -> Tensor:
        """Return a query's keys (B, Ck, h, w) with their vector."""
        return key + self.query[:, None, None]

    def of_memory(self, times: Tensor) -> Tensor:
        """Return the vector of each remembered frame, (Ck, T).

        Args:
            times: when the frames were, integers (T,) in any order; those of the same time share a
                place.
        """
        place = _places(times)
        latest = place.max()
        older = (place - 1) * BETWEEN
        row = 1 + older.div((latest - 1).clamp_min(1), rounding_mode="floor")
        row = torch.where(place == latest, BETWEEN + 1, row)
        return self.memory[torch.where(place == 0, 0, row)].T


def _places(times: Tensor) -> Tensor:
    """Return how many different earlier times there are for each of the times."""
    ordered, positions = times.sort()
    places = ordered.diff(prepend=ordered[:1]).sign().cumsum(0)
    return torch.zeros_like(places).scatter(0, positions, places)

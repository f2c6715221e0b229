"""A restricted memory: when it is full, the frame of least use goes.

Source: RMem (Zhou et al., CVPR 2024, 3.2), with the constants of the published code.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from scmn.inference.memory.storage import MemoryStore
from scmn.networks.features import MemoryFrames

NEWEST_SHARE = 0.8
"""Weight of the newest share of attention in a frame's average; the earlier ones have the rest."""
EXPLORATION = 1.5
"""Factor of the bonus of frames that have survived few updates."""
EARLY_UPDATES = 8
"""Added to the number of updates, so that the bonus is moderate from the start."""


class RestrictedStore(MemoryStore):
    """Frames, and how useful each has been to its objects.

    Which frame goes is decided on the device of the frames: the host would have to wait for the
    attention of the last read. It knows which slots hold frames that may go, but not which of these
    slots holds which of these frames.
    """

    def __init__(self) -> None:
        super().__init__()
        self._relevance = torch.empty(0)
        """(S,) of all slots: average share of the objects' attention, NaN before the first one."""
        self._updates = torch.empty(0)
        """(S,): the number of updates of the memory that the frame has survived."""

    def times(self) -> list[int]:
        """Return the frames' indices in the video, for which the host waits."""
        return [int(time) for time in self._times.tolist()]

    def append(self, frame: MemoryFrames, time: int) -> int:
        slot = super().append(frame, time)
        self._relevance, self._updates = map(self._with_new_slot, (self._relevance, self._updates))
        self._begin(slot)
        return slot

    def overwrite(self, slot: int, frame: MemoryFrames, time: int) -> None:
        super().overwrite(slot, frame, time)
        self._begin(slot)

    def observe(self, attention: Tensor, foreground: Tensor) -> None:
        """Take a read's attention into account, weighted by what was then segmented.

        Args:
            attention: the frames' shares of each query position, (1, N or 1, S, h, w).
            foreground: the objects' masks, (1, N, h, w).
        """
        shares = (attention * foreground.unsqueeze(2)).sum(dim=(3, 4))
        shares = shares / shares.sum(dim=2, keepdim=True).clamp_min(torch.finfo(shares.dtype).tiny)
        # Each object of the group has the same say, whatever its size.
        newest = shares.mean(dim=1)[0]
        average = NEWEST_SHARE * newest + (1 - NEWEST_SHARE) * self._relevance
        self._relevance = torch.where(self._relevance.isnan(), newest, average)

    def update(self) -> None:
        """Count an update of the memory, which all present frames survive for now."""
        self._updates += 1

    def free_slot(self, evictable: Sequence[int]) -> int:
        """Drop the least useful of the frames in some slots and return the slot to overwrite."""
        # What has not been read yet may be as useful as a frame can be.
        relevance = self._relevance.nan_to_num(nan=1.0)
        log_total = self._updates.sum().clamp_min(1).log()
        score = relevance + EXPLORATION * (log_total / (self._updates + EARLY_UPDATES)).sqrt()
        for slot in set(range(len(self))).difference(evictable):
            score[slot] = math.inf
        worst = score.argmin().view(1)
        # The host names one slot, whose frame moves to where the worst one was.
        free = evictable[0]
        self._move(free, worst)
        return free

    def state(self) -> dict[str, Tensor]:
        statistics = {"relevance": self._relevance, "updates": self._updates}
        return {**super().state(), **statistics}

    def restore(self, state: Mapping[str, Tensor], *, earlier: int) -> None:
        super().restore(state, earlier=earlier)
        self._relevance = state["relevance"].clone()
        self._updates = state["updates"].clone()

    def _begin(self, slot: int) -> None:
        """Begin the statistics of a frame that was just stored in ``slot``."""
        self._relevance[slot] = math.nan
        self._updates[slot] = 0

    def _move(self, slot: int, target: Tensor) -> None:
        for stored in self._tensors():
            frames = stored[..., self._slots].unflatten(3, (len(self), -1))
            frames.index_copy_(3, target, frames[:, :, :, slot, None].clone())
        for statistic in (self._relevance, self._updates, self._times):
            statistic.index_copy_(0, target, statistic[slot, None].clone())

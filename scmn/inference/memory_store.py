"""Storage of remembered frames: preallocated slots, written in place, read as one view."""

from __future__ import annotations

import torch
from torch import Tensor

from scmn.networks.base import MemoryFrames

FIRST_CAPACITY = 4


class MemoryStore:
    """Keys and values of the objects that remember the same frames.

    Slots 0..len-1 are in use and have no order in time: a memory read does not depend on it. A slot
    is overwritten in place; capacity doubles when it runs out, up to a bound if there is one.
    """

    def __init__(self, max_slots: int | None = None) -> None:
        """
        Args:
            max_slots: never reserve more than this (None: as many as it takes).
        """
        self.max_slots = max_slots
        self._key: Tensor | None = None
        self._value: Tensor | None = None
        self._used = 0

    def __len__(self) -> int:
        return self._used

    def append(self, frame: MemoryFrames) -> int:
        """Store one frame (T = 1) in a new slot and return the slot."""
        self._reserve(frame, self._used + 1)
        self._used += 1
        self.overwrite(self._used - 1, frame)
        return self._used - 1

    def overwrite(self, slot: int, frame: MemoryFrames) -> None:
        """Store one frame (T = 1) in place of the one in ``slot``."""
        key, value = self._tensors()
        key[:, :, :, slot].copy_(frame.key[:, :, :, 0])
        value[:, :, :, slot].copy_(frame.value[:, :, :, 0])

    def frames(self) -> MemoryFrames:
        """Return all slots in use as views."""
        key, value = self._tensors()
        return MemoryFrames(key[:, :, :, : self._used], value[:, :, :, : self._used])

    def keep_objects(self, positions: list[int]) -> None:
        """Drop all objects but those at ``positions``."""
        key, value = self._tensors()
        chosen = torch.tensor(positions, device=value.device)
        self._value = value.index_select(1, chosen)
        if key.shape[1] > 1:
            self._key = key.index_select(1, chosen)

    def _tensors(self) -> tuple[Tensor, Tensor]:
        if self._key is None or self._value is None:
            raise ValueError("nothing has been remembered yet")
        return self._key, self._value

    def _reserve(self, frame: MemoryFrames, slots: int) -> None:
        capacity = 0 if self._key is None else self._key.shape[3]
        if slots <= capacity:
            return
        grown = max(slots, 2 * capacity, FIRST_CAPACITY)
        if self.max_slots is not None:
            grown = max(slots, min(grown, self.max_slots))
        self._key = _grown(self._key, frame.key, grown)
        self._value = _grown(self._value, frame.value, grown)


def _grown(old: Tensor | None, frame: Tensor, capacity: int) -> Tensor:
    shape = list(frame.shape)
    shape[3] = capacity
    # Not channels-last: the read wants T*h*w contiguous for each channel.
    new = frame.new_empty(shape)
    if old is not None:
        new[:, :, :, : old.shape[3]] = old
    return new

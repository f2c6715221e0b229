"""Storage of remembered frames: preallocated slots, written in place, read as one view."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor

from scmn.networks.base import MemoryFrames

FIRST_CAPACITY = 4
CPU_BYTES = 256 << 20
"""Reserved at once on the CPU, where memory occupies no pages before it is written; growing would
hold all frames twice."""


class MemoryStore:
    """Keys and values of the objects that remember the same frames.

    Slots 0..len-1 are in use, in no particular order: a memory read does not depend on the order. A
    slot is overwritten in place; capacity doubles when it runs out, up to ``max_slots``.
    """

    def __init__(self, max_slots: int | None = None) -> None:
        """
        Args:
            max_slots: never reserve more slots than this (None: no limit).
        """
        self.max_slots = max_slots
        self._key: Tensor | None = None
        self._value: Tensor | None = None
        self._used = 0

    def __len__(self) -> int:
        return self._used

    def append(self, frame: MemoryFrames) -> int:
        """Store one frame (T = 1) in a new slot and return its index."""
        self._reserve(frame, self._used + 1)
        self._used += 1
        self.overwrite(self._used - 1, frame)
        return self._used - 1

    def overwrite(self, slot: int, frame: MemoryFrames) -> None:
        """Replace the frame in ``slot`` by another one (T = 1)."""
        key, value = self._tensors()
        key[:, :, :, slot].copy_(frame.key[:, :, :, 0])
        value[:, :, :, slot].copy_(frame.value[:, :, :, 0])

    def frames(self) -> MemoryFrames:
        """Return all slots in use as views."""
        key, value = self._tensors()
        return MemoryFrames(key[:, :, :, : self._used], value[:, :, :, : self._used])

    def state(self) -> dict[str, Tensor]:
        """Return everything in use, tensors by name; see :meth:`restore`."""
        frames = self.frames()
        return {"key": frames.key, "value": frames.value}

    def restore(self, state: Mapping[str, Tensor], *, earlier: int) -> None:
        """Fill an empty store with what :meth:`state` returned.

        Args:
            state: on the device where the store is to be.
            earlier: how many frames the remembered ones move back in time.
        """
        frames = MemoryFrames(state["key"], state["value"])
        for position in range(frames.key.shape[3]):
            self.append(frames.at(position))

    def keep_objects(self, positions: list[int]) -> None:
        """Drop all objects except those at ``positions``."""
        key, value = self._tensors()
        shared = key.shape[1] == 1 and value.shape[1] > 1
        kept = value[:, positions, :, : self._used]
        self._value = _position_major(kept, kept.shape[3], shared=shared).copy_(kept)
        kept = key if shared else key[:, positions]
        self._key = kept[:, :, :, : self._used].contiguous()

    def _tensors(self) -> tuple[Tensor, Tensor]:
        if self._key is None or self._value is None:
            raise ValueError("nothing has been remembered yet")
        return self._key, self._value

    def _reserve(self, frame: MemoryFrames, slots: int) -> None:
        capacity = 0 if self._key is None else self._key.shape[3]
        if slots <= capacity:
            return
        grown = max(slots, 2 * capacity, FIRST_CAPACITY)
        if frame.value.device.type == "cpu":
            grown = max(grown, CPU_BYTES // (frame.key.nbytes + frame.value.nbytes))
        if self.max_slots is not None:
            grown = max(slots, min(grown, self.max_slots))
        shape = list(frame.key.shape)
        shape[3] = grown
        key = frame.key.new_empty(shape)
        value = _position_major(frame.value, grown, shared=frame.key.shape[1] == 1)
        if self._key is not None and self._value is not None:
            key[:, :, :, :capacity] = self._key
            value[:, :, :, :capacity] = self._value
        self._key, self._value = key, value


def _position_major(frame: Tensor, capacity: int, *, shared: bool) -> Tensor:
    """Reserve values (1, N, Cv, capacity, h, w) with the channels of a position contiguous.

    A top-k read gathers whole rows from it; a dense read is equally fast in either order. With a
    shared key a row holds the channels of all objects.
    """
    _, objects, channels, _, height, width = frame.shape
    if shared:
        storage = frame.new_empty(capacity, height, width, objects, channels)
        return storage.permute(3, 4, 0, 1, 2).unsqueeze(0)
    storage = frame.new_empty(objects, capacity, height, width, channels)
    return storage.permute(0, 4, 1, 2, 3).unsqueeze(0)

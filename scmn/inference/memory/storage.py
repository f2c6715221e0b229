"""Storage of remembered frames: preallocated slots, written in place, read as one view."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from scmn.networks.features import MemoryFrames

FIRST_CAPACITY = 4
CPU_BYTES = 256 << 20
"""Reserved at once on the CPU, where memory occupies no pages before it is written; growing would
hold all frames twice."""


class MemoryStore:
    """Keys and values of the objects that remember the same frames.

    Slots 0..len-1 are in use, in no particular order; each knows the time of its frame. A slot is
    overwritten in place; capacity doubles when it runs out, up to ``max_slots``. Before the first
    slot there may be *elements*, single positions that belong to no frame. They end where the slots
    begin, so that both are read as one view.
    """

    def __init__(self, max_slots: int | None = None, *, max_elements: int = 0) -> None:
        """
        Args:
            max_slots: never reserve more slots than this (None: no limit).
            max_elements: reserve room for as many elements.
        """
        self.max_slots = max_slots
        self._key: Tensor | None = None
        """(1, N or 1, Ck, positions); so are the values, (1, N, Cv, positions)."""
        self._value: Tensor | None = None
        self._times = torch.empty(0, dtype=torch.int64)
        """(S,) of all slots: the frame's index in the video, on the device of the frames."""
        self._map_size = (0, 0)
        self._used = 0
        self._first_slot = max_elements
        self._elements = 0

    def __len__(self) -> int:
        return self._used

    @property
    def elements(self) -> int:
        """The number of elements in use."""
        return self._elements

    @property
    def slot_size(self) -> int:
        """The number of positions of a frame."""
        return self._map_size[0] * self._map_size[1]

    @property
    def map_size(self) -> tuple[int, int]:
        """Height and width of a frame, in positions."""
        return self._map_size

    def append(self, frame: MemoryFrames, time: int) -> int:
        """Store one frame (T = 1) of some time in a new slot and return its index."""
        self._reserve(frame, self._used + 1)
        self._used += 1
        self._times = self._with_new_slot(self._times)
        self._write(self._used - 1, frame, time)
        return self._used - 1

    def overwrite(self, slot: int, frame: MemoryFrames, time: int) -> None:
        """Replace the frame in ``slot`` by another one (T = 1)."""
        self._write(slot, frame, time)

    def frames(self) -> MemoryFrames:
        """Return all that is in use as views; beside elements, each position as its own frame.

        Elements count as older than all frames but the first.
        """
        used = self._used_positions
        size, times = self._map_size, self._times
        if self._elements:
            size = (1, 1)
            after_first = (times.min() + 1).expand(self._elements)
            times = torch.cat([after_first, times.repeat_interleave(self.slot_size)])
        key, value = (stored[..., used].unflatten(3, (-1, *size)) for stored in self._tensors())
        return MemoryFrames(key, value, times)

    def state(self) -> dict[str, Tensor]:
        """Return everything in use, tensors by name; see :meth:`restore`."""
        key, value = (
            stored[..., self._slots].unflatten(3, (-1, *self._map_size))
            for stored in self._tensors()
        )
        return {"key": key, "value": value, "times": self._times}

    def restore(self, state: Mapping[str, Tensor], *, earlier: int) -> None:
        """Fill an empty store with what :meth:`state` returned.

        Args:
            state: on the device where the store is to be.
            earlier: how many frames the remembered ones move back in time.
        """
        frames = MemoryFrames(state["key"], state["value"])
        for slot, time in enumerate(state["times"].tolist()):
            self.append(frames.at(slot), time - earlier)

    def keep_objects(self, positions: list[int]) -> None:
        """Drop all objects except those at ``positions``."""
        key, value = self._tensors()
        used = self._used_positions
        kept = value[:, positions, :, used]
        shared = self._shared_key
        self._value = _position_major(kept, used.stop, shared=shared)
        self._value[..., used] = kept
        self._key = (key if shared else key[:, positions])[..., : used.stop].contiguous()

    def _write(self, slot: int, frame: MemoryFrames, time: int) -> None:
        self._times[slot] = time
        for stored, new in zip(self._tensors(), (frame.key, frame.value), strict=True):
            stored[..., self._positions(slot)].copy_(new.flatten(3))

    def _with_new_slot(self, numbers: Tensor) -> Tensor:
        """Return (S,) numbers of the slots with one more, which is not set."""
        new = numbers.new_empty(1, device=self._tensors()[0].device)
        return torch.cat([numbers, new]) if len(numbers) else new

    def _prepend_elements(self, key: Tensor, value: Tensor) -> None:
        """Store (1, N or 1, Ck, E) keys and (1, N, Cv, E) values before the present elements."""
        end = self._first_slot - self._elements
        self._elements += key.shape[3]
        for stored, new in zip(self._tensors(), (key, value), strict=True):
            stored[..., end - key.shape[3] : end] = new

    @property
    def _slots(self) -> slice:
        """The positions of all slots in use in the tensors."""
        return slice(self._first_slot, self._positions(self._used).start)

    @property
    def _used_positions(self) -> slice:
        """The positions of all elements and slots in use."""
        return slice(self._first_slot - self._elements, self._slots.stop)

    @property
    def _shared_key(self) -> bool:
        key, value = self._tensors()
        return key.shape[1] == 1 and value.shape[1] > 1

    def _positions(self, slot: int) -> slice:
        """Return the positions of a slot's frame in the tensors."""
        first = self._first_slot + slot * self.slot_size
        return slice(first, first + self.slot_size)

    def _tensors(self) -> tuple[Tensor, Tensor]:
        if self._key is None or self._value is None:
            raise ValueError("nothing has been remembered yet")
        return self._key, self._value

    def _reserve(self, frame: MemoryFrames, slots: int) -> None:
        self._map_size = (frame.key.shape[4], frame.key.shape[5])
        capacity = 0 if self._key is None else self._key.shape[3]
        if self._positions(slots).start <= capacity:
            return
        grown = max(slots, 2 * self._used, FIRST_CAPACITY)
        if frame.value.device.type == "cpu":
            grown = max(grown, CPU_BYTES // (frame.key.nbytes + frame.value.nbytes))
        if self.max_slots is not None:
            grown = max(slots, min(grown, self.max_slots))
        positions = self._positions(grown).start
        key = frame.key.new_empty(*frame.key.shape[:3], positions)
        shared = frame.key.shape[1] == 1
        value = _position_major(frame.value.flatten(3), positions, shared=shared)
        if self._key is not None and self._value is not None:
            used = self._used_positions
            key[..., used] = self._key[..., used]
            value[..., used] = self._value[..., used]
        self._key, self._value = key, value


def _position_major(values: Tensor, capacity: int, *, shared: bool) -> Tensor:
    """Reserve values (1, N, Cv, capacity) with the channels of a position contiguous.

    A top-k read gathers whole rows from it; a dense read is equally fast in either order. With a
    shared key a row holds the channels of all objects.
    """
    _, objects, channels, _ = values.shape
    if shared:
        return values.new_empty(capacity, objects, channels).permute(1, 2, 0).unsqueeze(0)
    return values.new_empty(objects, capacity, channels).transpose(1, 2).unsqueeze(0)

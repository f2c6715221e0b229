"""A long-term memory: old frames are consolidated into prototypes, few positions of much use.

Source: XMem (Cheng and Schwing, ECCV 2022, 3.3).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from scmn.inference.memory.settings import LongTermSettings
from scmn.inference.memory.storage import MemoryStore
from scmn.networks.affinity import Similarity
from scmn.networks.features import MemoryFrames
from scmn.networks.memory_read import ReadSettings, read_memory

BLOCKS = ReadSettings(dense_bytes=64 << 20, block_bytes=64 << 20)
"""Affinity of the prototypes of many objects to the frames that they stand for."""


class LongTermStore(MemoryStore):
    """Frames, the working memory; before them prototypes, the long-term memory; and their use.

    The use of a position is the attention that it has received from all query positions, per read
    since it was remembered. Objects with keys of their own have their own prototypes, as many as
    every other object of the group. All choices are made on the device of the memory.
    """

    def __init__(self, settings: LongTermSettings, similarity: Similarity) -> None:
        """
        Args:
            settings: sizes of the two memories.
            similarity: the network's.
        """
        super().__init__(max_elements=settings.max_elements)
        self._settings = settings
        self._similarity = similarity
        self._usage = torch.empty(0)
        """(2, N or 1, positions): attention received and number of reads, of all in use."""

    def append(self, frame: MemoryFrames, time: int) -> int:
        slot = super().append(frame, time)
        unused = frame.key.new_zeros(2, frame.key.shape[1], self.slot_size, dtype=torch.float32)
        self._usage = torch.cat([self._usage, unused], dim=2) if len(self._usage) else unused
        return slot

    def overwrite(self, slot: int, frame: MemoryFrames, time: int) -> None:
        super().overwrite(slot, frame, time)
        self._usage[..., self._used_by(slot)] = 0

    def observe(self, attention: Tensor) -> None:
        """Take a read into account: what each position got of it, (1, N or 1, T, h, w)."""
        self._usage[0] += attention[0].flatten(1)
        self._usage[1] += 1

    def consolidate(self, slots: Sequence[int]) -> None:
        """Replace the frames in some slots by prototypes; the other frames move up in order.

        The most used positions give the keys. A prototype's value is what its key reads from all
        positions of these frames.
        """
        usage = torch.cat([self._usage[..., self._used_by(slot)] for slot in slots], dim=2)
        key, value = (
            torch.stack([stored[0, ..., self._positions(slot)] for slot in slots], dim=2)
            for stored in self._tensors()
        )
        count = min(self._settings.prototypes, usage.shape[2])
        best = _use(usage).topk(count, dim=1).indices
        positions = best.unsqueeze(1).expand(-1, key.shape[1], -1)
        prototypes = key.flatten(2).gather(2, positions)
        read = read_memory(
            prototypes.unsqueeze(3),
            key[:, None, ..., None],
            value.unflatten(0, (len(key), -1)).unsqueeze(5),
            similarity=self._similarity,
            settings=BLOCKS,
        )
        self._drop(slots)
        self._add(prototypes.unsqueeze(0), read.flatten(0, 1).squeeze(3).unsqueeze(0))

    def state(self) -> dict[str, Tensor]:
        elements = slice(self._first_slot - self.elements, self._first_slot)
        key, value = (stored[..., elements] for stored in self._tensors())
        own = {"element_key": key, "element_value": value, "usage": self._usage}
        return {**super().state(), **own}

    def restore(self, state: Mapping[str, Tensor], *, earlier: int) -> None:
        super().restore(state, earlier=earlier)
        self._prepend_elements(state["element_key"], state["element_value"])
        self._usage = state["usage"].clone()

    def keep_objects(self, positions: list[int]) -> None:
        shared = self._shared_key
        super().keep_objects(positions)
        if not shared:
            self._usage = self._usage[:, positions]

    def _used_by(self, slot: int) -> slice:
        """Return the positions of a slot's frame among all that are in use."""
        first = self.elements + slot * self.slot_size
        return slice(first, first + self.slot_size)

    def _drop(self, slots: Sequence[int]) -> None:
        kept = [slot for slot in range(len(self)) if slot not in slots]
        parts = [self._usage[..., : self.elements]]
        parts += [self._usage[..., self._used_by(slot)] for slot in kept]
        self._usage = torch.cat(parts, dim=2)
        self._times = torch.stack([self._times[slot] for slot in kept])
        for target, slot in enumerate(kept):
            if target != slot:
                for stored in self._tensors():
                    stored[..., self._positions(target)] = stored[..., self._positions(slot)]
        self._used = len(kept)

    def _add(self, key: Tensor, value: Tensor) -> None:
        """Add (1, N or 1, Ck, E) keys and (1, N, Cv, E) values as elements.

        Where there is no room for all, they replace the least used elements.
        """
        count = key.shape[3]
        room = min(count, self._settings.max_elements - self.elements)
        if room < count:
            use = _use(self._usage[..., : self.elements])
            worst = use.topk(count - room, dim=1, largest=False).indices
            for stored, new in zip(self._tensors(), (key, value), strict=True):
                elements = stored[..., self._first_slot - self.elements : self._first_slot]
                positions = worst[None, :, None].expand(*new.shape[:3], -1)
                elements.scatter_(3, positions, new[..., room:])
            self._usage.scatter_(2, worst.expand(2, -1, -1), 0.0)
        self._prepend_elements(key[..., :room], value[..., :room])
        unused = self._usage.new_zeros(*self._usage.shape[:2], room)
        self._usage = torch.cat([unused, self._usage], dim=2)


def _use(usage: Tensor) -> Tensor:
    """(2, N, P) attention received and reads -> (N, P) attention per read."""
    return usage[0] / usage[1].clamp_min(1)

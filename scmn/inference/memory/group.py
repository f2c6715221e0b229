"""Objects that remember the same frames: the slots of their store, and which frame makes room."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

from torch import Tensor

from scmn.inference.memory.long_term import LongTermStore
from scmn.inference.memory.restriction import RestrictedStore
from scmn.inference.memory.settings import MemorySettings
from scmn.inference.memory.storage import MemoryStore
from scmn.networks.affinity import Similarity
from scmn.networks.features import MemoryFrames


@dataclass
class Slot:
    """The frame in one slot of a store."""

    time: int
    permanent: bool
    lasting: bool
    """False for a frame that is remembered only as the previous frame."""


class ObjectGroup:
    """Objects that were added on the same frame and therefore remember the same frames."""

    def __init__(
        self, object_ids: Sequence[int], settings: MemorySettings, similarity: Similarity
    ) -> None:
        """
        Args:
            object_ids: the user's ids, in the order of the objects in tensors.
            settings: how many frames are remembered, and which of them go first.
            similarity: the network's, for prototypes.
        """
        self.object_ids = list(object_ids)
        self.store = _new_store(settings, similarity)
        self._settings = settings
        self._slots: list[Slot] = []

    @property
    def remembered_times(self) -> tuple[int, ...]:
        """The frames that are remembered, in time order."""
        if isinstance(self.store, RestrictedStore):
            return tuple(sorted(self.store.times()))
        return tuple(sorted(slot.time for slot in self._slots))

    @property
    def latest_lasting_time(self) -> int:
        """The latest frame that was remembered for more than one frame."""
        return max(slot.time for slot in self._slots if slot.lasting)

    def remove_object(self, object_id: int) -> None:
        """Forget one of the objects."""
        rest = [i for i, other in enumerate(self.object_ids) if other != object_id]
        if rest:
            self.store.keep_objects(rest)
        self.object_ids.remove(object_id)

    def remember(self, frame: MemoryFrames, slot: Slot) -> None:
        """Store a frame (T = 1) of the objects, in a new slot or instead of another frame."""
        if isinstance(self.store, RestrictedStore) and slot.lasting:
            self.store.update()
        position = self._slot_to_replace(slot)
        if position is None:
            slots = [*self._slots, slot]
            self.store.max_slots = self._max_slots(slots)
            self.store.append(frame, slot.time)
            self._slots = slots
        else:
            self.store.overwrite(position, frame, slot.time)
            self._slots[position] = slot
        self._consolidate()

    def observe(self, attention: Tensor, foreground: Tensor) -> None:
        """Take into account what a read found useful.

        Args:
            attention: see :attr:`scmn.networks.features.Segmentation.attention`.
            foreground: the masks that were then segmented, (1, N, h, w) at stride 16.
        """
        if isinstance(self.store, RestrictedStore):
            self.store.observe(attention, foreground)
        elif isinstance(self.store, LongTermStore):
            self.store.observe(attention)

    def state(self) -> dict[str, Any]:
        """Return what the store does not know as JSON values; see :meth:`restore`."""
        return {"object_ids": self.object_ids, "slots": [asdict(slot) for slot in self._slots]}

    def restore(
        self, tensors: Mapping[str, Tensor], state: Mapping[str, Any], *, earlier: int
    ) -> None:
        """Fill an empty group with the state of its store and what :meth:`state` returned.

        Args:
            tensors: of the store, on the device where it is to be.
            state: the rest.
            earlier: how many frames the remembered ones move back in time.
        """
        slots = [Slot(**slot) for slot in state["slots"]]
        self._slots = [replace(slot, time=slot.time - earlier) for slot in slots]
        self.store.max_slots = self._max_slots(self._slots)
        self.store.restore(tensors, earlier=earlier)

    def _slot_to_replace(self, new: Slot) -> int | None:
        """Return the slot that the new frame replaces, or None if it takes a new one.

        A frame that was kept only as the previous one is replaced first; then, if the memory is
        full, the oldest or the least useful frame that is not permanent.
        """
        for position, slot in enumerate(self._slots):
            if not slot.lasting:
                return position
        if self._settings.max_frames is None:
            return None
        evictable = [i for i, slot in enumerate(self._slots) if not slot.permanent]
        counts = not (new.permanent or self._settings.keep_previous)
        if len(evictable) + counts <= self._settings.max_frames:
            return None
        if isinstance(self.store, RestrictedStore):
            return self.store.free_slot(evictable)
        return min(evictable, key=self._time_of)

    def _max_slots(self, slots: Sequence[Slot]) -> int | None:
        """Return how many slots a group with these will need at most; None: any number."""
        limit = self._settings.max_frames
        if self._settings.long_term is not None:
            limit = self._settings.long_term.max_frames - 1
        if limit is None:
            return None
        permanent = sum(slot.permanent for slot in slots)
        return permanent + limit + int(self._settings.keep_previous)

    def _consolidate(self) -> None:
        """Turn the older frames of a full working memory into prototypes."""
        long_term = self._settings.long_term
        if long_term is None or not isinstance(self.store, LongTermStore):
            return
        # As in XMem, the sizes count the first frame, which is permanent.
        working = [i for i, slot in enumerate(self._slots) if slot.lasting and not slot.permanent]
        if len(working) < long_term.max_frames - 1:
            return
        old = sorted(working, key=self._time_of)[: 1 - long_term.min_frames]
        self.store.consolidate(old)
        self._slots = [slot for i, slot in enumerate(self._slots) if i not in old]

    def _time_of(self, position: int) -> int:
        return self._slots[position].time


def evicts_by_usage(settings: MemorySettings) -> bool:
    """Whether a full memory forgets the frame of least use, not the oldest one."""
    return settings.eviction == "usage" and settings.max_frames is not None


def _new_store(settings: MemorySettings, similarity: Similarity) -> MemoryStore:
    if settings.long_term is not None:
        return LongTermStore(settings.long_term, similarity)
    return RestrictedStore() if evicts_by_usage(settings) else MemoryStore()

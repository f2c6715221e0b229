"""Memory policy: which frames each object remembers and which it forgets.

Source: STM (Oh et al., ICCV 2019, 3.5): the first, the previous and every n-th frame.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from torch import Tensor
from torch.nn import functional

from scmn.inference.memory.long_term import LongTermStore
from scmn.inference.memory.restriction import RestrictedStore
from scmn.inference.memory.settings import MemorySettings
from scmn.inference.memory.storage import MemoryStore
from scmn.inference.memory.trust import GivenConfidence
from scmn.networks.base import STRIDE
from scmn.networks.features import MemoryFrames
from scmn.networks.memory_read import Attention, Similarity


@dataclass
class _Slot:
    """The frame in one slot of the store."""

    time: int
    permanent: bool
    lasting: bool
    """False for a frame that is remembered only as the previous frame."""


@dataclass
class _Group:
    """Objects that were added on the same frame and therefore remember the same frames."""

    object_ids: list[int]
    store: MemoryStore
    slots: list[_Slot] = field(default_factory=list)


class MemoryBank:
    """The memory of all objects of a video.

    Objects are addressed by the user's ids. Their *positions* in tensors are those in
    :attr:`object_ids` and change when objects are removed.
    """

    def __init__(self, settings: MemorySettings, similarity: Similarity) -> None:
        """
        Args:
            settings: what is remembered.
            similarity: the network's, for prototypes.
        """
        self.settings = settings
        self._similarity = similarity
        self._groups: list[_Group] = []
        self._last_annotated = 0
        self._given_confidence = GivenConfidence()

    @property
    def object_ids(self) -> tuple[int, ...]:
        """The user's ids in the order of the objects' positions in tensors."""
        return tuple(object_id for group in self._groups for object_id in group.object_ids)

    @property
    def map_size(self) -> tuple[int, int] | None:
        """Height and width of the remembered maps, at stride 16; None if there are none."""
        return next((group.store.map_size for group in self._groups if len(group.store)), None)

    def remembered_times(self, object_id: int) -> tuple[int, ...]:
        """Return the frames that an object remembers, in time order; KeyError if there is none."""
        for group in self._groups:
            if object_id in group.object_ids:
                if isinstance(group.store, RestrictedStore):
                    return tuple(sorted(group.store.times()))
                return tuple(sorted(slot.time for slot in group.slots))
        raise KeyError(object_id)

    def add_objects(self, object_ids: Sequence[int]) -> None:
        """Append objects; their memory starts with the next frame that is remembered."""
        known = set(self.object_ids)
        if known & set(object_ids):
            raise ValueError(f"objects {sorted(known & set(object_ids))} already exist")
        if object_ids:
            self._groups.append(_Group(list(object_ids), self._new_store()))

    def remove_object(self, object_id: int) -> None:
        """Forget an object; KeyError if there is no such object."""
        for group in self._groups:
            if object_id in group.object_ids:
                rest = [i for i, other in enumerate(group.object_ids) if other != object_id]
                if rest:
                    group.store.keep_objects(rest)
                group.object_ids.remove(object_id)
                self._given_confidence.forget(object_id)
                self._groups = [g for g in self._groups if g.object_ids]
                return
        raise KeyError(object_id)

    def judges(self, time: int, *, annotated: bool) -> bool:
        """Whether it depends on the objects' confidence what of this frame is remembered."""
        return self.settings.gate is not None and self.wants(time, annotated=annotated)

    def trust(self, confidence: Tensor, given: Collection[int]) -> list[bool]:
        """Return which objects have a mask on this frame that may be remembered.

        Args:
            confidence: of each object on this frame, float32 (N,), 0 without a mask.
            given: the ids of the objects whose masks are given on this frame.
        """
        share = 0.0 if self.settings.gate is None else self.settings.gate.confidence
        least = self._given_confidence.least(share, confidence, self.object_ids, given)
        clear = (confidence > 0) & (confidence >= least)
        return [i in given or ok for i, ok in zip(self.object_ids, clear.tolist(), strict=True)]

    def wants(self, time: int, *, annotated: bool, trusted: Sequence[bool] | None = None) -> bool:
        """Whether the policy remembers this frame for some object.

        Args:
            time: index of the frame in the video.
            annotated: whether the frame was given with masks.
            trusted: what :meth:`trust` returned (None: every object is trusted).
        """
        return any(
            self._wanted(group, time, annotated=annotated)
            for group, masks in self._by_group(trusted)
            if any(masks)
        )

    def remember(
        self,
        time: int,
        frame: MemoryFrames,
        *,
        annotated: bool,
        trusted: Sequence[bool] | None = None,
    ) -> None:
        """Remember a frame for all objects, or for the groups with objects that are trusted.

        Args:
            time: index of the frame in the video.
            frame: its memory (T = 1) with the objects in the order of :attr:`object_ids`; of those
                that are not trusted the weight is 0.
            annotated: whether the frame was given with masks.
            trusted: what :meth:`trust` returned (None: every object is trusted).
        """
        first = 0
        for group, masks in self._by_group(trusted):
            chosen = slice(first, first + len(group.object_ids))
            if any(masks) and self._wanted(group, time, annotated=annotated):
                slot = _Slot(
                    time,
                    permanent=annotated and self.settings.keep_annotated,
                    lasting=self._lasting(group, time, annotated),
                )
                self._remember(group, slot, frame.objects(chosen))
            first = chosen.stop
        if annotated:
            self._last_annotated = time

    def attention(self, time: int, *, annotated: bool) -> Attention | None:
        """Return which attention of this frame's read :meth:`observe` needs, None for no call."""
        if self.settings.long_term is not None:
            return "positions"
        due = any(self._lasting(group, time, annotated) for group in self._groups)
        return "frames" if self._restricted and due else None

    def observe(self, attention: Sequence[Tensor], masks: Tensor) -> None:
        """Take into account what a read found useful.

        Args:
            attention: of each group's read, see
                :attr:`scmn.networks.features.Segmentation.attention`.
            masks: what was then segmented, (1, N, H, W) with the objects in the order of
                :attr:`object_ids`.
        """
        foreground = functional.avg_pool2d(masks, STRIDE)
        sizes = [len(group.object_ids) for group in self._groups]
        parts = zip(self._groups, attention, foreground.split(sizes, dim=1), strict=True)
        for group, received, mask in parts:
            if isinstance(group.store, RestrictedStore):
                group.store.observe(received, mask)
            elif isinstance(group.store, LongTermStore):
                group.store.observe(received)

    def memory(self) -> list[MemoryFrames]:
        """Return the memory of each group of objects, for ``MemoryNetwork.segment``."""
        return [group.store.frames() for group in self._groups]

    def drop_objects_without_memory(self) -> None:
        """Remove objects that were added on a frame that then could not be remembered."""
        self._groups = [group for group in self._groups if len(group.store)]

    def state(self) -> tuple[dict[str, Tensor], dict[str, Any]]:
        """Return all tensors by name, and the rest as JSON values; see :meth:`restore`."""
        tensors = {
            f"{number}.{name}": tensor
            for number, group in enumerate(self._groups)
            for name, tensor in group.store.state().items()
        }
        groups = [
            {"object_ids": group.object_ids, "slots": [asdict(slot) for slot in group.slots]}
            for group in self._groups
        ]
        given = self._given_confidence.state()
        tensors |= {f"given_confidence.{name}": number for name, number in given.items()}
        return tensors, {"last_annotated": self._last_annotated, "groups": groups}

    def restore(
        self, tensors: Mapping[str, Tensor], state: Mapping[str, Any], *, earlier: int = 0
    ) -> None:
        """Fill an empty bank with what :meth:`state` returned.

        Args:
            tensors: on the device where the bank is to be.
            state: the rest.
            earlier: how many frames the remembered ones move back in time.
        """
        self._last_annotated = state["last_annotated"] - earlier
        self._given_confidence.restore(_below("given_confidence", tensors))
        for number, saved in enumerate(state["groups"]):
            group = _Group(list(saved["object_ids"]), self._new_store())
            slots = [_Slot(**slot) for slot in saved["slots"]]
            group.slots = [replace(slot, time=slot.time - earlier) for slot in slots]
            group.store.max_slots = self._max_slots(group.slots)
            group.store.restore(_below(str(number), tensors), earlier=earlier)
            self._groups.append(group)

    @property
    def _restricted(self) -> bool:
        return self.settings.eviction == "usage" and self.settings.max_frames is not None

    def _new_store(self) -> MemoryStore:
        if self.settings.long_term is not None:
            return LongTermStore(self.settings.long_term, self._similarity)
        return RestrictedStore() if self._restricted else MemoryStore()

    def _by_group(self, trusted: Sequence[bool] | None) -> Iterator[tuple[_Group, Sequence[bool]]]:
        """Yield each group and which of its objects are trusted."""
        first = 0
        for group in self._groups:
            last = first + len(group.object_ids)
            yield group, [True] if trusted is None else trusted[first:last]
            first = last

    def _wanted(self, group: _Group, time: int, *, annotated: bool) -> bool:
        return self.settings.keep_previous or self._lasting(group, time, annotated)

    def _lasting(self, group: _Group, time: int, annotated: bool) -> bool:
        # A new object has no other memory than the frame it was given on.
        if annotated:
            return True
        every = self.settings.every
        if every is None:
            return False
        if self.settings.gate is None:
            # As in the published STCN, counted from the last annotated frame.
            return (time - self._last_annotated) % every == 0
        return time - max(slot.time for slot in group.slots if slot.lasting) >= every

    def _remember(self, group: _Group, slot: _Slot, frame: MemoryFrames) -> None:
        if isinstance(group.store, RestrictedStore) and slot.lasting:
            group.store.update()
        position = self._slot_to_replace(group, slot)
        if position is None:
            group.store.max_slots = self._max_slots([*group.slots, slot])
            position = group.store.append(frame, slot.time)
            group.slots.append(slot)
        else:
            group.store.overwrite(position, frame, slot.time)
            group.slots[position] = slot
        self._consolidate(group)

    def _consolidate(self, group: _Group) -> None:
        """Turn the older frames of a full working memory into prototypes."""
        long_term = self.settings.long_term
        if long_term is None or not isinstance(group.store, LongTermStore):
            return
        # As in XMem, the sizes count the first frame, which is permanent.
        working = [i for i, slot in enumerate(group.slots) if slot.lasting and not slot.permanent]
        if len(working) < long_term.max_frames - 1:
            return
        working.sort(key=lambda i: group.slots[i].time)
        old = working[: 1 - long_term.min_frames]
        group.store.consolidate(old)
        group.slots = [slot for i, slot in enumerate(group.slots) if i not in old]

    def _max_slots(self, slots: Sequence[_Slot]) -> int | None:
        """Return how many slots a group with these will need at most; None: any number."""
        limit = self.settings.max_frames
        if self.settings.long_term is not None:
            limit = self.settings.long_term.max_frames - 1
        if limit is None:
            return None
        permanent = sum(slot.permanent for slot in slots)
        return permanent + limit + int(self.settings.keep_previous)

    def _slot_to_replace(self, group: _Group, new: _Slot) -> int | None:
        """Return the slot that the new frame replaces, or None if it takes a new one.

        A frame that was kept only as the previous one is replaced first; then, if the memory is
        full, the oldest or the least useful frame that is not permanent.
        """
        for position, slot in enumerate(group.slots):
            if not slot.lasting:
                return position
        if self.settings.max_frames is None:
            return None
        evictable = [i for i, slot in enumerate(group.slots) if not slot.permanent]
        counts = not (new.permanent or self.settings.keep_previous)
        if len(evictable) + counts <= self.settings.max_frames:
            return None
        if isinstance(group.store, RestrictedStore):
            return group.store.free_slot(evictable)
        return min(evictable, key=lambda i: group.slots[i].time)


def _below(name: str, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return the tensors ``<name>.<own name>`` by their own names."""
    prefix = f"{name}."
    return {k.removeprefix(prefix): tensor for k, tensor in tensors.items() if k.startswith(prefix)}

"""Policy of the memory: which frames are remembered, which are forgotten, and by which objects.

Source: STM (Oh et al., ICCV 2019, 3.5): the first, the previous and every n-th frame.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from scmn.errors import InputError, nearest_name
from scmn.inference.memory.settings import MemorySettings
from scmn.inference.memory_store import MemoryStore
from scmn.networks.base import MemoryFrames, MemoryNetwork


@dataclass
class _Slot:
    """What a slot of the store holds."""

    time: int
    permanent: bool
    lasting: bool
    """False for a frame that is remembered only as the previous one."""


@dataclass
class _Group:
    """Objects that were first given on the same frame and so remember the same frames."""

    object_ids: list[int]
    store: MemoryStore
    slots: list[_Slot] = field(default_factory=list)


def complete_settings(
    model: MemoryNetwork, memory: MemorySettings | Mapping[str, Any] | None
) -> MemorySettings:
    """Complete a mapping of some settings by the network's own policy.

    Raises:
        InputError: there is no such setting.
    """
    if isinstance(memory, MemorySettings):
        return memory
    known = asdict(MemorySettings())
    for name in memory or {}:
        if name not in known:
            raise InputError(
                f"unknown memory setting '{name}'{nearest_name(name, known)}; "
                f"known: {', '.join(known)}"
            )
    return MemorySettings(**{**model.memory_defaults, **(memory or {})})  # type: ignore[arg-type]


class MemoryBank:
    """The memory of all objects of a video.

    Objects are addressed by the user's ids. Their *positions* in tensors follow
    :attr:`object_ids` and change when objects are removed.
    """

    def __init__(self, settings: MemorySettings) -> None:
        """
        Raises:
            InputError: settings that make no sense.
        """
        _check(settings)
        self.settings = settings
        self._groups: list[_Group] = []

    @property
    def object_ids(self) -> tuple[int, ...]:
        """The user's ids in the order of positions in tensors."""
        return tuple(object_id for group in self._groups for object_id in group.object_ids)

    def remembered_times(self, object_id: int) -> tuple[int, ...]:
        """Return the frames that an object remembers, in time order."""
        for group in self._groups:
            if object_id in group.object_ids:
                return tuple(sorted(slot.time for slot in group.slots))
        raise KeyError(object_id)

    def add_objects(self, object_ids: Sequence[int]) -> None:
        """Append objects whose memory starts with the next frame that is remembered."""
        known = set(self.object_ids)
        if known & set(object_ids):
            raise ValueError(f"objects {sorted(known & set(object_ids))} are there already")
        if object_ids:
            self._groups.append(_Group(list(object_ids), MemoryStore()))

    def remove_object(self, object_id: int) -> None:
        """Forget an object; KeyError if it is not there."""
        for group in self._groups:
            if object_id in group.object_ids:
                rest = [i for i, other in enumerate(group.object_ids) if other != object_id]
                if rest:
                    group.store.keep_objects(rest)
                group.object_ids.remove(object_id)
                self._groups = [g for g in self._groups if g.object_ids]
                return
        raise KeyError(object_id)

    def wants(self, time: int, *, annotated: bool) -> bool:
        """Whether the frame would be remembered at all."""
        return self.settings.keep_previous or self._lasting(time, annotated)

    def remember(self, time: int, frame: MemoryFrames, *, annotated: bool) -> None:
        """Remember a frame for all objects.

        Args:
            time: index of the frame in the video.
            frame: its memory (T = 1) with the objects in the order of :attr:`object_ids`.
            annotated: whether the frame came with a user's mask.
        """
        slot = _Slot(
            time,
            permanent=annotated and self.settings.keep_annotated,
            lasting=self._lasting(time, annotated),
        )
        first = 0
        for group in self._groups:
            chosen = slice(first, first + len(group.object_ids))
            self._remember(group, slot, frame.objects(chosen))
            first = chosen.stop

    def memory(self) -> list[MemoryFrames]:
        """Return the memory of each group, ready for ``MemoryNetwork.segment``."""
        return [group.store.frames() for group in self._groups]

    def drop_objects_without_memory(self) -> None:
        """Take back objects that were added on a frame which then could not be remembered."""
        self._groups = [group for group in self._groups if len(group.store)]

    def _lasting(self, time: int, annotated: bool) -> bool:
        every = self.settings.every
        # Without its given frame a new object would have nothing to be found by.
        return annotated or (every is not None and time % every == 0)

    def _remember(self, group: _Group, slot: _Slot, frame: MemoryFrames) -> None:
        position = self._slot_to_replace(group, slot)
        if position is None:
            permanent = sum(s.permanent for s in group.slots) + slot.permanent
            if self.settings.max_frames is not None:
                group.store.max_slots = permanent + self.settings.max_frames
            group.store.append(frame)
            group.slots.append(slot)
        else:
            group.store.overwrite(position, frame)
            group.slots[position] = slot

    def _slot_to_replace(self, group: _Group, new: _Slot) -> int | None:
        """Return the slot that the new frame takes over, or None for a new one.

        The last frame's goes first, if it was kept only as the previous one; then, when the memory
        is full, the oldest that is not permanent.
        """
        for position, slot in enumerate(group.slots):
            if not slot.lasting:
                return position
        evictable = [i for i, slot in enumerate(group.slots) if not slot.permanent]
        limit = self.settings.max_frames
        if new.permanent or limit is None or len(evictable) < limit:
            return None
        return min(evictable, key=lambda i: group.slots[i].time)


def _check(settings: MemorySettings) -> None:
    for name in ("every", "max_frames", "top_k"):
        value = getattr(settings, name)
        if value is not None and (not isinstance(value, int) or value < 1):
            raise InputError(f"memory.{name} must be a number from 1 on or null, not {value!r}")

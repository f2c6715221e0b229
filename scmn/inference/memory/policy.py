"""Memory policy: which frames each object remembers and which it forgets.

Source: STM (Oh et al., ICCV 2019, "inference"): the first, the previous and every n-th frame.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any

from torch import Tensor
from torch.nn import functional

from scmn.inference.memory.group import ObjectGroup, Slot, evicts_by_usage
from scmn.inference.memory.settings import MemorySettings
from scmn.networks.affinity import Similarity
from scmn.networks.base import STRIDE
from scmn.networks.features import MemoryFrames
from scmn.networks.memory_read import Attention


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
        self._groups: list[ObjectGroup] = []
        self._last_annotated = 0

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
                return group.remembered_times
        raise KeyError(object_id)

    def add_objects(self, object_ids: Sequence[int]) -> None:
        """Append objects; their memory starts with the next frame that is remembered."""
        known = set(self.object_ids)
        if known & set(object_ids):
            raise ValueError(f"objects {sorted(known & set(object_ids))} already exist")
        if object_ids:
            self._groups.append(self._new_group(object_ids))

    def remove_object(self, object_id: int) -> None:
        """Forget an object; KeyError if there is no such object."""
        for group in self._groups:
            if object_id in group.object_ids:
                group.remove_object(object_id)
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
        least = 0.0 if self.settings.gate is None else self.settings.gate.confidence
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
                slot = Slot(
                    time,
                    permanent=annotated and self.settings.keep_annotated,
                    lasting=self._lasting(group, time, annotated),
                )
                group.remember(frame.objects(chosen), slot)
            first = chosen.stop
        if annotated:
            self._last_annotated = time

    def attention(self, time: int, *, annotated: bool) -> Attention | None:
        """Return which attention of this frame's read :meth:`observe` needs, None for no call."""
        if self.settings.long_term is not None:
            return "positions"
        due = any(self._lasting(group, time, annotated) for group in self._groups)
        return "frames" if due and evicts_by_usage(self.settings) else None

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
            group.observe(received, mask)

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
        groups = [group.state() for group in self._groups]
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
        for number, saved in enumerate(state["groups"]):
            group = self._new_group(saved["object_ids"])
            group.restore(_below(str(number), tensors), saved, earlier=earlier)
            self._groups.append(group)

    def _new_group(self, object_ids: Sequence[int]) -> ObjectGroup:
        return ObjectGroup(object_ids, self.settings, self._similarity)

    def _by_group(
        self, trusted: Sequence[bool] | None
    ) -> Iterator[tuple[ObjectGroup, Sequence[bool]]]:
        """Yield each group and which of its objects are trusted."""
        first = 0
        for group in self._groups:
            last = first + len(group.object_ids)
            yield group, [True] if trusted is None else trusted[first:last]
            first = last

    def _wanted(self, group: ObjectGroup, time: int, *, annotated: bool) -> bool:
        return self.settings.keep_previous or self._lasting(group, time, annotated)

    def _lasting(self, group: ObjectGroup, time: int, annotated: bool) -> bool:
        # A new object has no other memory than the frame it was given on.
        if annotated:
            return True
        every = self.settings.every
        if every is None:
            return False
        if self.settings.gate is None:
            # As in the published STCN, counted from the last annotated frame.
            return (time - self._last_annotated) % every == 0
        return time - group.latest_lasting_time >= every


def _below(name: str, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return the tensors ``<name>.<own name>`` by their own names."""
    prefix = f"{name}."
    return {k.removeprefix(prefix): tensor for k, tensor in tensors.items() if k.startswith(prefix)}

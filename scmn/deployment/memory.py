"""Which frames the objects of a video remember, with NumPy arrays for their tensors.

The policy is that of ``scmn.inference.memory.policy``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from scmn.errors import InputError, nearest_name

POLICY_SETTINGS = ("every", "keep_annotated", "keep_previous", "max_frames", "absence")
"""Those of ``MemorySettings`` that are applied here."""


@dataclass
class RememberedFrame:
    """One frame in the memory of some objects."""

    time: int
    permanent: bool
    lasting: bool
    """False for a frame that is remembered only as the previous frame."""
    key: np.ndarray
    """(1, N or 1, Ck, 1, h, w)."""
    value: np.ndarray
    """(1, N, Cv, 1, h, w)."""


@dataclass
class ObjectGroup:
    """Objects that were added on the same frame and therefore remember the same frames."""

    object_ids: list[int]
    frames: list[RememberedFrame] = field(default_factory=list)

    def keys(self) -> np.ndarray:
        """(1, N or 1, Ck, T, h, w)."""
        return np.concatenate([frame.key for frame in self.frames], axis=3)

    def values(self) -> np.ndarray:
        """(1, N, Cv, T, h, w)."""
        return np.concatenate([frame.value for frame in self.frames], axis=3)


class ArrayMemory:
    """The memory of all objects of a video."""

    def __init__(self, settings: Mapping[str, Any]) -> None:
        """
        Args:
            settings: a value for each of ``POLICY_SETTINGS``; see ``MemorySettings``.
        """
        self.settings = settings
        self.groups: list[ObjectGroup] = []
        self._last_annotated = 0

    @property
    def object_ids(self) -> tuple[int, ...]:
        """The user's ids, group by group."""
        return tuple(object_id for group in self.groups for object_id in group.object_ids)

    def add_objects(self, object_ids: Sequence[int]) -> None:
        """Append new objects; their memory starts with the next frame that is remembered."""
        if object_ids:
            self.groups.append(ObjectGroup(list(object_ids)))

    def remove_object(self, object_id: int) -> None:
        """Forget an object; InputError if there is no such object."""
        for group in self.groups:
            if object_id not in group.object_ids:
                continue
            position = group.object_ids.index(object_id)
            shared = len(group.object_ids) > 1 and group.frames[0].key.shape[1] == 1
            for frame in group.frames:
                frame.value = np.delete(frame.value, position, axis=1)
                if not shared:
                    frame.key = np.delete(frame.key, position, axis=1)
            del group.object_ids[position]
            self.groups = [group for group in self.groups if group.object_ids]
            return
        raise InputError(
            f"no object {object_id} to remove; the objects are {list(self.object_ids)}"
        )

    def wants(self, time: int, *, annotated: bool) -> bool:
        """Whether the policy remembers this frame."""
        return self.settings["keep_previous"] or self._lasting(time, annotated)

    def remember(self, time: int, key: np.ndarray, value: np.ndarray, *, annotated: bool) -> None:
        """Remember a frame for all objects.

        Args:
            time: index of the frame in the video.
            key: (1, N or 1, Ck, 1, h, w) with the objects in the order of :attr:`object_ids`.
            value: (1, N, Cv, 1, h, w).
            annotated: whether the frame was given with masks.
        """
        lasting = self._lasting(time, annotated)
        permanent = annotated and self.settings["keep_annotated"]
        if annotated:
            self._last_annotated = time
        own_keys = key.shape[1] == value.shape[1]
        first = 0
        for group in self.groups:
            chosen = slice(first, first + len(group.object_ids))
            first = chosen.stop
            frame = RememberedFrame(
                time, permanent, lasting, key[:, chosen] if own_keys else key, value[:, chosen]
            )
            self._make_room(group.frames, frame)
            group.frames.append(frame)

    def _lasting(self, time: int, annotated: bool) -> bool:
        every = self.settings["every"]
        return annotated or (every is not None and (time - self._last_annotated) % every == 0)

    def _make_room(self, frames: list[RememberedFrame], new: RememberedFrame) -> None:
        """Forget the frame that the new one replaces, if any."""
        previous = [frame for frame in frames if not frame.lasting]
        if previous:
            frames.remove(previous[0])
            return
        limit = self.settings["max_frames"]
        evictable = [frame for frame in frames if not frame.permanent]
        counts = not (new.permanent or self.settings["keep_previous"])
        if limit is not None and len(evictable) + counts > limit:
            frames.remove(min(evictable, key=lambda frame: frame.time))


def memory_settings(defaults: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    """Return the policy with some settings changed; InputError if one is unknown or wrong."""
    for name, value in changes.items():
        if name not in defaults:
            raise InputError(
                f"unknown memory setting '{name}'{nearest_name(name, defaults)}; "
                f"known here: {', '.join(defaults)}"
            )
        if name == "absence":
            _check_absence(value)
        elif name.startswith("keep_"):
            if not isinstance(value, bool):
                raise InputError(f"memory.{name} must be true or false, not {value!r}")
        elif value is not None and (type(value) is not int or value < 1):
            raise InputError(f"memory.{name} must be an integer above 0 or null, not {value!r}")
    return {**defaults, **changes}


def _check_absence(value: Any) -> None:
    if value is None:
        return
    least = value.get("confidence") if isinstance(value, Mapping) and len(value) == 1 else None
    if not isinstance(least, int | float) or isinstance(least, bool) or not 0 <= least <= 1:
        raise InputError(f"memory.absence must be {{'confidence': 0 to 1}} or null, not {value!r}")


def object_ids_of(labels: np.ndarray) -> Sequence[int]:
    """Return the ids in a label map, without background (0) and void (255)."""
    return [int(value) for value in np.unique(labels) if 0 < value < 255]

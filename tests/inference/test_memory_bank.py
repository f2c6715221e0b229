"""The memory's policy and its storage."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from scmn import InputError, MemorySettings
from scmn.inference.memory_bank import MemoryBank
from scmn.inference.memory_store import MemoryStore
from scmn.networks.base import MemoryFrames


def frame(time: int, objects: int = 1, *, shared_key: bool = False) -> MemoryFrames:
    """Return a memory of one frame whose every number is the time, plus 100 per object."""
    offsets = 100.0 * torch.arange(objects).view(1, -1, 1, 1, 1, 1) + time
    key = (
        torch.full((1, 1, 2, 1, 3, 4), float(time))
        if shared_key
        else offsets.expand(1, objects, 2, 1, 3, 4)
    )
    return MemoryFrames(key, offsets.expand(1, objects, 5, 1, 3, 4))


def times_after(
    frames: int, policy: MemorySettings, annotated: tuple[int, ...] = (0,)
) -> tuple[int, ...]:
    """Remember a video of one object and return what is remembered of it."""
    bank = MemoryBank(policy)
    bank.add_objects([1])
    for time in range(frames):
        if bank.wants(time, annotated=time in annotated):
            bank.remember(time, frame(time), annotated=time in annotated)
    stored = bank.memory()[0].value[0, 0, 0, :, 0, 0]
    remembered = bank.remembered_times(1)
    assert sorted(stored.int().tolist()) == list(remembered)
    return remembered


def test_stm_remembers_first_previous_and_every_fifth() -> None:
    assert times_after(1, MemorySettings()) == (0,)
    assert times_after(2, MemorySettings()) == (0, 1)
    assert times_after(5, MemorySettings()) == (0, 4)
    assert times_after(6, MemorySettings()) == (0, 5)
    assert times_after(13, MemorySettings()) == (0, 5, 10, 12)


def test_stcn_remembers_first_and_every_fifth() -> None:
    assert times_after(13, MemorySettings(keep_previous=False)) == (0, 5, 10)


def test_first_and_previous_only() -> None:
    assert times_after(13, MemorySettings(every=None)) == (0, 12)
    assert times_after(13, MemorySettings(every=None, keep_previous=False)) == (0,)


def test_bounded_memory_forgets_the_oldest_but_never_a_given_frame() -> None:
    assert times_after(31, MemorySettings(max_frames=2)) == (0, 25, 30)
    assert times_after(33, MemorySettings(max_frames=2)) == (0, 30, 32)
    policy = MemorySettings(max_frames=2, keep_previous=False)
    assert times_after(33, policy, annotated=(0, 7)) == (0, 7, 25, 30)


def test_without_keep_first_a_given_frame_is_as_any_other() -> None:
    policy = MemorySettings(max_frames=2, keep_annotated=False, keep_previous=False)
    assert times_after(6, policy) == (0, 5)
    assert times_after(31, policy) == (25, 30)
    assert times_after(9, MemorySettings(every=None, keep_annotated=False)) == (0, 8)


@settings(max_examples=60, deadline=None)
@given(
    frames=st.integers(1, 40),
    every=st.sampled_from([None, 1, 3, 5]),
    keep_previous=st.booleans(),
    max_frames=st.sampled_from([None, 1, 2, 5]),
    annotated=st.sets(st.integers(0, 39), max_size=4),
)
def test_what_always_holds(
    frames: int,
    every: int | None,
    keep_previous: bool,
    max_frames: int | None,
    annotated: set[int],
) -> None:
    policy = MemorySettings(every, True, keep_previous, max_frames)
    given_frames = {0} | {time for time in annotated if time < frames}
    remembered = times_after(frames, policy, tuple(given_frames))
    assert given_frames <= set(remembered)
    assert len(set(remembered)) == len(remembered)
    if max_frames is not None:
        assert len(set(remembered) - given_frames) <= max_frames
    if keep_previous:
        assert frames - 1 in remembered


def test_each_object_remembers_from_its_own_first_frame() -> None:
    bank = MemoryBank(MemorySettings())
    bank.add_objects([7, 3])
    for time in range(4):
        bank.remember(time, frame(time, 2), annotated=time == 0)
    bank.add_objects([9])
    for time in range(4, 12):
        bank.remember(time, frame(time, 3), annotated=time == 4)
    assert bank.object_ids == (7, 3, 9)
    assert bank.remembered_times(7) == bank.remembered_times(3) == (0, 4, 5, 10, 11)
    assert bank.remembered_times(9) == (4, 5, 10, 11)
    assert [group.value.shape[1] for group in bank.memory()] == [2, 1]
    assert bank.memory()[1].value.min() == 204


@pytest.mark.parametrize("shared_key", [False, True])
def test_a_removed_object_leaves_the_others_untouched(shared_key: bool) -> None:
    bank = MemoryBank(MemorySettings())
    bank.add_objects([1, 2, 3])
    bank.remember(0, frame(0, 3, shared_key=shared_key), annotated=True)
    bank.remove_object(2)
    assert bank.object_ids == (1, 3)
    memory = bank.memory()[0]
    assert memory.value[0, :, 0, 0, 0, 0].tolist() == [0, 200]
    assert memory.key.shape[1] == (1 if shared_key else 2)
    bank.remove_object(1)
    bank.remove_object(3)
    assert bank.object_ids == ()
    assert bank.memory() == []
    with pytest.raises(KeyError):
        bank.remove_object(3)


def test_objects_are_added_once() -> None:
    bank = MemoryBank(MemorySettings())
    bank.add_objects([1])
    with pytest.raises(ValueError, match="1"):
        bank.add_objects([2, 1])


@pytest.mark.parametrize("name", ["every", "max_frames", "top_k"])
def test_settings_are_checked(name: str) -> None:
    with pytest.raises(InputError, match=rf"memory\.{name} must be a number from 1"):
        MemoryBank(MemorySettings(**{name: 0}))  # type: ignore[arg-type]


def test_store_writes_in_place() -> None:
    store = MemoryStore(max_slots=3)
    for time in range(3):
        assert store.append(frame(time)) == time
    address = store.frames().value.data_ptr()
    for time in range(3, 30):
        store.overwrite(time % 3, frame(time))
    assert store.frames().value.data_ptr() == address
    assert sorted(store.frames().key[0, 0, 0, :, 0, 0].tolist()) == [27, 28, 29]
    assert len(store) == 3


def test_store_does_not_copy_what_it_reads() -> None:
    store = MemoryStore()
    for time in range(3):
        store.append(frame(time))
    view = store.frames()
    store.overwrite(1, frame(50))
    assert view.value[0, 0, 0, 1, 0, 0] == 50


def test_empty_store() -> None:
    with pytest.raises(ValueError, match="nothing"):
        MemoryStore().frames()

"""Memory settings, policy and storage."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from scmn import MemorySettings, VideoSegmenter
from scmn.inference.memory.policy import MemoryBank
from scmn.inference.memory.settings import complete_settings
from scmn.inference.memory.storage import MemoryStore
from scmn.networks.features import MemoryFrames
from scmn.networks.stm import STM
from tests.conftest import build_small
from tests.inference.clips import TWO, video


def frame(time: int, objects: int = 1, *, shared_key: bool = False) -> MemoryFrames:
    """Return a memory of one frame whose every number is the time, plus 100 per object."""
    offsets = 100.0 * torch.arange(objects).view(1, -1, 1, 1, 1, 1) + time
    key = (
        torch.full((1, 1, 2, 1, 3, 4), float(time))
        if shared_key
        else offsets.expand(1, objects, 2, 1, 3, 4)
    )
    return MemoryFrames(key, offsets.expand(1, objects, 5, 1, 3, 4))


def policy(**changes: object) -> MemorySettings:
    """Return STM's memory policy with some settings changed."""
    return complete_settings(changes, STM.memory_defaults)


def times_after(
    frames: int, settings: MemorySettings, annotated: tuple[int, ...] = (0,)
) -> tuple[int, ...]:
    """Remember a video of one object and return what is remembered of it."""
    bank = MemoryBank(settings, "dot")
    bank.add_objects([1])
    for time in range(frames):
        if bank.wants(time, annotated=time in annotated):
            bank.remember(time, frame(time), annotated=time in annotated)
    stored = bank.memory()[0].value[0, 0, 0, :, 0, 0]
    remembered = bank.remembered_times(1)
    assert sorted(stored.int().tolist()) == list(remembered)
    return remembered


def test_policy_of_stm_keeps_first_previous_and_every_fifth_frame() -> None:
    assert times_after(1, policy()) == (0,)
    assert times_after(2, policy()) == (0, 1)
    assert times_after(5, policy()) == (0, 4)
    assert times_after(6, policy()) == (0, 5)
    assert times_after(13, policy()) == (0, 5, 10, 12)


def test_policy_of_stcn_keeps_first_and_every_fifth_frame() -> None:
    assert times_after(13, policy(keep_previous=False)) == (0, 5, 10)


def test_every_counts_from_the_last_annotated_frame() -> None:
    assert times_after(13, policy(keep_previous=False), annotated=(0, 7)) == (0, 5, 7, 12)
    assert times_after(13, policy(keep_previous=False), annotated=(3,)) == (0, 3, 8)


def test_policy_without_every_keeps_first_and_previous_frame() -> None:
    assert times_after(13, policy(every=None)) == (0, 12)
    assert times_after(13, policy(every=None, keep_previous=False)) == (0,)


def test_bounded_memory_forgets_the_oldest_frame_but_no_annotated_one() -> None:
    assert times_after(31, policy(max_frames=2)) == (0, 20, 25, 30)
    assert times_after(33, policy(max_frames=2)) == (0, 25, 30, 32)
    assert times_after(33, policy(max_frames=1)) == (0, 30, 32)
    assert times_after(32, policy(max_frames=1), annotated=(0, 31)) == (0, 30, 31)
    bounded = policy(max_frames=2, keep_previous=False)
    assert times_after(33, bounded, annotated=(0, 7)) == (0, 7, 27, 32)


def test_annotated_frames_are_forgotten_without_keep_annotated() -> None:
    bounded = policy(max_frames=2, keep_annotated=False, keep_previous=False)
    assert times_after(6, bounded) == (0, 5)
    assert times_after(31, bounded) == (25, 30)
    assert times_after(9, policy(every=None, keep_annotated=False)) == (0, 8)


@settings(max_examples=60, deadline=None)
@given(
    frames=st.integers(1, 40),
    every=st.sampled_from([None, 1, 3, 5]),
    keep_previous=st.booleans(),
    max_frames=st.sampled_from([None, 1, 2, 5]),
    annotated=st.sets(st.integers(0, 39), max_size=4),
)
def test_policy_invariants(
    frames: int,
    every: int | None,
    keep_previous: bool,
    max_frames: int | None,
    annotated: set[int],
) -> None:
    bounded = policy(every=every, keep_previous=keep_previous, max_frames=max_frames)
    given_frames = {0} | {time for time in annotated if time < frames}
    remembered = times_after(frames, bounded, tuple(given_frames))
    assert given_frames <= set(remembered)
    assert len(set(remembered)) == len(remembered)
    if max_frames is not None:
        uncounted = given_frames | ({frames - 1} if keep_previous else set())
        assert len(set(remembered) - uncounted) <= max_frames
    if keep_previous:
        assert frames - 1 in remembered


def test_memory_of_an_object_starts_at_its_first_frame() -> None:
    bank = MemoryBank(policy(), "dot")
    bank.add_objects([7, 3])
    for time in range(4):
        bank.remember(time, frame(time, 2), annotated=time == 0)
    bank.add_objects([9])
    for time in range(4, 12):
        bank.remember(time, frame(time, 3), annotated=time == 4)
    assert bank.object_ids == (7, 3, 9)
    assert bank.remembered_times(7) == bank.remembered_times(3) == (0, 4, 9, 11)
    assert bank.remembered_times(9) == (4, 9, 11)
    assert [group.value.shape[1] for group in bank.memory()] == [2, 1]
    assert bank.memory()[1].value.min() == 204


@pytest.mark.parametrize("shared_key", [False, True])
def test_remove_object_keeps_the_memory_of_the_others(shared_key: bool) -> None:
    bank = MemoryBank(policy(), "dot")
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


def test_add_objects_rejects_known_ids() -> None:
    bank = MemoryBank(policy(), "dot")
    bank.add_objects([1])
    with pytest.raises(ValueError, match="1"):
        bank.add_objects([2, 1])


def test_settings_read_the_old_name_of_keep_annotated() -> None:
    assert policy(keep_first=False) == policy(keep_annotated=False)


def test_store_overwrites_in_place() -> None:
    store = MemoryStore(max_slots=3)
    for time in range(3):
        assert store.append(frame(time), time) == time
    address = store.frames().value.data_ptr()
    for time in range(3, 30):
        store.overwrite(time % 3, frame(time), time)
    assert store.frames().value.data_ptr() == address
    assert sorted(store.frames().key[0, 0, 0, :, 0, 0].tolist()) == [27, 28, 29]
    assert len(store) == 3


def test_store_returns_views() -> None:
    store = MemoryStore()
    for time in range(3):
        store.append(frame(time), time)
    view = store.frames()
    store.overwrite(1, frame(50), 50)
    assert view.value[0, 0, 0, 1, 0, 0] == 50


def test_store_without_frames_raises() -> None:
    with pytest.raises(ValueError, match="nothing"):
        MemoryStore().frames()


@pytest.mark.parametrize("name", ["stm", "stcn", "scmn"])
def test_a_narrow_kernel_changes_the_masks_and_a_wide_one_does_not(name: str) -> None:
    network = build_small(name)

    def probabilities(kernel: object) -> torch.Tensor:
        segmenter = VideoSegmenter(network, memory={"kernel": kernel})
        return list(segmenter.run(video(4), TWO))[-1].probabilities

    plain = probabilities(None)
    torch.testing.assert_close(probabilities({"sigma": 1e6}), plain)
    assert (probabilities({"sigma": 1.0}) - plain).abs().max() > 1e-5

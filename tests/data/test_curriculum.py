"""The curriculum of a training on videos: how many frames are skipped, and which are drawn."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from scmn.data.clips.curriculum import SkipCurriculum, choose_frames
from scmn.errors import InputError


@pytest.mark.parametrize(
    ("progress", "davis", "youtube"),
    [
        (0.0, 5, 1),
        (0.0999, 5, 1),
        (0.1, 10, 2),
        (0.1999, 10, 2),
        (0.2, 15, 3),
        (0.3, 20, 4),
        (0.3999, 20, 4),
        (0.4, 25, 5),
        (0.8999, 25, 5),
        (0.9, 5, 1),
        (1.0, 5, 1),
    ],
)
def test_curriculum_at_its_boundaries(progress: float, davis: int, youtube: int) -> None:
    curriculum = SkipCurriculum()
    assert curriculum.maximum_skip(progress) == davis
    assert curriculum.maximum_skip(progress, frame_interval=5) == youtube


def test_curriculum_skip_is_at_least_one_annotated_frame_unless_0() -> None:
    assert SkipCurriculum(((0.0, 3),)).maximum_skip(0.5, frame_interval=5) == 1
    assert SkipCurriculum(((0.0, 0),)).maximum_skip(0.5, frame_interval=5) == 0


@pytest.mark.parametrize(
    "steps",
    [(), ((0.1, 5),), ((0.0, 5), (0.5, 10), (0.5, 15)), ((0.0, 5), (1.0, 10)), ((0.0, -1),)],
)
def test_curriculum_refuses_malformed_steps(steps: tuple[tuple[float, int], ...]) -> None:
    with pytest.raises(InputError, match=r"^SkipCurriculum\.steps"):
        SkipCurriculum(steps)


@given(st.integers(1, 60), st.integers(2, 6), st.integers(0, 30), st.integers(0, 2**32))
def test_choose_frames_is_ordered_and_within_the_skip(
    length: int, frames: int, maximum_skip: int, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    chosen = choose_frames(length, frames=frames, maximum_skip=maximum_skip, rng=rng)
    steps = np.diff(chosen)
    assert len(chosen) == frames
    assert chosen[0] >= 0
    assert chosen[-1] < length
    assert (steps <= maximum_skip + 1).all()
    if length >= frames:
        assert (steps >= 1).all()
    else:
        assert chosen == [*range(length), *[length - 1] * (frames - length)]


def test_choose_frames_draws_every_skip_and_start() -> None:
    random = np.random.default_rng(0)
    drawn = [choose_frames(40, frames=3, maximum_skip=5, rng=random) for _ in range(2000)]
    assert {chosen[0] for chosen in drawn} == set(range(36))
    assert {chosen[1] - chosen[0] for chosen in drawn} == {1, 2, 3, 4, 5, 6}

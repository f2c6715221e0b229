"""Synthetic sequences: pure, exact, and with the challenges that were asked for."""

from __future__ import annotations

import dataclasses
from typing import Any

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scmn.data.masks import object_ids
from scmn.data.synthetic import SyntheticSequence, SyntheticSettings
from scmn.errors import InputError

SMALL = SyntheticSettings(size=(64, 112), frames=16)
PLAIN = dataclasses.replace(
    SMALL, shadows=False, motion_blur=0.0, sensor_noise=0.0, camouflage=0.0, illumination=0.0
)
TINY = SyntheticSettings(size=(32, 48), frames=3, objects=(1, 2))


def first_with(challenge: str, settings: SyntheticSettings = SMALL) -> SyntheticSequence:
    for number in range(60):
        sequence = SyntheticSequence(settings, 0, number)
        if challenge in sequence.challenges:
            return sequence
    raise AssertionError(f"no sequence with {challenge}")


# Purity.


def test_frames_do_not_depend_on_the_order_in_which_they_are_drawn() -> None:
    forwards, backwards = (SyntheticSequence(SMALL, 3, 5) for _ in range(2))
    SyntheticSequence(SMALL, 3, 6).frame(0)
    images = [forwards.frame(index) for index in (0, 7, 15)]
    again = [backwards.frame(index) for index in (15, 7, 0)][::-1]
    for (image, labels), (other_image, other_labels) in zip(images, again, strict=True):
        np.testing.assert_array_equal(image, other_image)
        np.testing.assert_array_equal(labels, other_labels)


def test_the_global_random_state_is_neither_read_nor_changed() -> None:
    np.random.seed(1)  # noqa: NPY002
    state = np.random.get_state()[1].tolist()  # type: ignore[index]  # noqa: NPY002
    before = SyntheticSequence(SMALL, 0, 0).image(2)
    assert np.random.get_state()[1].tolist() == state  # type: ignore[index]  # noqa: NPY002
    np.random.seed(2)  # noqa: NPY002
    np.testing.assert_array_equal(SyntheticSequence(SMALL, 0, 0).image(2), before)


def test_seed_and_number_name_different_videos() -> None:
    images = [SyntheticSequence(SMALL, *key).image(0) for key in ((0, 0), (0, 1), (1, 0), (1, 1))]
    for place, image in enumerate(images):
        for other in images[:place]:
            assert np.abs(image.astype(int) - other).mean() > 5


def test_the_scene_does_not_depend_on_the_resolution() -> None:
    small, large = (
        SyntheticSequence(dataclasses.replace(SMALL, size=size), 0, 2)
        for size in ((64, 112), (128, 224))
    )
    assert small.object_ids == large.object_ids
    coarse = small.annotation(8)
    shrunk = large.annotation(8)[::2, ::2]
    assert (coarse == shrunk).mean() > 0.95


# Exactness.


@settings(max_examples=12, deadline=None)
@given(number=st.integers(0, 10_000), index=st.integers(0, 15))
def test_image_and_labels_have_size_type_and_ids(number: int, index: int) -> None:
    sequence = SyntheticSequence(SMALL, 0, number)
    image, labels = sequence.frame(index)
    assert image.shape == (64, 112, 3)
    assert image.dtype == np.uint8
    assert labels.shape == (64, 112)
    assert labels.dtype == np.uint8
    assert sequence.object_ids == tuple(range(1, len(sequence.object_ids) + 1))
    assert set(object_ids(labels)) <= set(sequence.object_ids)
    np.testing.assert_array_equal(sequence.annotation(index), labels)


@settings(max_examples=12, deadline=None)
@given(number=st.integers(0, 10_000))
def test_every_object_is_visible_and_large_enough_in_the_first_frame(number: int) -> None:
    sequence = SyntheticSequence(SMALL, 0, number)
    shares = np.bincount(sequence.annotation(0).ravel(), minlength=256) / (64 * 112)
    assert all(shares[k] >= SMALL.minimum_area for k in sequence.object_ids)


def grown(mask: np.ndarray) -> np.ndarray:
    return cv2.dilate(mask.astype(np.uint8), np.ones((5, 5), np.uint8)) > 0


@pytest.mark.parametrize("number", range(6))
def test_labels_are_the_support_of_what_is_rendered(number: int) -> None:
    sequence = SyntheticSequence(PLAIN, 0, number)
    image, labels = sequence.frame(6)
    for object_id in object_ids(labels):
        without, labels_without = sequence.frame(6, hidden=(object_id,))
        difference = np.abs(image.astype(int) - without).max(axis=2)
        mask = labels == object_id
        # Outside lies only the outer half of the antialiased edge, its own or, faintly, that of
        # what is in front.
        assert (difference[~grown(mask)] < 10).all()
        assert (difference[~grown(sequence.whole_object(6, object_id))] == 0).all()
        assert (difference[mask] > 0).mean() > 0.97
        np.testing.assert_array_equal(labels_without[~mask], labels[~mask])
        assert object_id not in labels_without


def test_shadows_and_noise_do_not_touch_the_labels() -> None:
    rich = dataclasses.replace(PLAIN, shadows=True, motion_blur=1.0, sensor_noise=3.0)
    plain, other = (SyntheticSequence(settings, 0, 4) for settings in (PLAIN, rich))
    assert (plain.image(5) != other.image(5)).mean() > 0.5
    np.testing.assert_array_equal(plain.annotation(5), other.annotation(5))


def test_edges_are_antialiased_and_labels_hard() -> None:
    sequence = SyntheticSequence(PLAIN, 0, 0)
    image, labels = sequence.frame(0)
    object_id = object_ids(labels)[0]
    without, _ = sequence.frame(0, hidden=(object_id,))
    beside = grown(labels == object_id) & (labels == 0)
    assert (image[beside] != without[beside]).any()


# Challenges.


def test_unlabelled_look_alikes_move_in_view_and_are_background() -> None:
    only_one = dataclasses.replace(
        PLAIN, objects=(1, 1), distractors=(2, 2), occluders=(0, 0), look_alikes=1.0
    )
    sequence = SyntheticSequence(only_one, 0, 0)
    assert sequence.look_alikes == ((1, 0), (1, 0))
    assert "look-alike" in sequence.challenges
    assert set(np.unique(sequence.annotation(0))) == {0, 1}
    alone = dataclasses.replace(only_one, distractors=(0, 0), look_alikes=0.0)
    assert SyntheticSequence(alone, 0, 0).look_alikes == ()
    # What is left without the object is not the bare surroundings: the look-alikes are there.
    first, _ = sequence.frame(0, hidden=(1,))
    last, _ = sequence.frame(15, hidden=(1,))
    assert (first != last).any()


def test_labelled_look_alikes_have_their_own_ids() -> None:
    twins = dataclasses.replace(PLAIN, objects=(2, 2), distractors=(0, 0), look_alikes=1.0)
    sequence = SyntheticSequence(twins, 0, 1)
    assert sequence.look_alikes == ((1, 2),)
    image, labels = sequence.frame(0)
    means = [image[labels == object_id].mean(axis=0) for object_id in (1, 2)]
    assert np.abs(means[0] - means[1]).max() < 40


def test_occlusion_hides_a_part_of_the_whole_object() -> None:
    sequence = first_with("occlusion")
    hidden = 0.0
    for index in range(len(sequence)):
        labels = sequence.annotation(index)
        for object_id in sequence.object_ids:
            whole = sequence.whole_object(index, object_id)
            assert not ((labels == object_id) & ~whole).any()
            if whole.sum() > 30:
                hidden = max(hidden, 1 - (labels == object_id).sum() / whole.sum())
    assert hidden > 0.25


def test_an_object_that_goes_out_of_view_is_missing_from_a_frame() -> None:
    leaving = dataclasses.replace(SMALL, frames=30, out_of_view=1.0)
    sequence = first_with("out-of-view", leaving)
    gone = [
        set(sequence.object_ids) - set(object_ids(sequence.annotation(index)))
        for index in range(30)
    ]
    assert not gone[0]
    assert any(gone)


def test_late_objects_come_after_the_first_frame_and_have_the_highest_ids() -> None:
    late = dataclasses.replace(SMALL, objects=(3, 3), late_objects=1.0)
    sequence = first_with("late-object", late)
    assert object_ids(sequence.annotation(0)) == (1,)
    seen = {k for index in range(16) for k in object_ids(sequence.annotation(index))}
    assert seen == {1, 2, 3}
    given = [frame.labels for frame in sequence.frames()]
    assert given[0] is not None
    assert object_ids(given[0]) == (1,)
    assert [k for labels in given[1:] if labels is not None for k in object_ids(labels)] != []


def test_a_rigid_still_scene_has_neither_deformation_nor_camera_motion() -> None:
    still = dataclasses.replace(PLAIN, deformation=0.0, camera_motion=0.0)
    challenges = SyntheticSequence(still, 0, 0).challenges
    assert not {"deformation", "camera-motion", "illumination-change"} & set(challenges)


# What is refused.


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("size", (8, 8)),
        ("frames", 0),
        ("objects", (0, 2)),
        ("objects", (3, 2)),
        ("distractors", (-1, 2)),
        ("look_alikes", 1.5),
        ("sensor_noise", -1.0),
        ("deformation", float("nan")),
        ("minimum_area", 0.9),
    ],
)
def test_settings_out_of_range_are_refused_by_name(name: str, value: Any) -> None:
    with pytest.raises(InputError, match=f"'{name}'"):
        dataclasses.replace(SMALL, **{name: value})


def test_objects_that_do_not_fit_are_refused() -> None:
    crowded = dataclasses.replace(TINY, objects=(6, 6), minimum_area=0.2)
    with pytest.raises(InputError, match="do not fit"):
        SyntheticSequence(crowded, 0, 0).frame(0)


def test_a_cast_that_fits_nowhere_is_drawn_anew() -> None:
    large = SyntheticSettings(size=(144, 256), frames=4, objects=(1, 2), minimum_area=0.05)
    for number in range(1000, 1012):
        shares = np.bincount(SyntheticSequence(large, 0, number).annotation(0).ravel()) / 144 / 256
        assert shares[1:].min() >= 0.05


def test_a_frame_beyond_the_end_is_refused() -> None:
    with pytest.raises(IndexError, match=r"0\.\.15"):
        SyntheticSequence(SMALL, 0, 0).frame(16)
    with pytest.raises(InputError, match="seed"):
        SyntheticSequence(SMALL, -1, 0)

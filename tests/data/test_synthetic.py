"""Synthetic sequences: pure functions of the seed, exact masks, and the requested challenges."""

from __future__ import annotations

import dataclasses
from functools import partial
from typing import Any

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scmn.data.masks import object_ids
from scmn.data.synthetic import SyntheticSequence, SyntheticSettings
from scmn.data.synthetic.composition import compose, random_stream
from scmn.data.synthetic.scene import Scene
from scmn.errors import InputError

SMALL = SyntheticSettings(size=(64, 112), frames=16)
PLAIN = dataclasses.replace(
    SMALL, shadows=False, motion_blur=0.0, sensor_noise=0.0, camouflage=0.0, illumination=0.0
)
TINY = SyntheticSettings(size=(32, 48), frames=3, objects=(1, 2))


def scene_of(settings: SyntheticSettings, number: int) -> Scene:
    return compose(settings, partial(random_stream, 0, number))


def without(scene: Scene, object_id: int) -> Scene:
    """Return the scene without one object: what is behind it becomes visible."""
    kept = tuple(drawn for drawn in scene.objects if drawn.object_id != object_id)
    return dataclasses.replace(scene, objects=kept)


def whole_object(scene: Scene, index: int, object_id: int) -> np.ndarray:
    """Return the mask of an object as if nothing were in front of it, bool (H, W)."""
    alone = tuple(drawn for drawn in scene.objects if drawn.object_id == object_id)
    return dataclasses.replace(scene, objects=alone).labels(index, scene.settings.size) > 0


# Purity.


def test_sequence_frames_do_not_depend_on_access_order() -> None:
    forwards, backwards = (SyntheticSequence(SMALL, 3, 5) for _ in range(2))
    SyntheticSequence(SMALL, 3, 6).frame(0)
    images = [forwards.frame(index) for index in (0, 7, 15)]
    again = [backwards.frame(index) for index in (15, 7, 0)][::-1]
    for (image, labels), (other_image, other_labels) in zip(images, again, strict=True):
        np.testing.assert_array_equal(image, other_image)
        np.testing.assert_array_equal(labels, other_labels)


def test_sequence_neither_reads_nor_changes_the_global_random_state() -> None:
    np.random.seed(1)  # noqa: NPY002
    state = np.random.get_state()[1].tolist()  # type: ignore[index]  # noqa: NPY002
    before = SyntheticSequence(SMALL, 0, 0).image(2)
    assert np.random.get_state()[1].tolist() == state  # type: ignore[index]  # noqa: NPY002
    np.random.seed(2)  # noqa: NPY002
    np.testing.assert_array_equal(SyntheticSequence(SMALL, 0, 0).image(2), before)


def test_sequence_differs_for_each_seed_and_number() -> None:
    images = [SyntheticSequence(SMALL, *key).image(0) for key in ((0, 0), (0, 1), (1, 0), (1, 1))]
    for place, image in enumerate(images):
        for other in images[:place]:
            assert np.abs(image.astype(int) - other).mean() > 5


def test_sequence_scene_does_not_depend_on_resolution() -> None:
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
def test_frame_has_expected_size_dtype_and_ids(number: int, index: int) -> None:
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
def test_first_frame_shows_every_object_with_minimum_area(number: int) -> None:
    sequence = SyntheticSequence(SMALL, 0, number)
    shares = np.bincount(sequence.annotation(0).ravel(), minlength=256) / (64 * 112)
    assert all(shares[k] >= SMALL.minimum_area for k in sequence.object_ids)


def grown(mask: np.ndarray) -> np.ndarray:
    return cv2.dilate(mask.astype(np.uint8), np.ones((5, 5), np.uint8)) > 0


@pytest.mark.parametrize("number", range(6))
def test_labels_are_the_support_of_rendered_objects(number: int) -> None:
    scene = scene_of(PLAIN, number)
    image, labels = scene.render(6)
    for object_id in object_ids(labels):
        other_image, other_labels = without(scene, object_id).render(6)
        difference = np.abs(image.astype(int) - other_image).max(axis=2)
        mask = labels == object_id
        # Outside lies only the outer half of an antialiased edge: the object's own or, faintly,
        # that of an object in front.
        assert (difference[~grown(mask)] < 10).all()
        assert (difference[~grown(whole_object(scene, 6, object_id))] == 0).all()
        assert (difference[mask] > 0).mean() > 0.97
        np.testing.assert_array_equal(other_labels[~mask], labels[~mask])
        assert object_id not in other_labels


def test_labels_do_not_depend_on_shadows_blur_and_noise() -> None:
    rich = dataclasses.replace(PLAIN, shadows=True, motion_blur=1.0, sensor_noise=3.0)
    plain, other = (SyntheticSequence(settings, 0, 4) for settings in (PLAIN, rich))
    assert (plain.image(5) != other.image(5)).mean() > 0.5
    np.testing.assert_array_equal(plain.annotation(5), other.annotation(5))


def test_edges_are_antialiased() -> None:
    scene = scene_of(PLAIN, 0)
    image, labels = scene.render(0)
    object_id = object_ids(labels)[0]
    other_image, _ = without(scene, object_id).render(0)
    beside = grown(labels == object_id) & (labels == 0)
    assert (image[beside] != other_image[beside]).any()


# Challenges.


def test_distractors_move_in_view_and_are_background() -> None:
    only_one = dataclasses.replace(
        PLAIN, objects=(1, 1), distractors=(2, 2), occluders=(0, 0), look_alikes=1.0
    )
    scene = scene_of(only_one, 0)
    first, labels = scene.render(0)
    assert set(np.unique(labels)) == {0, 1}
    means = []
    for drawn in scene.objects:
        alone = dataclasses.replace(drawn, object_id=9)
        others = tuple(other for other in scene.objects if other is not drawn)
        mask = whole_object(dataclasses.replace(scene, objects=(*others, alone)), 0, 9)
        assert mask.any()
        means.append(first[mask].mean(axis=0))
    assert len(means) == 3
    assert np.ptp(means, axis=0).max() < 60  # the two distractors look like the object
    rest = without(scene, 1)
    assert (rest.render(0)[0] != rest.render(15)[0]).any()


def test_labelled_look_alikes_have_their_own_ids() -> None:
    twins = dataclasses.replace(PLAIN, objects=(2, 2), distractors=(0, 0), look_alikes=1.0)
    sequence = SyntheticSequence(twins, 0, 1)
    assert sequence.object_ids == (1, 2)
    image, labels = sequence.frame(0)
    means = [image[labels == object_id].mean(axis=0) for object_id in (1, 2)]
    assert np.abs(means[0] - means[1]).max() < 40


def test_occluders_hide_a_part_of_an_object() -> None:
    hidden = 0.0
    scene = scene_of(dataclasses.replace(SMALL, frames=30, occluders=(2, 2)), 1)
    for index in range(30):
        labels = scene.labels(index, SMALL.size)
        for object_id in object_ids(labels):
            whole = whole_object(scene, index, object_id)
            assert not ((labels == object_id) & ~whole).any()
            hidden = max(hidden, 1 - (labels == object_id).sum() / whole.sum())
    assert hidden > 0.25


def test_out_of_view_objects_are_missing_from_some_frames() -> None:
    leaving = dataclasses.replace(SMALL, frames=30, objects=(3, 3), out_of_view=1.0)
    sequence = SyntheticSequence(leaving, 0, 0)
    gone = [
        set(sequence.object_ids) - set(object_ids(sequence.annotation(index)))
        for index in range(30)
    ]
    assert not gone[0]
    assert any(gone)


def test_late_objects_appear_after_the_first_frame_with_the_highest_ids() -> None:
    late = dataclasses.replace(SMALL, objects=(3, 3), late_objects=1.0)
    sequence = SyntheticSequence(late, 0, 0)
    assert object_ids(sequence.annotation(0)) == (1,)
    seen = {k for index in range(16) for k in object_ids(sequence.annotation(index))}
    assert seen == {1, 2, 3}
    given = [frame.labels for frame in sequence.frames()]
    assert given[0] is not None
    assert object_ids(given[0]) == (1,)
    assert [k for labels in given[1:] if labels is not None for k in object_ids(labels)] != []


def test_still_settings_leave_only_rigid_motion() -> None:
    still = dataclasses.replace(
        PLAIN, deformation=0.0, camera_motion=0.0, objects=(1, 1), distractors=(0, 0)
    )
    scene = scene_of(dataclasses.replace(still, occluders=(0, 0)), 0)
    (drawn,) = scene.objects
    assert drawn.bending.reach == 0
    background = without(scene, 1)
    np.testing.assert_array_equal(background.render(0)[0], background.render(15)[0])


# Errors.


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
def test_settings_error_names_the_setting_out_of_range(name: str, value: Any) -> None:
    with pytest.raises(InputError, match=rf"^SyntheticSettings\.{name}"):
        dataclasses.replace(SMALL, **{name: value})


def test_sequence_refuses_objects_that_do_not_fit() -> None:
    crowded = dataclasses.replace(TINY, objects=(6, 6), minimum_area=0.2)
    with pytest.raises(InputError, match="do not fit"):
        SyntheticSequence(crowded, 0, 0).frame(0)


def test_sequence_redraws_a_cast_that_fits_nowhere() -> None:
    large = SyntheticSettings(size=(144, 256), frames=4, objects=(1, 2), minimum_area=0.05)
    for number in range(1000, 1012):
        shares = np.bincount(SyntheticSequence(large, 0, number).annotation(0).ravel()) / 144 / 256
        assert shares[1:].min() >= 0.05


def test_sequence_refuses_a_frame_beyond_the_end_and_a_negative_seed() -> None:
    with pytest.raises(IndexError, match=r"0\.\.15"):
        SyntheticSequence(SMALL, 0, 0).frame(16)
    with pytest.raises(InputError, match="seed"):
        SyntheticSequence(SMALL, -1, 0)

"""Warps, splines and colours in isolation."""

from __future__ import annotations

import math

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scmn.data.clips.appearance import (
    GREYSCALE,
    ClipColours,
    ColourChange,
    ColourJitter,
    MotionBlur,
    change_colours,
)
from scmn.data.clips.random_geometry import (
    AffineRange,
    random_perspective,
    random_resized_crop,
    random_spline,
)
from scmn.data.clips.warp import FILL_COLOUR, Warp, warp_about
from tests.data.training_trees import labels_with, noise

SIZE = (32, 48)
IDENTITY = np.eye(2, 3)


def test_warp_identity_and_flip_are_exact() -> None:
    image = noise()
    np.testing.assert_array_equal(Warp(IDENTITY, SIZE, SIZE).image(image), image)
    middle = np.array([24.0, 16.0])
    mirror = warp_about(
        np.diag([-1.0, 1.0]), source_centre=middle, crop_centre=middle, source_size=SIZE, size=SIZE
    )
    np.testing.assert_array_equal(mirror.image(image), image[:, ::-1])
    labels = labels_with((3, 9))
    np.testing.assert_array_equal(mirror.labels(labels), labels[:, ::-1])


def test_warp_with_constant_displacement_is_a_shift() -> None:
    image, labels = noise(), labels_with((3, 9), (4, 8))
    flat = np.zeros((2, 3, 2), np.float32)
    np.testing.assert_array_equal(Warp(IDENTITY, SIZE, SIZE, flat).image(image), image)
    shifted = Warp(IDENTITY, SIZE, SIZE, flat + np.float32([5, -2])).labels(labels)
    np.testing.assert_array_equal(shifted[2:, :-5], labels[:-2, 5:])


def test_warp_fills_outside_with_background_of_the_mean_colour() -> None:
    far = Warp(np.array([[1.0, 0, 1000], [0, 1, 0]]), SIZE, SIZE)
    assert (far.image(noise()) == FILL_COLOUR).all()
    assert not far.labels(np.full(SIZE, 9, np.uint8)).any()


def test_warp_samples_a_reduced_image_at_the_same_positions() -> None:
    ramp = np.repeat(np.linspace(0, 255, 96).astype(np.uint8)[None], 64, axis=0)
    image = np.dstack([ramp] * 3)
    half = cv2.resize(image, (48, 32), interpolation=cv2.INTER_AREA)
    warp = Warp(np.array([[1.5, 0, 4.0], [0, 1.5, 3.0]]), (64, 96), SIZE)
    inner = (slice(1, -1), slice(1, -1))
    difference = warp.image(image)[inner].astype(int) - warp.image(half)[inner]
    assert np.abs(difference).max() <= 3


def test_warp_reduction_is_the_span_of_a_pixel() -> None:
    for scale, expected in ((0.5, 1), (1.9, 1), (2.1, 2), (10.5, 10)):
        assert Warp(IDENTITY * scale, SIZE, SIZE).reduction == expected


@settings(deadline=None)
@given(st.integers(0, 2**32))
def test_affine_range_draws_within_its_limits(seed: int) -> None:
    linear = AffineRange(rotation=20, shear=10, scale=(0.9, 1.1)).draw(np.random.default_rng(seed))
    assert 0.9**2 - 1e-9 <= np.linalg.det(linear) <= 1.1**2 + 1e-9
    # The x axis is only turned and scaled.
    assert abs(math.degrees(math.atan2(linear[1, 0], linear[0, 0]))) <= 20 + 1e-9
    assert AffineRange().draw(np.random.default_rng(seed)).tolist() == [[1, 0], [0, 1]]


@settings(deadline=None)
@given(st.integers(0, 2**32), st.sampled_from([(480, 854), (50, 300), (300, 50)]))
def test_random_resized_crop_is_inside_the_frame(seed: int, size: tuple[int, int]) -> None:
    box = random_resized_crop(
        size,
        area=(0.36, 1.0),
        aspect=(3 / 4, 4 / 3),
        crop_aspect=1.0,
        rng=np.random.default_rng(seed),
    )
    assert box.left >= 0
    assert box.top >= 0
    assert box.left + box.width <= size[1] + 1e-6
    assert box.top + box.height <= size[0] + 1e-6
    if size == (480, 854):
        assert 0.36 <= box.width * box.height / (480 * 854) <= 1.0 or box.width == box.height
    assert 3 / 4 - 1e-6 <= box.width / box.height <= 4 / 3 + 1e-6


def test_random_spline_is_smooth_and_scaled() -> None:
    fields = np.stack(
        [
            random_spline((384, 256), scale=0.02, rng=np.random.default_rng(seed))
            for seed in range(200)
        ]
    )
    assert fields.shape == (200, 24, 16, 2)
    for axis, side in enumerate((256, 384)):
        deviation = fields[..., axis].std() / side
        assert 0.01 < deviation < 0.02
    steps = np.abs(np.diff(fields, axis=1)).max()
    assert steps < 16, "neighbouring cells never change places: the warp does not fold"


def test_random_spline_with_equal_moves_is_a_shift() -> None:
    class Equal:
        def normal(self, mean: float, scale: float, size: tuple[int, int]) -> np.ndarray:
            return np.full(size, scale)

    field = random_spline((64, 64), scale=0.1, rng=Equal())  # type: ignore[arg-type]
    np.testing.assert_allclose(field, 6.4, rtol=1e-4)


def test_change_colours_applies_each_kind_of_change() -> None:
    image = np.full((4, 4, 3), 100, np.uint8)
    image[:2] = 60
    bright = change_colours(image, [ColourChange(brightness=1.5)])
    assert bright[0, 0].tolist() == [90] * 3
    contrast = change_colours(image, [ColourChange(contrast=2.0)])
    assert contrast[0, 0].tolist() == [40] * 3, "about the mean of 80"
    assert contrast[3, 0].tolist() == [120] * 3
    colour = np.full((2, 2, 3), (200, 50, 100), np.uint8)
    grey = change_colours(colour, [GREYSCALE])
    assert grey[0, 0].tolist() == [round(0.299 * 200 + 0.587 * 50 + 0.114 * 100)] * 3
    assert change_colours(colour, [ColourChange(brightness=3.0)])[0, 0].tolist() == [255, 150, 255]


def test_change_colours_hue_keeps_luma_and_greys() -> None:
    colour = np.full((2, 2, 3), (150, 100, 90), np.uint8)
    turned = change_colours(colour, [ColourChange(hue=0.1)])
    luma = np.array([0.299, 0.587, 0.114])
    assert abs(float(luma @ (turned[0, 0].astype(float) - colour[0, 0]))) < 1
    assert np.abs(turned[0, 0].astype(int) - colour[0, 0]).max() > 10
    grey = np.full((2, 2, 3), 77, np.uint8)
    np.testing.assert_array_equal(change_colours(grey, [ColourChange(hue=0.3)]), grey)
    whole = change_colours(colour, [ColourChange(hue=1.0)])
    np.testing.assert_array_equal(whole, colour)


def test_change_colours_combines_changes() -> None:
    image = np.random.default_rng(0).integers(90, 140, (20, 30, 3), dtype=np.uint8)
    first, second = ColourChange(1.1, 0.9, 0.8, 0.02), ColourChange(0.9, 1.2, 1.1, -0.01)
    together = change_colours(image, [first, second]).astype(int)
    apart = change_colours(change_colours(image, [first]), [second])
    assert np.abs(together - apart).max() <= 2, "but for rounding in between"


def test_clip_colours_draws_for_the_clip_and_for_each_frame() -> None:
    images = [noise()] * 3
    common = ClipColours(clip=ColourJitter(0.5, 0.5, 0.5, 0.1))
    changed = common.change(images, np.random.default_rng(1))
    assert not np.array_equal(changed[0], images[0])
    np.testing.assert_array_equal(changed[0], changed[2])
    own = ClipColours(frame=ColourJitter(0.5)).change(images, np.random.default_rng(1))
    assert not np.array_equal(own[0], own[2])
    grey = ClipColours(greyscale=1.0).change(images, np.random.default_rng(1))
    assert (np.ptp(grey[1].astype(int), axis=-1) <= 1).all()


@pytest.mark.parametrize("jitter", [(0.1, 0.05, 0.05, 0.05), (0.0, 0.0, 0.0, 0.0)])
def test_colour_jitter_draws_within_its_range(jitter: tuple[float, float, float, float]) -> None:
    random = np.random.default_rng(0)
    drawn = [ColourJitter(*jitter).draw(random) for _ in range(200)]
    for name, spread, middle in zip(
        ("brightness", "contrast", "saturation", "hue"), jitter, (1, 1, 1, 0), strict=True
    ):
        values = np.array([getattr(change, name) for change in drawn]) - middle
        assert np.abs(values).max() <= spread + 1e-12
        assert np.abs(values).max() >= 0.9 * spread


def test_perspective_moves_no_corner_further_than_the_shift() -> None:
    fields = np.stack(
        [
            random_perspective((640, 1280), shift=0.1, rng=np.random.default_rng(seed))
            for seed in range(200)
        ]
    )
    assert fields.shape == (200, 40, 80, 2)
    corners = fields[:, ::39, ::79]
    for axis, side in enumerate((1280, 640)):
        largest = np.abs(corners[..., axis]).max() / side
        assert 0.08 < largest < 0.11, "the outermost cells lie just inside the corners"
    still = random_perspective((128, 256), shift=0.0, rng=np.random.default_rng(0))
    np.testing.assert_allclose(still, 0, atol=1e-4)


def test_motion_blur_spreads_a_point_along_a_line() -> None:
    image = np.zeros((64, 64, 3), np.uint8)
    image[32, 32] = 255
    blur = MotionBlur(probability=1.0, length=0.4)
    spread = [
        (blur.apply(image, np.random.default_rng(seed))[..., 0] > 0).sum() for seed in range(30)
    ]
    assert max(spread) > 8
    assert max(spread) <= 0.4 * 64 + 2, "a line of at most the length"
    flat = np.full((64, 64, 3), 90, np.uint8)
    np.testing.assert_array_equal(blur.apply(flat, np.random.default_rng(0)), flat)


def test_motion_blur_off_draws_nothing() -> None:
    random = np.random.default_rng(3)
    image = noise()
    assert MotionBlur().apply(image, random) is image
    assert random.random() == np.random.default_rng(3).random()

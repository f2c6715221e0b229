"""Overlays, contact sheets, heat maps and feature colours."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from scmn.data.masks import VOID, davis_palette
from scmn.visualization import contact_sheet, feature_colours, heat_map, overlay


def grey(height: int, width: int, level: int = 100) -> np.ndarray:
    return np.full((height, width, 3), level, np.uint8)


def test_overlay_tints_objects_but_not_the_background() -> None:
    image, labels = grey(40, 60), np.zeros((40, 60), np.uint8)
    labels[10:30, 10:40] = 2
    before = image.copy()
    drawn = overlay(image, labels, opacity=0.5)
    np.testing.assert_array_equal(image, before)
    np.testing.assert_array_equal(drawn[labels == 0], image[labels == 0])
    colour = davis_palette()[2]
    np.testing.assert_allclose(drawn[20, 25], (image[20, 25].astype(float) + colour) / 2, atol=1)
    np.testing.assert_array_equal(drawn[10, 25], colour)  # the outline has the full colour
    plain = overlay(image, labels, opacity=0.5, outline=False)
    np.testing.assert_array_equal(plain[10, 25], plain[20, 25])


def test_overlay_outlines_touching_objects_but_not_the_border() -> None:
    labels = np.full((40, 60), 1, np.uint8)
    assert (overlay(grey(40, 60), labels) == overlay(grey(40, 60), labels, outline=False)).all()
    labels[:, 30:] = 2
    drawn = overlay(grey(40, 60), labels)
    np.testing.assert_array_equal(drawn[20, 29], davis_palette()[1])
    np.testing.assert_array_equal(drawn[20, 30], davis_palette()[2])


def test_overlay_shows_void_in_grey_without_an_outline() -> None:
    labels = np.zeros((20, 20), np.uint8)
    labels[5:15, 5:15] = VOID
    drawn = overlay(grey(20, 20, 0), labels, opacity=1.0)
    assert (drawn[labels == VOID] == 128).all()


@pytest.mark.parametrize("labels", [np.zeros((4, 5), np.uint8), np.zeros((4, 4), np.int64)])
def test_overlay_refuses_labels_of_another_size_or_type(labels: np.ndarray) -> None:
    with pytest.raises(ValueError, match="expected uint8"):
        overlay(grey(4, 4), labels)


def test_contact_sheet_lays_images_out_row_by_row() -> None:
    images = [grey(20, 30, level) for level in (10, 60, 110, 160, 210)]
    sheet = contact_sheet(images, 3)
    assert sheet.shape == (2 * 24 + 4, 3 * 34 + 4, 3)
    assert sheet[14, 19, 0] == 10
    assert sheet[14, 53, 0] == 60
    assert sheet[38, 19, 0] == 160
    assert (sheet[28:48, 72:102] == 255).all()  # no sixth image


def test_contact_sheet_writes_captions_below_the_images() -> None:
    images = [grey(20, 120), grey(20, 120)]
    plain = contact_sheet(images, 2)
    sheet = contact_sheet(images, 2, captions=["first", "a caption far too long for its picture"])
    below = sheet.shape[0] - plain.shape[0]
    assert below > 0
    np.testing.assert_array_equal(sheet[4:24, 4:124], images[0])
    strip = sheet[24 : 24 + below]
    assert (strip[:, 4:124] < 200).any()
    assert (strip[:, 124:128] == 255).all()  # no overflow into the next cell
    assert (strip[:, 250:] == 255).all()


def test_contact_sheet_keeps_aspect_ratios() -> None:
    sheet = contact_sheet([grey(20, 20, 0), grey(40, 20, 0)], 2)[4:-4]
    assert sheet.shape == (20, 52, 3)
    assert (sheet[:, 33:43] == 0).all()
    assert (sheet[:, 24:33] == 255).all()
    assert (sheet[:, 43:] == 255).all()


def test_contact_sheet_refuses_no_images_and_wrong_captions() -> None:
    with pytest.raises(ValueError, match="at least one image"):
        contact_sheet([], 2)
    with pytest.raises(ValueError, match="1 captions for 2 images"):
        contact_sheet([grey(4, 4)] * 2, 2, captions=["one"])
    with pytest.raises(ValueError, match="an image is uint8"):
        contact_sheet([np.zeros((4, 4), np.uint8)], 1)


def test_heat_map_is_lighter_where_the_field_is_higher() -> None:
    field = np.zeros((4, 6), np.float32)
    field[:, 3:] = 1
    drawn = heat_map(grey(32, 48), field)
    assert drawn.shape == (32, 48, 3)
    assert drawn[16, 44].sum() > drawn[16, 4].sum() + 100
    red, _, blue = drawn[16, 44].astype(int)
    assert red > blue  # yellow, in RGB order
    red, _, blue = drawn[16, 4].astype(int)
    assert blue > red


def test_heat_map_clips_and_refuses_nan() -> None:
    image = grey(8, 8)
    low, high = heat_map(image, np.full((2, 2), -3.0)), heat_map(image, np.full((2, 2), 9.0))
    np.testing.assert_array_equal(low, heat_map(image, np.zeros((2, 2))))
    np.testing.assert_array_equal(high, heat_map(image, np.ones((2, 2))))
    with pytest.raises(ValueError, match="finite"):
        heat_map(image, np.full((2, 2), np.nan))


def test_feature_colours_distinguish_regions() -> None:
    rng = np.random.default_rng(0)
    features = rng.normal(0, 0.01, (16, 12, 20)).astype(np.float32)
    features[:, :, 10:] += rng.normal(0, 1, (16, 1, 1))
    colours = feature_colours(features)
    assert colours.shape == (12, 20, 3)
    assert colours.dtype == np.uint8
    left, right = colours[:, :10, 0].astype(int), colours[:, 10:, 0].astype(int)
    assert abs(left.mean() - right.mean()) > 200


def test_feature_colours_accept_tensors() -> None:
    features = np.random.default_rng(1).normal(size=(8, 6, 7)).astype(np.float32)
    tensor = torch.from_numpy(features).requires_grad_()
    np.testing.assert_array_equal(feature_colours(tensor), feature_colours(features))
    assert feature_colours(torch.from_numpy(features).bfloat16()).shape == (6, 7, 3)


def test_feature_colours_leave_missing_components_black() -> None:
    ramp = np.linspace(0, 1, 20).reshape(1, 4, 5) * np.array([1.0, 2.0]).reshape(2, 1, 1)
    colours = feature_colours(ramp)
    assert np.ptp(colours[..., 0]) == 255
    assert (colours[..., 1:] == 0).all()
    assert (feature_colours(np.ones((3, 4, 5))) == 0).all()
    with pytest.raises(ValueError, match="finite"):
        feature_colours(np.ones((4, 5)))

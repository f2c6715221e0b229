"""Scaling and padding, and undoing them."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from scmn.inference.geometry import CHANNELS_AT_ONCE, FrameGeometry, most_probable


@settings(max_examples=60, deadline=None)
@given(st.integers(16, 90), st.integers(16, 90), st.sampled_from([None, 16, 40]))
def test_padding_is_symmetric_and_undone(height: int, width: int, side: int | None) -> None:
    geometry = FrameGeometry.of_frame(height, width, shorter_side=side)
    left, right, top, bottom = geometry.padding
    assert right - left in (0, 1)
    assert bottom - top in (0, 1)
    colour = torch.tensor([0.5, 0.25, 0.125]).view(3, 1, 1)
    image = torch.rand(1, 3, height, width)
    padded = geometry.network_image(image, colour)
    assert padded.shape[-2] % 16 == padded.shape[-1] % 16 == 0
    assert padded.shape[-2] < geometry.scaled_size[0] + 16
    scaled = geometry.crop(padded)
    assert tuple(scaled.shape[-2:]) == geometry.scaled_size
    if geometry.scaled_size == (height, width):
        torch.testing.assert_close(scaled, image)
    if top:
        torch.testing.assert_close(padded[0, :, 0, 0], colour.flatten())
    assert geometry.frame_maps(scaled[0]).shape == (3, height, width)


def test_shorter_side_is_never_scaled_up() -> None:
    assert FrameGeometry.of_frame(720, 1280, shorter_side=480).scaled_size == (480, 853)
    assert FrameGeometry.of_frame(1280, 720, shorter_side=480).scaled_size == (853, 480)
    assert FrameGeometry.of_frame(240, 320, shorter_side=480).scaled_size == (240, 320)
    upscaled = FrameGeometry.of_frame(240, 320, shorter_side=480, upscale=True)
    assert upscaled.scaled_size == (480, 640)
    assert FrameGeometry.of_frame(720, 1280, shorter_side=480, upscale=True).scaled_size[0] == 480
    assert FrameGeometry.of_frame(240, 320, shorter_side=480, scale=1.5).scaled_size == (360, 480)


def test_network_masks_are_binary() -> None:
    geometry = FrameGeometry.of_frame(100, 150, shorter_side=50)
    masks = (torch.rand(1, 2, 100, 150) > 0.5).float()
    scaled = geometry.network_masks(masks)
    assert set(scaled.unique().tolist()) <= {0.0, 1.0}
    assert scaled.shape == (1, 2, 64, 80)


def test_without_padding_clears_the_padding() -> None:
    geometry = FrameGeometry.of_frame(50, 70, shorter_side=None)
    masks = torch.ones(1, 1, 64, 80)
    inside = geometry.without_padding(masks)
    assert inside.sum() == 50 * 70
    assert geometry.crop(inside).min() == 1


@pytest.mark.parametrize("channels", [1, 2, CHANNELS_AT_ONCE, CHANNELS_AT_ONCE + 1, 40])
def test_most_probable_is_the_argmax(channels: int) -> None:
    geometry = FrameGeometry.of_frame(40, 60, shorter_side=20)
    probabilities = torch.rand(channels, 20, 30)
    expected = geometry.frame_maps(probabilities).argmax(dim=0)
    assert torch.equal(most_probable(probabilities, geometry), expected)

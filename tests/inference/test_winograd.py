"""Winograd convolutions equal the convolutions that they replace."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from scmn import VideoSegmenter, build_model
from scmn.inference.acceleration import winograd
from scmn.inference.acceleration.winograd import (
    RATES,
    InterleavedConvolution,
    WinogradConvolution,
    is_suited,
    is_suited_dilated,
)


def images(shape: tuple[int, int, int]) -> torch.Tensor:
    """(B, H, W) -> channels-last maps of 128 channels."""
    batch, height, width = shape
    maps = torch.randn(batch, 128, height, width)
    return maps.contiguous(memory_format=torch.channels_last)


def assert_near(obtained: torch.Tensor, expected: torch.Tensor) -> None:
    """Compare with a tolerance relative to the largest response."""
    largest = float(expected.abs().max())
    torch.testing.assert_close(obtained, expected, atol=2e-5 * largest, rtol=0)


@torch.no_grad()
@pytest.mark.parametrize("block_bytes", [1, 1 << 20, 1 << 30])
@pytest.mark.parametrize("shape", [(1, 8, 12), (3, 9, 7), (2, 1, 1), (5, 30, 21)])
@pytest.mark.parametrize("bias", [True, False])
def test_winograd_equals_the_convolution(
    shape: tuple[int, int, int], bias: bool, block_bytes: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(winograd, "BLOCK_BYTES", block_bytes)
    torch.manual_seed(0)
    convolution = nn.Conv2d(128, 512, kernel_size=3, padding=1, bias=bias)
    x = images(shape)
    obtained = WinogradConvolution(convolution)(x)
    assert_near(obtained, convolution(x))
    torch.testing.assert_close(WinogradConvolution(convolution)(x.contiguous()), obtained)


@torch.no_grad()
@pytest.mark.parametrize("shape", [(1, 8, 12), (2, 9, 7), (3, 1, 1), (1, 30, 21)])
@pytest.mark.parametrize("rate", RATES)
def test_interleaved_equals_the_dilated_convolution(shape: tuple[int, int, int], rate: int) -> None:
    torch.manual_seed(0)
    convolution = nn.Conv2d(128, 512, kernel_size=3, padding=rate, dilation=rate)
    assert is_suited_dilated(convolution)
    x = images(shape)
    assert_near(InterleavedConvolution(convolution)(x), convolution(x))


@pytest.mark.parametrize(
    "settings",
    [
        {"kernel_size": 1, "padding": 0},
        {"stride": 2},
        {"padding": 0},
        {"padding": 2, "dilation": 2},
        {"groups": 2},
        {"in_channels": 64},
        {"out_channels": 128},
    ],
)
def test_is_suited_rejects_other_convolutions(settings: dict[str, int]) -> None:
    usual = {"in_channels": 256, "out_channels": 256, "kernel_size": 3, "padding": 1}
    assert is_suited(nn.Conv2d(**usual))
    assert not is_suited(nn.Conv2d(**{**usual, **settings}))
    dilated = {**usual, "padding": 2, "dilation": 2}
    assert is_suited_dilated(nn.Conv2d(**dilated))
    if "dilation" not in settings:
        assert not is_suited_dilated(nn.Conv2d(**{**dilated, **settings}))


def test_segmenter_uses_winograd_only_in_float32() -> None:
    model = build_model("stm", backbone="resnet18")

    def count(segmenter: VideoSegmenter) -> int:
        modules = segmenter.model.modules()
        return sum(isinstance(module, WinogradConvolution) for module in modules)

    assert count(VideoSegmenter(model)) > 10
    assert count(VideoSegmenter(model, precision="bf16")) == 0
    assert not any(isinstance(module, WinogradConvolution) for module in model.modules())

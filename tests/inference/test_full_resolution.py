"""Operations at full resolution on a CPU: the same responses, at the borders too."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from scmn import VideoSegmenter, build_model
from scmn.inference import full_resolution
from scmn.inference.full_resolution import BandedExit, ConvolutionPair
from scmn.networks.refinement import JoinedConvolution


@torch.no_grad()
@pytest.mark.parametrize("size", [(16, 32), (3, 3), (2, 5), (1, 4), (1, 1)])
def test_one_convolution_equals_the_pair(size: tuple[int, int]) -> None:
    torch.manual_seed(0)
    first = nn.Conv2d(2, 8, kernel_size=3, padding=1)
    second = nn.Conv2d(8, 6, kernel_size=3, padding=1)
    x = torch.randn(2, 2, *size)
    torch.testing.assert_close(ConvolutionPair(first, second)(x), second(first(x)))


@torch.no_grad()
@pytest.mark.parametrize("lines", [2, 4, 6, 100])
@pytest.mark.parametrize("size", [(16, 6), (9, 3), (2, 5), (1, 1)])
def test_bands_equal_the_whole(
    size: tuple[int, int], lines: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(full_resolution, "BAND_BYTES", 1)
    monkeypatch.setattr(full_resolution, "FEWEST_LINES", lines)
    torch.manual_seed(0)
    joined = JoinedConvolution(8)
    end = nn.Conv2d(8, 2, kernel_size=3, padding=1)
    x = torch.randn(2, 8, *size)
    skip = torch.randn(2, 8, 2 * size[0], 2 * size[1])
    torch.testing.assert_close(BandedExit(joined, end)(x, skip), end(joined(x, skip)))


@torch.no_grad()
def test_the_refinement_on_the_cpu_has_them() -> None:
    torch.manual_seed(0)
    network = build_model("scmn_small", weights="default")
    prepared = VideoSegmenter(network).model
    (pair,) = [module for module in prepared.modules() if isinstance(module, ConvolutionPair)]
    logits = torch.randn(2, 2, 32, 48)
    torch.testing.assert_close(
        prepared.refinement(logits), network.refinement(logits), atol=1e-4, rtol=1e-4
    )
    assert pair.weight.shape[2:] == (5, 5)
    assert isinstance(prepared.refinement.up[-1], BandedExit)
    assert not any(isinstance(module, ConvolutionPair | BandedExit) for module in network.modules())

"""The banded refinement computes what the refinement computes, also at the borders."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from scmn import VideoSegmenter
from scmn.inference.acceleration import refinement
from scmn.inference.acceleration.refinement import BandedExit, BandedRefinement, ConvolutionPair
from scmn.networks.decoder import bilinear_upsampling
from scmn.networks.refinement import JoinedConvolution, Refinement
from tests.conftest import build_small


@torch.no_grad()
@pytest.mark.parametrize("size", [(16, 32), (3, 3), (2, 5), (1, 4), (1, 1)])
def test_convolution_pair_equals_two_convolutions(size: tuple[int, int]) -> None:
    torch.manual_seed(0)
    first = nn.Conv2d(2, 8, kernel_size=3, padding=1)
    second = nn.Conv2d(8, 6, kernel_size=3, padding=1)
    x = torch.randn(2, 2, *size)
    torch.testing.assert_close(ConvolutionPair(first, second)(x), second(first(x)))


@torch.no_grad()
@pytest.mark.parametrize("lines", [2, 4, 6, 100])
@pytest.mark.parametrize("size", [(16, 6), (9, 3), (2, 5), (1, 1)])
def test_banded_exit_equals_the_whole_map(
    size: tuple[int, int], lines: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(refinement, "BAND_BYTES", 1)
    monkeypatch.setattr(refinement, "MIN_LINES", lines)
    torch.manual_seed(0)
    joined = JoinedConvolution(8)
    end = nn.Conv2d(8, 2, kernel_size=3, padding=1)
    x = torch.randn(2, 8, *size)
    skip = torch.randn(2, 8, 2 * size[0], 2 * size[1])
    upsample = bilinear_upsampling(2)
    banded = BandedExit(upsample, joined, end)
    torch.testing.assert_close(banded(x, skip), end(joined(upsample(x), skip)))


@torch.no_grad()
@pytest.mark.parametrize("lines", [2, 12, 100])
@pytest.mark.parametrize("features", [None, 6])
def test_banded_refinement_equals_the_refinement(
    features: int | None, lines: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(refinement, "BAND_BYTES", 1)
    monkeypatch.setattr(refinement, "MIN_LINES", lines)
    torch.manual_seed(0)
    plain = Refinement(4, logits=2, features=features)
    logits, maps = torch.randn(2, 2, 32, 48), torch.randn(2, 6, 8, 12)
    banded = BandedRefinement(plain)
    torch.testing.assert_close(banded(logits, maps), plain(logits, maps), atol=1e-4, rtol=1e-4)
    if features is None:
        assert banded.entry.weight.shape == (4, 2, 5, 5)


@pytest.mark.parametrize("refinement_input", ["features", "logits"])
def test_segmenter_on_the_cpu_uses_the_banded_refinement(refinement_input: str) -> None:
    network = build_small("scmn", refinement_input=refinement_input)
    assert isinstance(VideoSegmenter(network).model.refinement, BandedRefinement)
    assert isinstance(network.refinement, Refinement)

"""Two convolutions as one: the same response, at the borders too."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from scmn import VideoSegmenter, build_model
from scmn.inference.convolution_pair import ConvolutionPair


@torch.no_grad()
@pytest.mark.parametrize("size", [(16, 32), (3, 3), (2, 5), (1, 4), (1, 1)])
def test_it_equals_the_pair(size: tuple[int, int]) -> None:
    torch.manual_seed(0)
    first = nn.Conv2d(2, 8, kernel_size=3, padding=1)
    second = nn.Conv2d(8, 6, kernel_size=3, padding=1)
    x = torch.randn(2, 2, *size)
    torch.testing.assert_close(ConvolutionPair(first, second)(x), second(first(x)))


@torch.no_grad()
def test_the_refinement_on_the_cpu_has_one() -> None:
    torch.manual_seed(0)
    network = build_model("scmn_small", weights="default")
    prepared = VideoSegmenter(network).model
    (pair,) = [module for module in prepared.modules() if isinstance(module, ConvolutionPair)]
    logits = torch.randn(2, 2, 32, 48)
    torch.testing.assert_close(
        prepared.refinement(logits), network.refinement(logits), atol=1e-4, rtol=1e-4
    )
    assert pair.weight.shape[2:] == (5, 5)
    assert not any(isinstance(module, ConvolutionPair) for module in network.modules())

"""Devices and precisions: half precision is close to float32, missing devices are rejected."""

from __future__ import annotations

import pytest
import torch

from scmn import InputError, VideoSegmenter
from scmn.networks.base import MemoryNetwork
from tests.conftest import build_small
from tests.inference.clips import TWO, video

HALF_PRECISION = {"scmn": 0.02, "stm": 0.02, "stcn": 0.002}
"""Mean difference of probabilities; without a memory it would be at least twice as large."""


@pytest.mark.parametrize("name", ["scmn", "stm", "stcn"])
def test_bfloat16_is_close_to_float32(name: str) -> None:
    model = build_small(name)
    exact = list(VideoSegmenter(model).run(video(4), TWO))
    half = list(VideoSegmenter(model, precision="bf16").run(video(4), TWO))
    for a, b in zip(exact, half, strict=True):
        assert b.probabilities.dtype == torch.float32
        assert (a.probabilities - b.probabilities).abs().mean() < HALF_PRECISION[name]


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a CUDA GPU")
def test_missing_cuda_is_rejected() -> None:
    with pytest.raises(InputError, match="finds no CUDA"):
        VideoSegmenter(build_small("stm"), device="cuda")


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA GPU")
@pytest.mark.parametrize("precision", ["fp32", "bf16", "fp16"])
def test_cuda_is_close_to_the_cpu(small_model: MemoryNetwork, precision: str) -> None:
    exact = list(VideoSegmenter(small_model, device="cpu").run(video(7), TWO))
    segmenter = VideoSegmenter(small_model, device="cuda", precision=precision)
    for a, b in zip(exact, segmenter.run(video(7), TWO), strict=True):
        difference = (a.probabilities - b.probabilities.cpu()).abs().mean()
        assert small_model.description is not None
        limit = 1e-3 if precision == "fp32" else HALF_PRECISION[small_model.description.name]
        assert difference < limit

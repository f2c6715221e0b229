"""Inference on a GPU: no tensor is left on the CPU, and the host rarely waits."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from scmn import AugmentedSegmenter, VideoSegmenter
from tests.conftest import build_small
from tests.cuda.fake_cuda import NETWORKS_AND_PRECISIONS, FakeCuda

HEIGHT, WIDTH = 40, 56
FRAME = np.zeros((HEIGHT, WIDTH, 3), np.uint8)
TWO = np.zeros((HEIGHT, WIDTH), np.uint8)
TWO[8:20, 4:20], TWO[8:20, 30:40] = 7, 200
THIRD = np.zeros((HEIGHT, WIDTH), np.uint8)
THIRD[30:, :10] = 9


DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}


@pytest.mark.parametrize(("name", "precision"), NETWORKS_AND_PRECISIONS)
def test_segmenter_runs_on_one_device(fake_cuda: FakeCuda, name: str, precision: str) -> None:
    network = build_small(name)
    with fake_cuda():
        segmenter = VideoSegmenter(
            network, device="cuda", precision=precision, memory={"every": 1, "top_k": 20}
        )
        segmenter.step(FRAME, TWO)
        for _ in range(2):
            segmenter.step(FRAME)
        fake_cuda.waits.clear()
        segmenter.step(FRAME, THIRD)
        assert fake_cuda.waits == [], "not even for given masks"
        assert segmenter.object_ids == (7, 200, 9)
        segmenter.step(FRAME)
        segmenter.remove_object(7)
        for _ in range(3):  # the store grows
            prediction = segmenter.step(FRAME)
        assert prediction.object_ids == (200, 9)
        assert prediction.network_probabilities.is_cuda
        assert {memory.value.dtype for memory in segmenter.bank.memory()} == {DTYPES[precision]}
        assert prediction.labels.shape == (HEIGHT, WIDTH)
        fake_cuda.waits.clear()
        prediction = segmenter.step(FRAME)
        prediction.request_labels()
        assert fake_cuda.waits == [], "neither between the frame and the labels"
        assert prediction.labels.dtype == np.uint8
        assert len(fake_cuda.waits) == 1, "nor elsewhere"


FORGETTING = [
    {"max_frames": 2, "eviction": "usage"},
    {"long_term": {"min_frames": 2, "max_frames": 3, "prototypes": 2, "max_elements": 3}},
]


@pytest.mark.parametrize("forgetting", FORGETTING)
@pytest.mark.parametrize("name", ["stm", "stcn"])
def test_forgetting_waits_for_nothing(
    fake_cuda: FakeCuda, name: str, forgetting: dict[str, Any]
) -> None:
    network = build_small(name)
    with fake_cuda():
        segmenter = VideoSegmenter(network, device="cuda", memory={"every": 1, **forgetting})
        segmenter.step(FRAME, TWO)
        segmenter.step(FRAME)
        segmenter.remove_object(7)
        fake_cuda.waits.clear()
        for time in range(8):
            segmenter.step(FRAME, THIRD if time == 1 else None)
        assert fake_cuda.waits == []


def test_augmentation_waits_once_for_all_views(fake_cuda: FakeCuda) -> None:
    network = build_small("stcn")
    with fake_cuda():
        segmenter = AugmentedSegmenter(network, scales=[1.0, 1.5], device="cuda")
        segmenter.step(FRAME, TWO)
        fake_cuda.waits.clear()
        assert segmenter.step(FRAME).labels.shape == (HEIGHT, WIDTH)
    assert len(fake_cuda.waits) == 1


def test_a_tensor_left_on_the_cpu_is_noticed(fake_cuda: FakeCuda) -> None:
    network = build_small("stm")
    with fake_cuda():
        segmenter = VideoSegmenter(network, device="cuda")
        segmenter.step(FRAME, TWO)
        convolution = segmenter.model.decoder.predict
        convolution.bias = torch.nn.Parameter(torch.zeros(2))
        with pytest.raises(RuntimeError, match="on the same device"):
            segmenter.step(FRAME)

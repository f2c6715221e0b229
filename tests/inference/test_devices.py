"""Devices and precisions: half precision is close to float32, missing devices are rejected."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator

import cv2
import numpy as np
import pytest
import torch

from scmn import InputError, VideoSegmenter
from scmn.inference import devices
from scmn.inference.devices import (
    autocast,
    explain_exhausted_memory,
    float32_products,
    resolve_device,
    resolve_precision,
)
from scmn.inference.settings import Precision
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


@pytest.mark.parametrize(("instructions", "precision"), [(True, "bf16"), (False, "fp32")])
def test_auto_is_the_faster_precision(
    instructions: bool, precision: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(devices, "has_bf16_instructions", lambda device: instructions)
    assert VideoSegmenter(build_small("stm"), precision="auto").precision == precision


def test_emulated_bf16_warns_once(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(devices, "has_bf16_instructions", lambda device: False)
    devices._warn_of_emulation_once.cache_clear()
    for precision in ("fp32", "auto", "bf16", "bf16"):
        resolve_precision(torch.device("cpu"), precision)
    assert [record.message for record in caplog.records] == [
        "this machine's cpu has no instructions for bf16 and emulates it, which is slower "
        "than fp32; precision 'auto' chooses the faster"
    ]


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a CUDA GPU")
def test_missing_cuda_is_rejected() -> None:
    with pytest.raises(InputError, match="finds no CUDA"):
        VideoSegmenter(build_small("stm"), device="cuda")


@pytest.mark.parametrize("device", ["xpu", "meta", "vulkan", "gpu", "cuda:-1", ""])
def test_unknown_devices_are_rejected(device: str) -> None:
    with pytest.raises(InputError, match=f"unknown device '{device}': use auto, cpu"):
        resolve_device(device)


@pytest.mark.parametrize(
    "allocate",
    [
        lambda: torch.empty(10**15, dtype=torch.uint8),
        lambda: torch.empty(2**62),
        lambda: np.empty(10**15),
        lambda: cv2.resize(np.zeros((2, 2), np.uint8), (2**24, 2**24)),
    ],
    ids=["torch", "torch, more than a number holds", "numpy", "opencv"],
)
def test_exhausted_memory_of_the_host_is_explained(allocate: Callable[[], object]) -> None:
    with (
        pytest.raises(InputError, match=r"^the CPU is out of memory; buy more$"),
        explain_exhausted_memory(torch.device("cpu"), "buy more"),
    ):
        allocate()


def test_other_errors_are_not_explained_as_exhausted_memory() -> None:
    with (
        pytest.raises(RuntimeError, match="mat1 and mat2 shapes"),
        explain_exhausted_memory(torch.device("cpu"), "buy more"),
    ):
        torch.zeros(2, 3) @ torch.zeros(2, 3)


@pytest.mark.parametrize("device", ["cpu", "mps"])
def test_tf32_needs_a_cuda_gpu(device: str) -> None:
    with (
        pytest.raises(InputError, match="'tf32' needs a CUDA GPU"),
        autocast(torch.device(device), "tf32"),
    ):
        pass


def tf32_flags() -> tuple[object, ...]:
    """What decides about TF32 in convolutions and products, under the names that torch has."""
    cudnn, matmul = torch.backends.cudnn, torch.backends.cuda.matmul
    if hasattr(cudnn, "conv"):
        return cudnn.conv.fp32_precision, cudnn.rnn.fp32_precision, matmul.fp32_precision
    return cudnn.allow_tf32, matmul.allow_tf32


@pytest.fixture
def torch_defaults() -> Iterator[None]:
    """Restore torch's flags, whatever a test does to them."""
    yield
    torch.set_float32_matmul_precision("highest")
    torch.backends.cudnn.allow_tf32 = True


def old_names(allowed: bool) -> None:
    torch.backends.cudnn.allow_tf32 = allowed
    torch.backends.cuda.matmul.allow_tf32 = allowed


def new_names() -> None:
    if not hasattr(torch.backends.cudnn, "conv"):
        pytest.skip("torch before 2.9 has no such names")
    torch.backends.cudnn.conv.fp32_precision = "ieee"
    torch.backends.cuda.matmul.fp32_precision = "tf32"


@pytest.mark.usefixtures("torch_defaults")
@pytest.mark.parametrize(
    "prepare",
    [lambda: None, lambda: old_names(True), lambda: old_names(False), new_names],
    ids=["default", "allowed", "forbidden", "new names"],
)
@pytest.mark.parametrize("precision", ["fp32", "tf32", "bf16"])
def test_only_the_precision_tf32_rounds_to_tf32(
    prepare: Callable[[], None], precision: str
) -> None:
    prepare()
    before = tf32_flags()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with float32_products(torch.device("cuda"), precision):
            assert torch.backends.cudnn.allow_tf32 == (precision == "tf32")
            assert torch.backends.cuda.matmul.allow_tf32 == (precision == "tf32")
            with autocast(torch.device("cuda"), "fp32"):
                assert not torch.backends.cudnn.allow_tf32
                assert not torch.backends.cuda.matmul.allow_tf32
            assert torch.backends.cudnn.allow_tf32 == (precision == "tf32")
    assert tf32_flags() == before


@pytest.mark.parametrize(
    ("device", "precision", "deterministic", "timed"),
    [
        ("cuda", "fp32", False, True),
        ("cuda", "fp32", True, False),
        ("cuda", "bf16", False, False),
        ("cpu", "fp32", False, False),
    ],
)
def test_float32_kernels_of_a_gpu_are_timed_unless_results_must_be_deterministic(
    device: str, precision: Precision, deterministic: bool, timed: bool
) -> None:
    torch.use_deterministic_algorithms(deterministic)
    try:
        with autocast(torch.device(device), precision):
            assert torch.backends.cudnn.benchmark is timed
    finally:
        torch.use_deterministic_algorithms(False)
    assert not torch.backends.cudnn.benchmark


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA GPU")
@pytest.mark.parametrize("precision", ["fp32", "tf32", "bf16", "fp16"])
def test_cuda_is_close_to_the_cpu(small_model: MemoryNetwork, precision: str) -> None:
    exact = list(VideoSegmenter(small_model, device="cpu").run(video(7), TWO))
    segmenter = VideoSegmenter(small_model, device="cuda", precision=precision)
    for a, b in zip(exact, segmenter.run(video(7), TWO), strict=True):
        difference = (a.probabilities - b.probabilities.cpu()).abs().mean()
        assert small_model.description is not None
        half = HALF_PRECISION[small_model.description.name.partition("_")[0]]
        limit = {"fp32": 1e-4, "tf32": 1e-3}.get(precision, half)
        assert difference < limit

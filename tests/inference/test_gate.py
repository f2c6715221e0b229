"""Gates of the memory: only what is trusted is remembered, for each object by itself."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.nn import functional

from scmn import InputError, VideoSegmenter
from scmn.inference.memory.policy import MemoryBank
from scmn.inference.memory.settings import complete_settings
from scmn.networks.base import MemoryNetwork
from scmn.networks.features import MemoryFrames
from scmn.networks.memory_read import ReadSettings
from scmn.networks.stm import STM
from tests.conftest import build_small
from tests.inference.clips import TWO, label_map, predictions_around_a_pause, video

GATE = {"gate": {"confidence": 0.8}}
NUMBERS = st.floats(0.125, 1, width=32)


def weighted_read(
    network: MemoryNetwork, key: Tensor, frames: MemoryFrames, weights: Tensor, top_k: int | None
) -> Tensor:
    """Read each object's memory at each position in plain loops, in double precision."""
    _, objects, channels, *_ = frames.value.shape
    readout = torch.zeros(objects, channels, key[0, 0].numel(), dtype=torch.float64)
    for n in range(objects):
        keys = frames.key[0, 0 if network.shared_key else n].flatten(1).double()
        values = frames.value[0, n].flatten(1).double()
        weight = weights[0, n, 0].flatten().double()
        for i, query in enumerate(key[0].flatten(1).T.double()):
            similarity = keys.T @ query
            if network.similarity == "l2":
                similarity = 2 * similarity - keys.square().sum(dim=0)
            similarity /= len(query) ** 0.5
            chosen = similarity.argsort(descending=True)[:top_k]
            attention = similarity[chosen].softmax(dim=0) * weight[chosen]
            readout[n, :, i] = values[:, chosen] @ attention / attention.sum().clamp_min(1e-6)
    return readout.view(1, objects, channels, *key.shape[-2:])


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("top_k", [None, 5])
@pytest.mark.parametrize("block_bytes", [None, 64])
def test_weighted_read_is_the_weighted_mean_of_the_values(
    small_model: MemoryNetwork, dtype: torch.dtype, top_k: int | None, block_bytes: int | None
) -> None:
    generator = torch.Generator().manual_seed(0)
    shared = 1 if small_model.shared_key else 3
    frames = MemoryFrames(
        torch.randn(1, shared, small_model.key_dim, 2, 3, 4, generator=generator).to(dtype),
        torch.randn(1, 3, small_model.value_dim, 2, 3, 4, generator=generator).to(dtype),
    )
    weights = torch.rand(1, 3, 1, 2, 3, 4, generator=generator).to(dtype)
    weights[0, 1, 0, 1] = 0  # object 1 is not remembered from the second frame
    image = torch.rand(1, 3, 48, 64, generator=generator)
    with torch.no_grad():
        query = small_model.encode_query(image)
    settings = ReadSettings(top_k, dense_bytes=block_bytes, block_bytes=block_bytes)
    readout, _ = small_model.read(query, frames.weighted(weights), settings)
    expected = weighted_read(small_model, query.key, frames, weights, top_k)
    assert readout.dtype == dtype
    tolerance = 1e-4 if dtype == torch.float32 else 0.05
    torch.testing.assert_close(readout.double(), expected, atol=tolerance, rtol=tolerance)


def expected_memory(
    confidence: list[list[float]], annotated: set[int], every: int
) -> list[list[int]]:
    """Return the frames that each of some objects remembers, one frame after the other."""
    remembered: list[list[int]] = [[] for _ in confidence[0]]
    shared: list[int] = []
    for time, numbers in enumerate(confidence):
        if time not in annotated and time - shared[-1] < every:
            continue
        for times, number in zip(remembered, numbers, strict=True):
            if time in annotated or np.float32(number) >= np.float32(0.8):
                times.append(time)
                shared = sorted({*shared, time})
    return remembered


@settings(max_examples=60, deadline=None)
@given(
    confidence=st.lists(st.tuples(NUMBERS, NUMBERS).map(list), min_size=1, max_size=25),
    annotated=st.sets(st.integers(0, 24), max_size=3),
    every=st.integers(1, 5),
)
def test_gate_remembers_each_object_where_it_is_trusted(
    confidence: list[list[float]], annotated: set[int], every: int
) -> None:
    memory = {"every": every, "keep_previous": False, **GATE}
    bank = MemoryBank(complete_settings(memory, STM.memory_defaults), STM.similarity)
    bank.add_objects([4, 9])
    given_frames = {0, *annotated}
    for time, numbers in enumerate(confidence):
        with_masks = time in given_frames
        if not bank.judges(time, annotated=with_masks):
            continue
        trusted = bank.trust(torch.tensor(numbers), (4, 9) if with_masks else ())
        if bank.wants(time, annotated=with_masks, trusted=trusted):
            one = MemoryFrames(torch.ones(1, 2, 2, 1, 1, 1), torch.full((1, 2, 3, 1, 1, 1), time))
            weights = torch.tensor(trusted).view(1, 2, 1, 1, 1, 1)
            bank.remember(time, one.weighted(weights), annotated=with_masks, trusted=trusted)
    (memory_frames,) = bank.memory()
    for position, times in enumerate(expected_memory(confidence, given_frames, every)):
        values, weights = memory_frames.value[0, position, :, :, 0, 0][[0, -1]]
        assert sorted(values[weights > 0].tolist()) == times


@pytest.mark.parametrize("number", [0.0, 0.5])
def test_an_object_without_a_mask_is_not_remembered(number: float) -> None:
    open_gate = complete_settings({"gate": {"confidence": 0.0}}, STM.memory_defaults)
    bank = MemoryBank(open_gate, STM.similarity)
    bank.add_objects([3])
    confidence = torch.tensor([number])
    assert bank.trust(confidence, given=()) == [number > 0]
    assert bank.trust(confidence, given=(3,)) == [True]  # hidden by the user


def probabilities(segmenter: VideoSegmenter) -> list[Tensor]:
    """Segment a video with three objects, one added later and one removed."""
    predictions = []
    for time, frame in enumerate(video(9)):
        labels = {0: TWO, 3: label_map((3, 20, 20))}.get(time)
        predictions.append(segmenter.step(frame, labels).probabilities)
        if time == 5:
            segmenter.remove_object(7)
    return predictions


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_a_gate_that_nothing_passes_leaves_the_given_frames(
    small_model: MemoryNetwork, precision: str
) -> None:
    closed = VideoSegmenter(
        small_model, precision=precision, memory={"gate": {"confidence": 1.0}, "every": 2}
    )
    plain = VideoSegmenter(
        small_model, precision=precision, memory={"every": None, "keep_previous": False}
    )
    tolerance = 1e-4 if precision == "fp32" else 0.02
    both = zip(probabilities(closed), probabilities(plain), strict=True)
    for a, b in list(both)[:4]:
        torch.testing.assert_close(a, b, atol=tolerance, rtol=0)
    # The objects of frame 0 are not given on frame 3, and not trusted there.
    assert closed.bank.remembered_times(3) == (3,)
    assert closed.bank.remembered_times(200) == (0,)
    assert plain.bank.remembered_times(200) == (0, 3)


def test_a_gate_that_everything_passes_changes_nothing(small_model: MemoryNetwork) -> None:
    memory: dict[str, Any] = {"every": 2}
    plain = probabilities(VideoSegmenter(small_model, memory=memory))
    segmenter = VideoSegmenter(small_model, memory={**memory, "gate": {"confidence": 0.0}})
    segmenter.bank.trust = lambda confidence, given: [True] * len(confidence)  # type: ignore[method-assign]
    for a, b in zip(probabilities(segmenter), plain, strict=True):
        torch.testing.assert_close(a, b, atol=1e-4, rtol=0)


def test_weigh_cells_remembers_how_certain_the_pixels_were(small_model: MemoryNetwork) -> None:
    segmenter = VideoSegmenter(small_model, memory={"weigh_cells": True, "keep_previous": True})
    frames = list(video(2, 48, 64))
    segmenter.step(frames[0], TWO[:48, :64])
    prediction = segmenter.step(frames[1])
    first, second = prediction.probabilities.sort(dim=0, descending=True).values[:2]
    expected = functional.avg_pool2d((1 - second / first)[None], 16)[0]
    (memory,) = segmenter.bank.memory()
    for position in range(2):
        torch.testing.assert_close(memory.value[0, position, -1, 1], expected, atol=1e-4, rtol=0)
        torch.testing.assert_close(memory.value[0, position, -1, 0], torch.ones(3, 4))


def test_a_gated_video_is_paused_bit_for_bit(tmp_path: Path) -> None:
    memory = {**GATE, "every": 2, "weigh_cells": True, "absence": {"confidence": 0.9}}
    file = tmp_path / "memory.safetensors"
    pairs = predictions_around_a_pause(build_small("stm"), memory, file, frames=8, pause=4)
    probabilities = [[each.network_probabilities for each in pair] for pair in pairs]
    assert len(probabilities) == 4
    assert all(torch.equal(a, b) for a, b in probabilities)


@pytest.mark.parametrize("gate", [0.8, {"share": 0.8}, {"confidence": 1.5}, {"confidence": "high"}])
def test_wrong_gates_are_refused(gate: object) -> None:
    with pytest.raises(InputError, match=r"memory\.gate"):
        VideoSegmenter(build_small("stm"), memory={"gate": gate})

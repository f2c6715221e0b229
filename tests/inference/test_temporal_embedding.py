"""Temporal embeddings equal a plain read whose keys are made frame by frame."""

from __future__ import annotations

import functools
import math
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from scmn import VideoSegmenter
from scmn.networks.base import MemoryNetwork
from scmn.networks.features import MemoryFrames, QueryFeatures
from scmn.networks.memory_read import ReadSettings
from scmn.training.settings import UnrollMemorySettings
from scmn.training.unroll import unroll
from tests.conftest import build_small
from tests.inference.clips import TWO, label_map, video
from tests.inference.recording import recorded, recurring

NETWORKS = ["stm", "stcn", "scmn_small"]
PROTOTYPES = -1
"""Stands for the time of prototypes."""


@functools.cache
def ordered(name: str) -> MemoryNetwork:
    """Return a small network with large vectors."""
    network = build_small(name, temporal_embedding=True)
    generator = torch.Generator().manual_seed(1)
    for vectors in vectors_of(network):
        vectors.data = 2 * torch.randn(vectors.shape, generator=generator)
    return network


def vectors_of(network: MemoryNetwork) -> list[torch.nn.Parameter]:
    assert network.temporal_embedding is not None
    return list(network.temporal_embedding.parameters())


def row(times: list[int], time: int) -> int:
    """Return which vector a frame of this time gets among all frames that are remembered."""
    first, *others = sorted(set(times) - {PROTOTYPES})
    if PROTOTYPES in times:
        others.insert(0, PROTOTYPES)
    if time == first:
        return 0
    *between, latest = others
    return 3 if time == latest else 1 + between.index(time) * 2 // len(between)


@torch.autocast("cpu", enabled=False)
def plain_readout(
    network: MemoryNetwork,
    query: QueryFeatures,
    memory: MemoryFrames,
    times: list[int],
    read: ReadSettings,
) -> Tensor:
    """Read the memory of one clip; ``times`` are those of its T frames.

    Returns the readout (N, Cv, h, w).
    """
    assert network.temporal_embedding is not None
    vectors = network.temporal_embedding.memory
    height, width = query.key.shape[-2:]
    queries = (query.key[0].float() + network.temporal_embedding.query.view(-1, 1, 1)).flatten(1)
    places = [(y, x) for y in range(height) for x in range(width)]
    readouts = []
    for n, value in enumerate(memory.value[0].float()):
        own = memory.key[0, min(n, memory.key.shape[1] - 1)].float()
        parts = [
            own[:, t] + vectors[row(times, time)].view(-1, 1, 1) for t, time in enumerate(times)
        ]
        keys = torch.cat([part.flatten(1) for part in parts], dim=1)
        if network.similarity == "dot":
            scores = queries.T @ keys
        else:
            scores = -(queries.T.unsqueeze(1) - keys.T).square().sum(dim=2)
        scores = scores / math.sqrt(len(keys))
        if read.kernel_sigma is not None:
            sigma = read.kernel_sigma * min(height, width) / 30
            centres = [places[i] for i in scores.argmax(dim=0).tolist()]
            squared = [[(y - b) ** 2 + (x - a) ** 2 for b, a in centres] for y, x in places]
            scores = scores - torch.tensor(squared) / (2 * sigma**2)
        if read.top_k is not None and read.top_k < keys.shape[1]:
            least = scores.topk(read.top_k, dim=1).values[:, -1:]
            scores = scores.masked_fill(scores < least, -torch.inf)
        readouts.append(value.flatten(1) @ scores.softmax(dim=1).T)
    return torch.stack(readouts).unflatten(2, (height, width))


@torch.no_grad()
@pytest.mark.parametrize(
    "read",
    [
        ReadSettings(),
        ReadSettings(top_k=7),
        ReadSettings(kernel_sigma=9.0),
        ReadSettings(top_k=7, kernel_sigma=9.0, dense_bytes=0, block_bytes=500),
    ],
)
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("times", [[3], [2, 0], [4, 30, 9, 0, 5, 6], None])
@pytest.mark.parametrize("name", NETWORKS)
def test_the_read_equals_a_plain_one(
    name: str, times: list[int] | None, dtype: torch.dtype, read: ReadSettings
) -> None:
    network = ordered(name)
    generator = torch.Generator().manual_seed(0)
    frames = 5 if times is None else len(times)
    shapes = [
        (1, network.key_dim, 3, 4),
        (1, 1 if network.shared_key else 2, network.key_dim, frames, 3, 4),
        (1, 2, network.value_dim, frames, 3, 4),
    ]
    query_key, key, value = (torch.randn(s, generator=generator).to(dtype) for s in shapes)
    query = QueryFeatures(query_key, query_key, query_key, query_key, query_key)
    memory = MemoryFrames(key, value, None if times is None else torch.tensor(times))
    with torch.autocast("cpu", torch.bfloat16, enabled=dtype == torch.bfloat16):
        readout, _ = network.read(query, memory, read)
    expected = plain_readout(network, query, memory, times or list(range(frames)), read)
    tolerance = 1e-4 if dtype == torch.float32 else 0.03  # values are weighted in bfloat16
    torch.testing.assert_close(readout[0].float(), expected, atol=tolerance, rtol=tolerance)


MEMORIES: list[dict[str, Any]] = [
    {"max_frames": None},
    {"max_frames": 2},
    {"max_frames": 2, "eviction": "usage"},
    {"max_frames": None, "long_term": {"min_frames": 2, "max_frames": 4, "prototypes": 3}},
]


@pytest.mark.parametrize(
    ("precision", "memory"), [*(("fp32", memory) for memory in MEMORIES), ("bf16", MEMORIES[-1])]
)
@pytest.mark.parametrize("name", NETWORKS)
def test_a_segmenter_knows_the_order_of_its_memory(
    name: str, precision: str, memory: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two objects, a third one from frame 5, the first removed, a given one corrected."""
    settings = {"every": 2, "top_k": None, "kernel": {"sigma": 12.0}, **memory}
    segmenter = VideoSegmenter(ordered(name), memory=settings, precision=precision)
    network = segmenter.model
    written: dict[str, Any] = {}
    encode = recorded(network.encode_memory, written, "frame")
    monkeypatch.setattr(network, "encode_memory", encode)
    remembered: dict[int, Tensor] = {}
    """Time -> values of all objects of then, (N, Cv, h * w)."""
    checked = []

    def times_of(group: MemoryFrames) -> list[int]:
        """Return the time of each of a group's T frames, found by its values."""
        value = group.value[0, -1].flatten(1)
        size = next(iter(remembered.values())).shape[2]
        prototypes = value.shape[1] % size
        while value[:, prototypes : prototypes + size].tolist() not in known:
            prototypes += size
        found = [
            time
            for part in value[:, prototypes:].split(size, dim=1)
            for time, own in remembered.items()
            if any(torch.equal(part, one) for one in own)
        ]
        if group.value.shape[4:] == (1, 1):
            found = [time for time in found for _ in range(size)]
        return [PROTOTYPES] * prototypes + found

    def read(query: QueryFeatures, group: MemoryFrames, how: ReadSettings) -> Any:
        readout, attention = type(network).read(network, query, group, how)
        times = times_of(group)
        expected = plain_readout(network, query, group, times, how)
        tolerance = 1e-3 if precision == "fp32" else 0.05
        torch.testing.assert_close(readout[0].float(), expected, atol=tolerance, rtol=tolerance)
        checked.append(times)
        return readout, attention

    monkeypatch.setattr(network, "read", read)
    for time, frame in enumerate(recurring(14)):
        if time == 10:
            segmenter.remove_object(7)
        known = [own.tolist() for values in remembered.values() for own in values]
        given = {0: TWO, 5: label_map((9, 20, 20)), 8: label_map((200, 30, 40))}
        segmenter.step(frame, given.get(time))
        if "frame" in written:
            remembered[time] = written.pop("frame").value[0, :, :, 0].flatten(2)
    in_order = [times == sorted(times) for times in checked]
    assert all(in_order) == (memory["max_frames"] is None)
    assert any(PROTOTYPES in times for times in checked) == ("long_term" in memory)


@torch.no_grad()
@pytest.mark.parametrize("name", NETWORKS)
@pytest.mark.parametrize(
    "limits", [{"every": 1, "max_frames": None}, {"every": 2, "max_frames": 2}]
)
def test_training_reads_in_the_order_of_inference(name: str, limits: dict[str, Any]) -> None:
    network = ordered(name)
    frames = torch.stack([torch.from_numpy(f) for f in video(9, 48, 64)]).permute(0, 3, 1, 2) / 255
    labels = label_map((1, 5, 5), (2, 30, 40), shape=(48, 64))
    memory = {**limits, "keep_previous": False, "top_k": None, "kernel": None}
    predictions = list(VideoSegmenter(network, memory=memory).run(frames, labels))
    masks = torch.stack([torch.from_numpy(labels == i) for i in (1, 2)])[None].float()
    valid = torch.ones(1, 2, dtype=torch.bool)
    settings = UnrollMemorySettings(**limits)
    unrolled = unroll(network, frames[None], masks, valid, settings)
    without = unroll(build_small(name), frames[None], masks, valid, settings)
    assert (without[-1].logits - unrolled[-1].logits).abs().max() > 1e-3
    for prediction, segmentation in zip(predictions[1:], unrolled, strict=True):
        torch.testing.assert_close(
            prediction.probabilities, segmentation.probabilities[0], atol=1e-4, rtol=1e-3
        )


@pytest.mark.parametrize("name", NETWORKS)
def test_a_network_starts_as_without_embeddings(name: str) -> None:
    plain, fresh = build_small(name), build_small(name, temporal_embedding=True)
    added = {"temporal_embedding.query", "temporal_embedding.memory"}
    assert set(fresh.state_dict()) - set(plain.state_dict()) == added
    assert set(plain.state_dict()) < set(fresh.state_dict())
    expected, obtained = (
        [p.probabilities for p in VideoSegmenter(network).run(video(7), TWO)]
        for network in (plain, fresh)
    )
    torch.testing.assert_close(obtained, expected, atol=1e-6, rtol=1e-5)


@pytest.mark.parametrize("name", NETWORKS)
def test_gradients_reach_the_embeddings(name: str) -> None:
    network = build_small(name, temporal_embedding=True)
    frames = torch.rand(1, 6, 3, 48, 64, generator=torch.Generator().manual_seed(0))
    masks = torch.zeros(1, 1, 48, 64)
    masks[..., 8:24, 8:30] = 1
    valid = torch.ones(1, 1, dtype=torch.bool)
    for length, rows in ((3, [True, False, False, True]), (6, [True, True, True, True])):
        network.zero_grad()
        segmentations = unroll(network, frames[:, :length], masks, valid)
        torch.stack([s.logits.square().mean() for s in segmentations]).sum().backward()
        query, memory = (vectors.grad for vectors in vectors_of(network))
        assert query is not None
        assert memory is not None
        assert query.any()
        assert memory.any(dim=1).tolist() == rows


@pytest.mark.parametrize("memory", MEMORIES)
def test_a_paused_video_keeps_the_order_of_its_memory(
    memory: dict[str, Any], tmp_path: Path
) -> None:
    network = ordered("stm")
    settings = {"every": 2, **memory}
    frames = list(video(16))
    paused, resumed = (VideoSegmenter(network, memory=settings) for _ in range(2))
    for time, frame in enumerate(frames[:11]):
        paused.step(frame, {0: TWO, 4: label_map((200, 20, 20))}.get(time))
    paused.save_memory(tmp_path / "memory.safetensors")
    resumed.load_memory(tmp_path / "memory.safetensors")
    for frame in frames[11:]:
        expected, obtained = paused.step(frame), resumed.step(frame)
        assert torch.equal(expected.network_probabilities, obtained.network_probabilities)

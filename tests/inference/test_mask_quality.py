"""The network's estimate of its masks' IoU: what users, gates and saved memories get of it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest
import torch
from torch import Tensor

from scmn import AugmentedSegmenter, VideoSegmenter
from scmn.networks.base import MemoryNetwork
from scmn.networks.features import QueryFeatures
from scmn.training.unroll import unroll
from tests.conftest import build_small
from tests.inference.clips import TWO, label_map, predictions_around_a_pause, video


@pytest.fixture
def network() -> MemoryNetwork:
    return build_small("scmn", mask_quality=True)


@torch.no_grad()
def test_confidence_is_what_training_rates(network: MemoryNetwork) -> None:
    frames = torch.rand(1, 4, 3, 48, 64, generator=torch.Generator().manual_seed(0))
    labels = TWO[:48, :64].copy()
    masks = torch.stack([torch.from_numpy(labels == i) for i in (7, 200)])[None].float()
    segmenter = VideoSegmenter(network, memory={"every": 1, "keep_previous": True})
    first, *predictions = segmenter.run(frames[0], labels)
    assert first.confidence.tolist() == [1.0, 1.0]
    rated = unroll(network, frames, masks, torch.ones(1, 2, dtype=torch.bool))
    for prediction, segmentation in zip(predictions, rated, strict=True):
        assert segmentation.quality is not None
        torch.testing.assert_close(
            prediction.confidence, segmentation.quality[0], atol=1e-4, rtol=0
        )


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_masks_do_not_depend_on_the_estimate(precision: str) -> None:
    segmenters = [
        VideoSegmenter(build_small("scmn", mask_quality=switch), precision=precision)
        for switch in (True, False)
    ]
    for time, frame in enumerate(video(4)):
        with_it, without = (s.step(frame, TWO if time == 0 else None) for s in segmenters)
        assert torch.equal(with_it.network_probabilities, without.network_probabilities)
        assert torch.equal(with_it.present, without.present)
        assert without.quality is None


def test_given_masks_are_rated_one(network: MemoryNetwork) -> None:
    segmenter = VideoSegmenter(network)
    frames = list(video(4))
    assert segmenter.step(frames[0]).confidence.shape == (0,)
    segmenter.step(frames[1], TWO)
    plain = VideoSegmenter(network)
    plain.step(frames[1], TWO)
    added = segmenter.step(frames[2], label_map((3, 20, 20)))
    estimated = plain.step(frames[2]).confidence
    assert added.object_ids == (7, 200, 3)
    assert torch.equal(added.confidence[:2], estimated)
    assert added.confidence[2] == 1
    corrected = segmenter.step(frames[3], label_map((200, 20, 20)))
    assert corrected.confidence[1] == 1
    assert (corrected.confidence[[0, 2]] < 1).all()


def favour_objects(network: MemoryNetwork, by: float) -> MemoryNetwork:
    """Shift the logits of all objects, so that random weights give masks, or none."""
    with torch.no_grad():
        network.get_parameter("refinement.exit.bias").copy_(torch.tensor([-by, by]) / 2)
    return network


def rate(network: MemoryNetwork, numbers: Sequence[Sequence[float]]) -> None:
    """Let the estimates of the two objects be these, frame by frame."""
    remaining = iter(numbers)

    def estimate(query: QueryFeatures, readouts: Sequence[Tensor], masks: Tensor) -> Tensor:
        return torch.tensor([next(remaining)])

    network.estimate_quality = estimate  # type: ignore[method-assign, assignment]


@pytest.mark.parametrize(
    ("numbers", "remembered"),
    [
        ([0.81, 0.81], [0, 1, 2, 3]),
        ([0.79, 0.79], [0]),
        ([0.79, 0.81], [0, 1, 2, 3]),  # they share the frames, with weights
    ],
)
def test_gate_follows_the_estimate(
    network: MemoryNetwork, numbers: list[float], remembered: list[int]
) -> None:
    memory = {"every": 1, "keep_previous": False, "gate": {"confidence": 0.8}}
    segmenter = VideoSegmenter(favour_objects(network, 3), memory=memory)
    rate(segmenter.model, [numbers] * 3)
    for time, frame in enumerate(video(4)):
        prediction = segmenter.step(frame, TWO if time == 0 else None)
        assert prediction.present.all()
    assert segmenter.bank.remembered_times(7) == tuple(remembered)
    (memory_frames,) = segmenter.bank.memory()
    for position, number in enumerate(numbers):
        weights = memory_frames.value[0, position, -1, :, 0, 0]
        assert weights.tolist() == [1.0] + [float(number > 0.8)] * (len(remembered) - 1)


def test_an_empty_mask_is_rated_and_not_remembered(network: MemoryNetwork) -> None:
    memory = {"every": 1, "keep_previous": False, "gate": {"confidence": 0.8}}
    segmenter = VideoSegmenter(favour_objects(network, -100), memory=memory)
    rate(segmenter.model, [[0.9, 0.9]])
    frames = list(video(2))
    segmenter.step(frames[0], TWO)
    prediction = segmenter.step(frames[1])
    assert not prediction.present.any()
    torch.testing.assert_close(prediction.confidence, torch.tensor([0.9, 0.9]))
    assert segmenter.bank.remembered_times(7) == (0,)


def test_both_directions_and_views_keep_the_estimate(network: MemoryNetwork) -> None:
    frames = list(video(3))
    segmenter = VideoSegmenter(network)
    forward = [p.confidence for p in segmenter.run(frames[1:], TWO)]
    backward = [p.confidence for p in segmenter.run(frames[1::-1], TWO)]
    both = [p.confidence for p in segmenter.run(frames, {1: TWO}, direction="both")]
    for obtained, expected in zip(both, [backward[1], *forward], strict=True):
        torch.testing.assert_close(obtained, expected, atol=1e-4, rtol=0)
    mirrored = [p.confidence for p in segmenter.run([f[:, ::-1] for f in frames[1:]], TWO[:, ::-1])]
    views = [p.confidence for p in AugmentedSegmenter(network).run(frames[1:], TWO)]
    for obtained, a, b in zip(views, forward, mirrored, strict=True):
        torch.testing.assert_close(obtained, (a + b) / 2, atol=1e-4, rtol=0)


def test_a_video_is_paused_with_its_estimates(network: MemoryNetwork, tmp_path: Path) -> None:
    memory = {"every": 2, "gate": {"confidence": 0.5}}
    file = tmp_path / "memory.safetensors"
    pairs = list(predictions_around_a_pause(network, memory, file, frames=6, pause=3))
    assert len(pairs) == 3
    for first, second in pairs:
        assert torch.equal(first.network_probabilities, second.network_probabilities)
        assert torch.equal(first.confidence, second.confidence)


def test_a_mask_that_absence_empties_is_rated_zero(network: MemoryNetwork) -> None:
    segmenter = VideoSegmenter(favour_objects(network, 3), memory={"absence": {"confidence": 1.0}})
    rate(segmenter.model, [[0.9, 0.8]])
    frames = list(video(2))
    segmenter.step(frames[0], TWO)
    prediction = segmenter.step(frames[1])
    assert not prediction.present.any()
    assert prediction.confidence.tolist() == [0.0, 0.0]

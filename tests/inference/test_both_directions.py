"""Videos segmented from masks in the middle, forward and backward."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from scmn import AugmentedSegmenter, InputError, Prediction, VideoSegmenter
from scmn.inference.both_directions import meeting_frame
from scmn.networks.aggregation import soft_aggregation
from scmn.networks.base import MemoryNetwork
from tests.conftest import build_small
from tests.inference.clips import TWO, label_map, video

FRAMES = 7
HALF: Any = {"atol": 1e-3, "rtol": 1e-3}
"""Predictions wait for the other pass in half precision."""


def mask(prediction: Prediction, object_id: int) -> Tensor:
    return prediction.network_probabilities[1 + prediction.object_ids.index(object_id)]


def surer_pass(
    object_id: int, annotated: list[int], forward: list[Prediction], backward: list[Prediction]
) -> list[Prediction]:
    """Return the prediction that an object's mask is taken from, for each frame."""
    taken = backward[: annotated[0]] + forward[annotated[0] :]
    for start, end in pairwise(annotated):
        between = range(start + 1, end)
        sure = {
            time: [float(p.confidence[p.object_ids.index(object_id)]) for p in passes]
            for time in between
            for passes in [(forward[time], backward[time])]
        }
        change = max(
            range(start + 1, end + 1),
            key=lambda change: sum(sure[time][time >= change] for time in between),
        )
        taken[change:end] = backward[change:end]
    return taken


def test_a_mask_in_the_middle_is_carried_both_ways(small_model: MemoryNetwork) -> None:
    frames, middle = list(video(FRAMES)), 3
    segmenter = VideoSegmenter(small_model)
    obtained = list(segmenter.run(frames, {middle: TWO}, direction="both"))
    forward = list(segmenter.run(frames[middle:], TWO))
    backward = list(segmenter.run(frames[middle::-1], TWO))
    expected = backward[:0:-1] + forward
    assert len(obtained) == FRAMES
    for a, b in zip(obtained, expected, strict=True):
        torch.testing.assert_close(a.probabilities, b.probabilities, **HALF)
        assert a.object_ids == (7, 200)
    assert np.array_equal(obtained[middle].labels, TWO)


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
@pytest.mark.parametrize("name", ["stm", "stcn", "scmn"])
def test_between_label_maps_each_object_changes_to_the_surer_pass(
    name: str, precision: str
) -> None:
    frames = list(video(FRAMES))
    labels = {0: label_map((7, 5, 5)), 2: label_map((200, 30, 40)), 5: TWO}
    segmenter = VideoSegmenter(build_small(name), precision=precision)
    obtained = list(segmenter.run(iter(frames), labels, direction="both"))
    forward = list(segmenter.run(frames, labels))
    backward = list(segmenter.run(frames[5::-1], {0: TWO, 3: labels[2], 5: labels[0]}))[::-1]
    taken = [
        surer_pass(7, [0, 5], forward, backward),
        surer_pass(200, [2, 5], forward, backward),
    ]
    mixed = 0
    for prediction, of_7, of_200 in zip(obtained, *taken, strict=True):
        assert prediction.object_ids == (7, 200)
        masks = torch.stack([mask(of_7, 7), mask(of_200, 200)])
        if of_7 is not of_200:
            mixed += 1
            masks = soft_aggregation(masks[None])[0][0, 1:]
        torch.testing.assert_close(prediction.network_probabilities[1:], masks, **HALF)
    assert mixed
    for time, object_id in ((0, 7), (2, 200), (5, 7), (5, 200)):
        assert np.array_equal(obtained[time].labels == object_id, labels[time] == object_id)


@settings(max_examples=50, deadline=None)
@given(st.lists(st.tuples(st.floats(0, 1), st.floats(0, 1)), max_size=12))
def test_the_passes_meet_where_the_sum_of_confidence_is_largest(
    pairs: list[tuple[float, float]],
) -> None:
    forward, backward = [a for a, _ in pairs], [b for _, b in pairs]
    kept = meeting_frame(forward, backward)
    best = max(sum(forward[:n]) + sum(backward[n:]) for n in range(len(pairs) + 1))
    assert sum(forward[:kept]) + sum(backward[kept:]) == pytest.approx(best)


def test_passes_whose_confidence_falls_meet_where_it_is_equal() -> None:
    assert meeting_frame([0.9, 0.8, 0.7, 0.6, 0.5], [0.4, 0.55, 0.65, 0.75, 0.85]) == 3


def test_one_label_map_on_the_first_frame_needs_no_backward_pass() -> None:
    segmenter = VideoSegmenter(build_small("stcn"))
    expected = list(segmenter.run(video(4), TWO))
    for a, b in zip(segmenter.run(video(4), TWO, direction="both"), expected, strict=True):
        torch.testing.assert_close(a.probabilities, b.probabilities, **HALF)


def test_augmented_views_run_in_both_directions() -> None:
    segmenter = AugmentedSegmenter(build_small("stcn"), scales=[1.0, 1.5])
    predictions = list(segmenter.run(video(4), {2: TWO}, direction="both"))
    assert [p.object_ids for p in predictions] == [(7, 200)] * 4
    assert np.array_equal(predictions[2].labels, TWO)


def test_wrong_use_of_both_directions_is_refused() -> None:
    segmenter = VideoSegmenter(build_small("stcn"))
    with pytest.raises(InputError, match="unknown direction 'back': use forward or both"):
        next(segmenter.run(video(2), TWO, direction="back"))
    with pytest.raises(InputError, match="label map for frame 4, but the video has only 2 frames"):
        next(segmenter.run(video(2), {4: TWO}, direction="both"))
    frames = [*video(2), *video(1, 30, 40)]
    with pytest.raises(InputError, match="backward from frame 1: frame 1 is "):
        next(segmenter.run(frames[::-1], {1: TWO}, direction="both"))
    run = segmenter.run(video(4), {1: TWO}, direction="both")
    next(run)
    segmenter.reset()
    with pytest.raises(InputError, match="used for other frames"):
        list(run)

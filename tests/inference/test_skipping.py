"""Frames whose prediction is not needed: the others' predictions do not change."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pytest
import torch
from torch import Tensor

from scmn import InputError, VideoSegmenter
from scmn.inference.augmentation import AugmentedSegmenter
from scmn.inference.base import Segmenter
from tests.conftest import build_small
from tests.inference.clips import TWO, label_map, video

FRAMES = 12
LABELS = {1: TWO, 4: label_map((3, 20, 20))}
NEEDED = {4, 6, 11}
"""Besides, frame 1 is given, and a memory of every third frame remembers 7 and 10."""


def predictions(segmenter: Segmenter, *, skipping: bool) -> tuple[dict[int, Tensor], list[int]]:
    """Return the probabilities of the needed frames, and which frames were segmented."""
    probabilities, segmented = {}, []
    for time, frame in enumerate(video(FRAMES)):
        if not skipping or time in NEEDED:
            probabilities[time] = segmenter.step(frame, LABELS.get(time)).probabilities
            segmented.append(time)
        elif segmenter.skip(frame, LABELS.get(time)):
            segmented.append(time)
    return {time: probabilities[time] for time in NEEDED}, segmented


@pytest.mark.parametrize(
    ("name", "memory", "segmented"),
    [
        ("stcn", {"every": 3}, [1, 4, 6, 7, 10, 11]),
        ("stm", {"every": 3, "keep_previous": False}, [1, 4, 6, 7, 10, 11]),
        ("stm", {"every": 3}, list(range(1, FRAMES))),  # the previous frame is remembered
        ("scmn", {"every": 3, "keep_previous": False}, list(range(1, FRAMES))),  # previous masks
    ],
)
def test_skipping_segments_only_what_later_predictions_need(
    name: str, memory: Mapping[str, object], segmented: list[int]
) -> None:
    segmenter = VideoSegmenter(build_small(name), memory=memory)
    expected, _ = predictions(segmenter, skipping=False)
    segmenter.reset()
    obtained, not_skipped = predictions(segmenter, skipping=True)
    assert not_skipped == segmented
    for time in NEEDED:
        assert torch.equal(obtained[time], expected[time])


def test_a_frame_that_is_not_segmented_costs_no_network_pass(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    segmenter = VideoSegmenter(build_small("stcn"))
    first, second, third = video(3)
    segmenter.step(first, TWO)
    with monkeypatch.context() as patch:
        patch.setattr(segmenter.model, "encode_query", None)
        patch.setattr("scmn.inference.segmenter.image_tensor", None)
        assert not segmenter.skip(second)
    assert segmenter.step(third).object_ids == (7, 200)


def test_no_frame_is_skipped_whose_read_shows_what_is_used() -> None:
    segmenter = VideoSegmenter(build_small("stcn"), memory={"long_term": {}})
    first, second = video(2)
    segmenter.step(first, TWO)
    assert segmenter.skip(second)


def test_a_skipped_frame_is_not_enlarged(monkeypatch: pytest.MonkeyPatch) -> None:
    segmenter = VideoSegmenter(build_small("stm"))
    first, second = video(2)
    monkeypatch.setattr("scmn.inference.prediction.most_probable", None)
    assert segmenter.skip(first, TWO)
    assert segmenter.skip(second)
    assert segmenter.bank.remembered_times(7) == (0, 1)
    with pytest.raises(InputError, match="no objects"):
        segmenter.skip(second, np.zeros_like(TWO))


def test_skipping_with_test_time_augmentation() -> None:
    segmenter = AugmentedSegmenter(build_small("stcn"), flip=True, memory={"every": 3})
    expected, _ = predictions(segmenter, skipping=False)
    segmenter.reset()
    obtained, segmented = predictions(segmenter, skipping=True)
    assert segmented == [1, 4, 6, 7, 10, 11]
    for time in NEEDED:
        assert torch.equal(obtained[time], expected[time])

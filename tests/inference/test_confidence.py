"""Confidence and presence of objects, from the probabilities of a frame."""

from __future__ import annotations

import pytest
import torch

from scmn import VideoSegmenter
from scmn.inference.geometry import FrameGeometry
from scmn.inference.prediction import Prediction
from tests.conftest import build_small
from tests.inference.clips import TWO, video


def test_confidence_is_the_mean_margin_over_the_mask() -> None:
    # Background and three objects in four pixels: 1 has two pixels, 2 one, 3 none.
    probabilities = torch.tensor(
        [
            [0.1, 0.2, 0.3, 0.9],
            [0.8, 0.5, 0.1, 0.05],
            [0.1, 0.25, 0.6, 0.05],
            [0.0, 0.05, 0.0, 0.0],
        ]
    ).view(4, 1, 4)
    geometry = FrameGeometry((1, 4), (1, 4))
    prediction = Prediction((5, 6, 9), geometry, probabilities)
    first = ((1 - 0.1 / 0.8) + (1 - 0.25 / 0.5)) / 2
    torch.testing.assert_close(prediction.confidence, torch.tensor([first, 1 - 0.3 / 0.6, 0.0]))
    assert prediction.present.tolist() == [True, True, False]


@pytest.mark.parametrize("name", ["stm", "stcn", "scmn"])
def test_given_objects_are_certain_and_present(name: str) -> None:
    segmenter = VideoSegmenter(build_small(name))
    frames = list(video(2))
    before = segmenter.step(frames[0])
    assert before.confidence.shape == before.present.shape == (0,)
    given = segmenter.step(frames[1], TWO)
    assert given.present.all()
    assert (given.confidence > 0.99).all()

"""VideoSegmenter rejects wrong label maps, frames and settings."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from scmn import InputError, VideoSegmenter
from tests.conftest import build_small
from tests.inference.clips import HEIGHT, TWO, WIDTH, video


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        (np.zeros((HEIGHT, WIDTH), np.uint8), "no objects"),
        (np.ones((10, 10), np.uint8), "10x10, its frame 50x70"),
        (np.ones((HEIGHT, WIDTH, 3), np.uint8), "50x70x3"),
        (np.ones((HEIGHT, WIDTH), np.float32), "float32, not integers"),
        (np.full((HEIGHT, WIDTH), 300, np.int64), "300"),
    ],
)
def test_step_rejects_wrong_label_maps(labels: np.ndarray, message: str) -> None:
    segmenter = VideoSegmenter(build_small("stm"))
    image = next(video(1))
    with pytest.raises(InputError, match=message):
        segmenter.step(image, labels)
    # The error did not change the segmenter's state.
    assert np.array_equal(segmenter.step(image, TWO).labels, TWO)


def test_step_rejects_wrong_frames() -> None:
    segmenter = VideoSegmenter(build_small("stm"))
    with pytest.raises(InputError, match="uint8"):
        segmenter.step(np.zeros((HEIGHT, WIDTH), np.uint8))
    with pytest.raises(InputError, match="float"):
        segmenter.step(torch.zeros(3, HEIGHT, WIDTH, dtype=torch.uint8))
    with pytest.raises(InputError, match="not list"):
        segmenter.step([[1, 2]])  # type: ignore[arg-type]
    with pytest.raises(InputError, match="at least 16x16"):
        segmenter.step(np.zeros((15, 40, 3), np.uint8))
    segmenter.step(next(video(1)), TWO)
    with pytest.raises(InputError, match=r"frame 1 is 64x80, but .* 50x70"):
        segmenter.step(np.zeros((64, 80, 3), np.uint8))


def test_constructor_rejects_wrong_settings() -> None:
    model = build_small("stm")
    with pytest.raises(InputError, match="did you mean 'max_frames'"):
        VideoSegmenter(model, memory={"max_frame": 3})
    with pytest.raises(InputError, match="unknown precision 'fp8'"):
        VideoSegmenter(model, precision="fp8")
    with pytest.raises(InputError, match="needs a GPU"):
        VideoSegmenter(model, precision="fp16")
    with pytest.raises(InputError, match="unknown device"):
        VideoSegmenter(model, device="gpu0")
    for name, value in (("size", 0), ("size", -5), ("scale", -1.0), ("objects_per_batch", -1)):
        with pytest.raises(InputError, match=f"{name} must be above 0"):
            VideoSegmenter(model, **{name: value})  # type: ignore[arg-type]
    with pytest.raises(InputError, match="more than max_objects=1"):
        VideoSegmenter(model, max_objects=1).step(next(video(1)), TWO)

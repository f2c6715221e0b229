"""VideoSegmenter rejects wrong label maps, frames and settings."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest
import torch
from PIL import ExifTags, Image

from scmn import AugmentedSegmenter, InputError, VideoSegmenter
from scmn.inference.base import Segmenter
from scmn.inference.frames import image_tensor
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


@pytest.mark.parametrize(
    ("number", "message"),
    [(np.nan, "nan"), (np.inf, "inf"), (255.0, r"in \[0, 1\], not 0.5..255"), (-0.5, "-0.5")],
)
def test_step_rejects_floats_outside_0_to_1(number: float, message: str) -> None:
    segmenter = VideoSegmenter(build_small("stm"))
    frame = torch.full((3, HEIGHT, WIDTH), 0.5)
    segmenter.step(frame, TWO)
    wrong = frame.clone()
    wrong[1, 2, 3] = number
    with pytest.raises(InputError, match=message):
        segmenter.step(wrong)
    assert segmenter.frame_count == 1
    assert segmenter.step(frame).object_ids == (7, 200)


@pytest.mark.parametrize("mode", ["I;16", "F", "I"])
def test_step_rejects_images_of_more_than_eight_bits(mode: str) -> None:
    image = Image.new(mode, (WIDTH, HEIGHT))
    with pytest.raises(InputError, match=f"eight bits a channel, not mode {mode}"):
        VideoSegmenter(build_small("stm")).step(image, TWO)


def test_images_are_turned_as_the_camera_was_held() -> None:
    upright = Image.fromarray(next(video(1)))
    turned = upright.transpose(Image.Transpose.ROTATE_90)
    turned.getexif()[ExifTags.Base.Orientation] = 6  # to be turned by 90 degrees clockwise
    found, expected = (image_tensor(image, torch.device("cpu")) for image in (turned, upright))
    assert torch.equal(found, expected)


def segmenters() -> list[Segmenter]:
    network = build_small("stm")
    return [VideoSegmenter(network), AugmentedSegmenter(network)]


@pytest.mark.parametrize("segmenter", segmenters(), ids=["plain", "augmented"])
def test_interleaved_runs_are_refused(segmenter: Segmenter) -> None:
    frames = list(video(3))
    first, second = segmenter.run(frames, TWO), segmenter.run(frames, TWO)
    next(first)
    next(second)
    with pytest.raises(InputError, match="frame 1: the segmenter was used for other frames"):
        next(first)
    assert len(list(second)) == 2
    interrupted = segmenter.run(frames, TWO)
    next(interrupted)
    segmenter.step(frames[1])
    with pytest.raises(InputError, match="make one for each video"):
        next(interrupted)


@pytest.mark.parametrize("segmenter", segmenters(), ids=["plain", "augmented"])
def test_a_second_thread_is_refused(segmenter: Segmenter) -> None:
    def while_stepping(frame: Image.Image) -> None:
        with ThreadPoolExecutor(1) as other, pytest.raises(InputError, match="another thread"):
            other.submit(segmenter.reset).result()

    class Frame(Image.Image):
        """Its conversion happens within the step."""

        def convert(self, *args: Any, **kwargs: Any) -> Image.Image:
            while_stepping(self)
            return Image.fromarray(next(video(1)))

    frame = Frame()
    frame.__setstate__(Image.fromarray(next(video(1))).__getstate__())
    segmenter.step(frame, TWO)
    segmenter.reset()


def test_constructor_rejects_wrong_settings() -> None:
    model = build_small("stm")
    with pytest.raises(InputError, match="needs a GPU"):
        VideoSegmenter(model, precision="fp16")
    with pytest.raises(InputError, match="unknown device"):
        VideoSegmenter(model, device="gpu0")
    with pytest.raises(InputError, match="more than max_objects=1"):
        VideoSegmenter(model, max_objects=1).step(next(video(1)), TWO)

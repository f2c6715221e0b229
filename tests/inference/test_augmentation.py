"""Test-time augmentation."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from scmn import AugmentedSegmenter, InputError, VideoSegmenter
from scmn.networks.base import MemoryNetwork
from tests.conftest import build_small
from tests.inference.clips import HEIGHT, TWO, WIDTH, video


def test_single_view_equals_the_segmenter(small_model: MemoryNetwork) -> None:
    plain = list(VideoSegmenter(small_model).run(video(4), TWO))
    views = list(AugmentedSegmenter(small_model, flip=False).run(video(4), TWO))
    for a, b in zip(plain, views, strict=True):
        assert np.array_equal(a.labels, b.labels)
        torch.testing.assert_close(a.probabilities, b.probabilities)


def test_flip_makes_the_result_symmetric() -> None:
    model = build_small("stcn")
    width = 64  # a multiple of 16: padding is not symmetric
    frames = [f[:48, :width] for f in video(3)]
    labels = TWO[:48, :width]
    normal = list(AugmentedSegmenter(model).run(frames, labels))
    mirrored = list(AugmentedSegmenter(model).run([f[:, ::-1] for f in frames], labels[:, ::-1]))
    for a, b in zip(normal, mirrored, strict=True):
        torch.testing.assert_close(a.probabilities, b.probabilities.flip(-1), atol=1e-4, rtol=1e-3)


def test_views_share_labels_objects_and_size() -> None:
    segmenter = AugmentedSegmenter(build_small("scmn"), scales=[1.0, 1.5], flip=True)
    frames = list(video(3))
    first = segmenter.step(frames[0], TWO)
    assert np.array_equal(first.labels, TWO)
    segmenter.remove_object(7)
    prediction = segmenter.step(frames[1])
    assert prediction.object_ids == segmenter.object_ids == (200,)
    assert prediction.labels.shape == (HEIGHT, WIDTH)


def test_order_of_scales_does_not_matter() -> None:
    model = build_small("stcn")
    first = AugmentedSegmenter(model, scales=[0.5, 1.0], flip=False)
    second = AugmentedSegmenter(model, scales=[1.0, 0.5], flip=False)
    for a, b in zip(first.run(video(3), TWO), second.run(video(3), TWO), strict=True):
        assert torch.equal(a.probabilities, b.probabilities)


def test_a_step_that_failed_in_one_view_is_not_continued(monkeypatch: pytest.MonkeyPatch) -> None:
    segmenter = AugmentedSegmenter(build_small("stcn"), scales=[1.0, 1.5], flip=False)
    frames = list(video(3))
    segmenter.step(frames[0], TWO)
    step = VideoSegmenter.step

    def failing(self: VideoSegmenter, *arguments: Any, **options: Any) -> Any:
        if self.scale == 1.0:  # the second view
            raise torch.OutOfMemoryError
        return step(self, *arguments, **options)

    with monkeypatch.context() as patch:
        patch.setattr(VideoSegmenter, "step", failing)
        with pytest.raises(torch.OutOfMemoryError):
            segmenter.step(frames[1])
    for advance in (segmenter.step, segmenter.skip):
        with pytest.raises(InputError, match=r"call reset\(\)"):
            advance(frames[1])
    segmenter.reset()
    assert segmenter.step(frames[0], TWO).object_ids == (7, 200)


def test_a_scale_is_given_among_scales() -> None:
    with pytest.raises(InputError, match="scale must be given among scales"):
        AugmentedSegmenter(build_small("stcn"), scale=2.0)

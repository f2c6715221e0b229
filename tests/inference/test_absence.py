"""Objects that are taken for absent have an empty mask, each decided by itself."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from scmn import InputError, VideoSegmenter
from scmn.networks.features import Segmentation
from tests.conftest import build_small
from tests.inference.clips import TWO, label_map, video

LEAST = 0.7


def seen_or_not(segmentation: Segmentation, seen: list[bool]) -> Segmentation:
    """Return a segmentation with patches of all objects, which are background as likely or not.

    No patch is clear: each object's rival is another object where it is seen, else the background.
    """
    count, height, width = segmentation.probabilities[0].shape
    generator = torch.Generator().manual_seed(count)
    patches = torch.randint(0, count, (height // 8, width // 8), generator=generator)
    owners = patches.repeat_interleave(8, dim=0).repeat_interleave(8, dim=1)
    others = [channel % len(seen) + 1 for channel in range(1, count)]
    rivals = torch.tensor([1, *(o if sure else 0 for o, sure in zip(others, seen, strict=True))])
    rivals = rivals[owners]
    probabilities = segmentation.probabilities.new_full((count, height, width), 0.01)
    probabilities.scatter_(0, rivals[None], 0.4)
    probabilities.scatter_(0, owners[None], 0.5)
    return replace(segmentation, probabilities=(probabilities / probabilities.sum(0))[None])


def plain_presence(probabilities: Tensor, channel: int) -> float:
    """Return the mean of 1 - p0 / p over the pixels where a channel is the largest."""
    largest = probabilities.max(dim=0).values
    mask = probabilities[channel] == largest
    return float((1 - probabilities[0] / largest)[mask].mean()) if mask.any() else 0.0


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
@pytest.mark.parametrize("name", ["stm", "stcn", "scmn"])
def test_absent_objects_have_empty_masks_and_are_remembered_so(
    name: str, precision: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two objects, a third one from frame 3, and the first one removed before frame 5."""
    memory = {"absence": {"confidence": LEAST}, "every": 1}
    segmenter = VideoSegmenter(build_small(name), memory=memory, precision=precision)
    network, random = segmenter.model, np.random.default_rng(1)
    segment, encode_memory = network.segment, network.encode_memory
    segmented: list[Tensor] = []
    remembered: list[Tensor] = []

    def segment_patches(*args: Any, **options: Any) -> Segmentation:
        plain = segment(*args, **options)
        seen = random.random(plain.probabilities.shape[1] - 1) < 0.5
        changed = seen_or_not(plain, seen.tolist())
        segmented.append(changed.probabilities[0])
        return changed

    def encode(image: Tensor, object_masks: Tensor, *args: Any, **options: Any) -> Any:
        remembered.append(object_masks[0])
        return encode_memory(image, object_masks, *args, **options)

    monkeypatch.setattr(network, "segment", segment_patches)
    monkeypatch.setattr(network, "encode_memory", encode)
    decisions: list[bool] = []
    for time, frame in enumerate(video(9)):
        if time == 5:
            segmenter.remove_object(7)
        labels = {0: TWO, 3: label_map((9, 20, 20))}.get(time)
        prediction = segmenter.step(frame, labels)
        probabilities = prediction.network_probabilities
        if labels is not None:
            continue
        expected = prediction.geometry.crop(segmented[-1]).clone()
        absent = [
            plain_presence(expected, channel) < LEAST
            for channel in range(1, len(prediction.object_ids) + 1)
        ]
        expected[1:][absent] = 0
        expected /= expected.sum(dim=0)
        torch.testing.assert_close(probabilities, expected)
        assert not any(np.isin(prediction.labels, np.array(prediction.object_ids)[absent]).flat)
        for masks, is_absent in zip(remembered[-1], absent, strict=True):
            assert bool(masks.any()) != is_absent
        decisions += absent
    assert any(decisions)
    assert not all(decisions)


def test_a_given_mask_is_never_taken_for_absent() -> None:
    segmenter = VideoSegmenter(build_small("stm"), memory={"absence": {"confidence": 1.0}})
    first, second = video(2)
    assert segmenter.step(first).object_ids == ()
    prediction = segmenter.step(second, TWO)
    assert np.array_equal(prediction.labels, TWO)
    assert prediction.present.all()


@pytest.mark.parametrize("absence", [0.7, {"confidence": 1.5}, {"share": 0.7}])
def test_wrong_absences_are_refused(absence: object) -> None:
    with pytest.raises(InputError, match=r"memory\.absence"):
        VideoSegmenter(build_small("stm"), memory={"absence": absence})

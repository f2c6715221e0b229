"""The unroll equals inference, and gradients flow through the memory."""

from __future__ import annotations

import torch

from scmn import VideoSegmenter
from scmn.networks.base import MemoryNetwork
from scmn.training.settings import UnrollMemorySettings
from scmn.training.unroll import encode_queries, unroll
from tests.conftest import build_small


def clip(objects: int = 2, length: int = 4) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Return frames (1, T, 3, H, W), hard masks (1, N, H, W) and their label map."""
    generator = torch.Generator().manual_seed(0)
    frames = torch.rand(1, length, 3, 48, 64, generator=generator)
    labels = torch.zeros(48, 64, dtype=torch.uint8)
    for number in range(objects):
        labels[8:24, 4 + 20 * number : 20 + 20 * number] = number + 1
    masks = torch.stack([labels == number + 1 for number in range(objects)]).unsqueeze(0).float()
    return frames, masks, labels


@torch.no_grad()
def test_unroll_equals_inference(small_model: MemoryNetwork) -> None:
    frames, masks, labels = clip()
    everything = {"every": 1, "top_k": None, "keep_previous": True, "kernel": None}
    segmenter = VideoSegmenter(small_model, memory=everything)
    predictions = list(segmenter.run(frames[0], labels.numpy()))
    segmentations = unroll(small_model, frames, masks, torch.ones(1, 2, dtype=torch.bool))
    for prediction, segmentation in zip(predictions[1:], segmentations, strict=True):
        torch.testing.assert_close(
            prediction.probabilities, segmentation.probabilities[0], atol=1e-4, rtol=1e-3
        )


@torch.no_grad()
def test_unroll_with_limited_memory_equals_inference(small_model: MemoryNetwork) -> None:
    frames, masks, labels = clip(length=7)
    limited = {"every": 2, "top_k": None, "keep_previous": False, "max_frames": 1}
    segmenter = VideoSegmenter(
        small_model, memory={**limited, "keep_annotated": True, "kernel": None}
    )
    predictions = list(segmenter.run(frames[0], labels.numpy()))
    valid = torch.ones(1, 2, dtype=torch.bool)
    settings = UnrollMemorySettings(every=2, max_frames=1)
    segmentations = unroll(small_model, frames, masks, valid, settings)
    everything = unroll(small_model, frames, masks, valid)
    assert not torch.allclose(everything[-1].logits, segmentations[-1].logits, atol=1e-3)
    for prediction, segmentation in zip(predictions[1:], segmentations, strict=True):
        torch.testing.assert_close(
            prediction.probabilities, segmentation.probabilities[0], atol=1e-4, rtol=1e-3
        )


@torch.no_grad()
def test_unroll_is_unaffected_by_absent_objects(small_model: MemoryNetwork) -> None:
    frames, masks, _ = clip()
    padded = torch.cat([masks, torch.zeros_like(masks[:, :1])], dim=1)
    alone = unroll(small_model, frames, masks, torch.tensor([[True, True]]))
    beside = unroll(small_model, frames, padded, torch.tensor([[True, True, False]]))
    for first, second in zip(alone, beside, strict=True):
        torch.testing.assert_close(
            second.probabilities[:, :3], first.probabilities, atol=1e-4, rtol=1e-3
        )
        assert not second.probabilities[:, 3].any()


@torch.no_grad()
def test_queries_of_a_batch_equal_those_of_single_frames(small_model: MemoryNetwork) -> None:
    frames = torch.cat([clip()[0], clip()[0].flip(1)])
    one_by_one = list(encode_queries(small_model.eval(), frames, together=False))
    together = list(encode_queries(small_model, frames, together=True))
    assert len(one_by_one) == len(together) == 4
    assert (together[0] is None) == (one_by_one[0] is None) == (not small_model.shared_key)
    for expected, found in zip(one_by_one, together, strict=True):
        if expected is not None and found is not None:
            torch.testing.assert_close(vars(found), vars(expected))


def test_unroll_passes_gradients_through_the_remembered_prediction() -> None:
    model = build_small("scmn", spatial_constraint=False)
    frames, masks, _ = clip()
    frames.requires_grad_()
    valid = torch.ones(1, 2, dtype=torch.bool)
    segmentations = unroll(model, frames, masks, valid)
    decoder = model.decoder.predict.weight
    # The loss of the last frame alone depends on the output for frame 1 through the memory.
    last = segmentations[-1].logits.square().mean()
    (through_all,) = torch.autograd.grad(last, segmentations[0].auxiliary.logits, retain_graph=True)
    assert through_all.abs().sum() > 0
    (direct,) = torch.autograd.grad(last, decoder)
    assert direct.abs().sum() > 0


def test_unroll_accepts_a_clip_without_objects(small_model: MemoryNetwork) -> None:
    frames, masks, _ = clip()
    nothing = torch.zeros(1, 2, dtype=torch.bool)
    segmentations = unroll(small_model, frames, torch.zeros_like(masks), nothing)
    assert torch.equal(
        segmentations[-1].probabilities[:, 0],
        torch.ones_like(segmentations[-1].probabilities[:, 0]),
    )

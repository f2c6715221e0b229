"""Loss terms against plain formulas; ignored pixels and absent objects."""

from __future__ import annotations

import itertools
import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from scmn.networks.features import ObjectMaps, Segmentation
from scmn.training.losses import (
    VideoLoss,
    bootstrap_fraction,
    cross_entropy,
    soft_iou,
    training_iou,
)
from scmn.training.settings import BootstrapSettings, LossSettings
from tests.conftest import build_small

ALL_TERMS = LossSettings(soft_iou=0.25, auxiliary=0.5)


def aggregate(object_logits: Tensor, valid_objects: Tensor) -> tuple[Tensor, Tensor]:
    return build_small("stcn").aggregate(object_logits, valid_objects)


def batch(*, clips: int = 2, objects: int = 2, seed: int = 0) -> tuple[Tensor, Tensor]:
    """Own logits of the objects (B, N, 1, 6, 7) and labels with some ignored pixels."""
    generator = torch.Generator().manual_seed(seed)
    logits = 3 * torch.randn(clips, objects, 1, 6, 7, generator=generator)
    labels = torch.randint(0, objects + 1, (clips, 6, 7), generator=generator)
    labels[:, 0, :3] = 255
    return logits, labels


def segmented(
    object_logits: Tensor, coarse: Tensor | None = None, valid: Tensor | None = None
) -> Segmentation:
    valid = all_valid(object_logits) if valid is None else valid
    probabilities, logits = aggregate(object_logits, valid)
    return Segmentation(probabilities, logits, ObjectMaps(object_logits, coarse))


def all_valid(maps: Tensor, objects: int = 2) -> Tensor:
    return torch.ones(maps.shape[0], objects, dtype=torch.bool)


def pixels_of(logits: Tensor, labels: Tensor) -> list[tuple[Tensor, int]]:
    """(logits of the classes, label) of the pixels of one clip that count."""
    places = itertools.product(range(labels.shape[0]), range(labels.shape[1]))
    return [(logits[:, y, x], int(labels[y, x])) for y, x in places if labels[y, x] != 255]


@pytest.mark.parametrize("hardest", [1.0, 0.5, 0.15, 1e-6])
def test_cross_entropy_is_the_mean_of_the_hardest_pixels(hardest: float) -> None:
    own, labels = batch()
    logits = segmented(own).logits
    labels[1, 1:4] = 255  # the clips have different numbers of pixels that count
    for clip, value in enumerate(cross_entropy(logits, labels, hardest=hardest)):
        losses = sorted(
            (
                math.log(sum(math.exp(z) for z in pixel.tolist())) - pixel[label].item()
                for pixel, label in pixels_of(logits[clip], labels[clip])
            ),
            reverse=True,
        )
        count = max(int(len(losses) * hardest), 1)
        assert value.item() == pytest.approx(sum(losses[:count]) / count, rel=1e-4)


def test_bootstrap_fraction_at_its_boundaries() -> None:
    stcn = BootstrapSettings()
    shares = [bootstrap_fraction(i, stcn) for i in (0, 20_000, 20_001, 45_000, 70_000, 10**6)]
    assert shares[:2] == [1.0, 1.0]
    assert 0.9999 < shares[2] < 1
    assert shares[3] == pytest.approx(0.575)
    assert shares[4:] == [0.15, 0.15]
    assert bootstrap_fraction(10**6, None) == 1.0
    at_once = BootstrapSettings(start=5, end=5, fraction=0.3)
    assert [bootstrap_fraction(i, at_once) for i in (5, 6)] == [1.0, 0.3]


def test_soft_iou_equals_the_plain_formula() -> None:
    own, labels = batch()
    labels[0][labels[0] == 2] = 0  # a class that clip 0 does not show
    probabilities = segmented(own).probabilities
    for clip in range(2):
        pixels = pixels_of(probabilities[clip], labels[clip])
        losses = []
        for number in range(3):
            p = [pixel[number].item() for pixel, _ in pixels]
            t = [float(label == number) for _, label in pixels]
            if sum(t):
                both = sum(a * b for a, b in zip(p, t, strict=True))
                losses.append(1 - both / (sum(p) + sum(t) - both))
        value = soft_iou(probabilities, labels)[clip].item()
        assert value == pytest.approx(sum(losses) / len(losses), rel=1e-4)


def test_video_loss_parts_sum_to_the_total() -> None:
    own, labels = batch()
    coarse, _ = batch(seed=3)
    frames = [segmented(own, coarse), segmented(coarse, own)]
    loss = VideoLoss(ALL_TERMS, aggregate)
    terms = loss(frames, [labels, labels], all_valid(labels), 0)
    assert set(terms.parts) == {
        prefix + name for prefix in ("", "auxiliary_") for name in ("cross_entropy", "soft_iou")
    }
    assert terms.total.item() == pytest.approx(sum(v.item() for v in terms.parts.values()))
    assert terms.total.item() == pytest.approx(terms.per_clip.mean().item())
    alone = [loss([frame], [labels], all_valid(labels), 0) for frame in frames]
    assert terms.total.item() == pytest.approx(sum(a.total.item() for a in alone))
    # The frames are each other's map before refinement, at half weight.
    assert terms.parts["auxiliary_soft_iou"].item() == pytest.approx(
        0.5 * terms.parts["soft_iou"].item()
    )


def test_video_loss_bootstrap_follows_the_iteration() -> None:
    own, labels = batch()
    frames = [segmented(own)]
    loss = VideoLoss(LossSettings(bootstrap=BootstrapSettings(10, 20, 0.2)), aggregate)
    values = [
        loss(frames, [labels], all_valid(labels), iteration).total.item()
        for iteration in (0, 10, 15, 20, 99)
    ]
    assert values[0] == values[1] < values[2] < values[3] == values[4]


@pytest.mark.parametrize("iteration", [0, 100])
def test_video_loss_is_zero_for_void_frames(iteration: int) -> None:
    own, labels = batch()
    labels[1] = 255
    own.requires_grad_()
    settings = LossSettings(soft_iou=1, bootstrap=BootstrapSettings(10, 20, 0.2))
    terms = VideoLoss(settings, aggregate)(
        [segmented(own, own)], [labels], all_valid(labels), iteration
    )
    terms.total.backward()
    assert terms.per_clip[1] == 0 < terms.per_clip[0]
    assert own.grad is not None
    assert not own.grad[1].any()
    assert own.grad[0].any()
    assert torch.isfinite(own.grad).all()


def test_video_loss_ignores_void_pixels() -> None:
    own, labels = batch()
    loss = VideoLoss(ALL_TERMS, aggregate)
    before = loss([segmented(own, own)], [labels], all_valid(labels), 0).total
    changed = own.clone()
    changed[:, :, :, 0, :3] = 7.0
    after = loss([segmented(changed, changed)], [labels], all_valid(labels), 0).total
    assert before.item() == pytest.approx(after.item(), rel=1e-6)


def test_video_loss_is_unaffected_by_absent_objects() -> None:
    """Loss, probabilities and gradients are those of the clip without the empty channel."""
    own, labels = batch(objects=3)
    labels[labels == 3] = 0
    valid = torch.tensor([[True, True, False]] * 2)
    loss = VideoLoss(ALL_TERMS, aggregate)
    results = []
    for logits, objects in ((own, valid), (own[:, :2], valid[:, :2])):
        logits = logits.clone().requires_grad_()
        frame = segmented(logits, 0.5 * logits, objects)
        total = loss([frame], [labels], objects, 0).total
        total.backward()
        assert logits.grad is not None
        results.append((total.detach(), logits.grad, frame.probabilities.detach()))
    (with_it, gradient, probabilities), (without, expected, fewer) = results
    assert with_it.item() == pytest.approx(without.item(), rel=1e-5)
    assert not gradient[:, 2].any()
    assert torch.allclose(gradient[:, :2], expected, atol=1e-6)
    assert not probabilities[:, 3].any()
    assert torch.allclose(probabilities[:, :3], fewer, atol=1e-6)


def test_video_loss_is_infinite_for_a_target_of_an_absent_object() -> None:
    own, labels = batch()
    valid = torch.tensor([[True, False], [True, True]])
    frame = segmented(own, valid=valid)
    terms = VideoLoss(LossSettings(), aggregate)([frame], [labels], valid, 0)
    assert torch.isinf(terms.per_clip[0])
    assert torch.isfinite(terms.per_clip[1])


@given(seed=st.integers(0, 10_000), scale=st.sampled_from([0.0, 1.0, 100.0]))
@settings(max_examples=20, deadline=None)
def test_video_loss_and_gradients_are_finite(seed: int, scale: float) -> None:
    own, labels = batch(seed=seed)
    own = (scale * own).requires_grad_()
    config = LossSettings(soft_iou=1, bootstrap=BootstrapSettings(0, 10))
    terms = VideoLoss(config, aggregate)([segmented(own, own)], [labels], all_valid(labels), 5)
    terms.total.backward()
    assert own.grad is not None
    assert torch.isfinite(own.grad).all()
    assert 0 <= terms.total.item() < math.inf


def test_training_iou_counts_the_objects_in_the_target() -> None:
    labels = torch.zeros(1, 4, 4, dtype=torch.long)
    labels[0, :2] = 1  # eight pixels
    labels[0, 3, 0] = 255
    own = torch.full((1, 3, 1, 4, 4), -9.0)
    own[0, 0, 0, :, :2] = 9.0  # of these eight pixels four are right and one is ignored
    own[0, 2] = 20.0  # not valid: would win everywhere
    valid = torch.tensor([[True, True, False]])
    frame = segmented(own, valid=valid)
    result = training_iou([frame, frame], [labels, labels])
    assert result.objects == 2  # object 1 in two frames; object 2 is not shown
    assert result.total.item() / 2 == pytest.approx(4 / (4 + 4 + 3))
    nothing = training_iou([frame], [torch.full_like(labels, 255)])
    assert (nothing.total, nothing.objects) == (0, 0)

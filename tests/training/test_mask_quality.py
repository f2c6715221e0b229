"""Training of the estimated IoU: its loss, alone or beside the masks, which it does not change."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from scmn.data.clips.batch import ClipBatch, assemble_clip, collate_clips
from scmn.data.clips.clip import DrawnClip
from scmn.networks.base import MemoryNetwork
from scmn.networks.features import ObjectMaps, Segmentation
from scmn.training.losses import VideoLoss, quality_error
from scmn.training.optimizer import build_optimizer, clip_gradients
from scmn.training.preparation import prepare_network
from scmn.training.settings import (
    LossSettings,
    OptimizerSettings,
    TrainingSettings,
    UnrollMemorySettings,
)
from scmn.training.unroll import TrainingPass
from tests.conftest import build_small

VALID = torch.tensor([[True, True, True], [True, False, True]])


def predicted() -> tuple[Tensor, Tensor, Tensor]:
    """Estimates (2, 3), logits (2, 4, 5, 6) and labels (2, 5, 6) of two clips.

    In clip 0, object 2 is predicted and not there, and object 3 is neither. Clip 1 lacks object 2.
    """
    generator = torch.Generator().manual_seed(0)
    logits = 3 * torch.randn(2, 4, 5, 6, generator=generator)
    labels = torch.randint(0, 4, (2, 5, 6), generator=generator)
    labels[0][labels[0] > 1] = 0
    logits[0, 3] = -9
    labels[1][labels[1] == 2] = 0
    logits[1, 2] = -math.inf
    labels[:, 0, :3] = 255
    return torch.rand(2, 3, generator=generator), logits, labels


def true_iou(logits: Tensor, labels: Tensor, number: int) -> float:
    """IoU of one object in one clip, pixel by pixel."""
    both = either = 0
    for y in range(labels.shape[0]):
        for x in range(labels.shape[1]):
            if labels[y, x] != 255:
                ours = int(logits[:, y, x].argmax()) == number
                theirs = int(labels[y, x]) == number
                both += ours and theirs
                either += ours or theirs
    return both / either if either else 1.0


def test_quality_error_equals_the_plain_formula() -> None:
    quality, logits, labels = predicted()
    assert true_iou(logits[0], labels[0], 2) == 0.0
    assert true_iou(logits[0], labels[0], 3) == 1.0
    for clip, value in enumerate(quality_error(quality, logits, labels, VALID)):
        errors = [
            (quality[clip, n].item() - true_iou(logits[clip], labels[clip], n + 1)) ** 2
            for n in range(3)
            if VALID[clip, n]
        ]
        assert value.item() == pytest.approx(sum(errors) / len(errors), rel=1e-5)


def test_quality_error_is_zero_for_clips_that_do_not_count() -> None:
    quality, logits, labels = predicted()
    labels[0] = 255
    nothing = VALID.clone()
    nothing[1] = False
    assert quality_error(quality, logits, labels, nothing).tolist() == [0, 0]


@pytest.mark.parametrize("weight", [0.0, 1.0, 2.5])
def test_video_loss_weighs_the_term(weight: float) -> None:
    quality, logits, labels = predicted()
    maps = ObjectMaps(logits[:, 1:, None])
    frame = Segmentation(logits.softmax(dim=1), logits, maps, quality=quality)
    loss = VideoLoss(LossSettings(mask_quality=weight), build_small("scmn").aggregate)
    terms = loss([frame, frame], [labels, labels], VALID, 0)
    if weight == 0:
        assert set(terms.parts) == {"cross_entropy"}
        return
    expected = 2 * weight * quality_error(quality, logits, labels, VALID).mean()
    torch.testing.assert_close(terms.parts["mask_quality"], expected)
    torch.testing.assert_close(terms.total, sum(terms.parts.values(), torch.zeros(())))


def clips() -> ClipBatch:
    """Two clips of a square and a disc that move over noise."""
    random = np.random.default_rng(0)
    drawn = []
    for number in range(2):
        images = list(random.integers(0, 256, (3, 48, 64, 3), dtype=np.uint8))
        labels = [np.zeros((48, 64), np.uint8) for _ in images]
        for time, (image, label) in enumerate(zip(images, labels, strict=True)):
            label[8 : 24 + number, 8 + 4 * time : 24 + 4 * time] = 1
            label[30:40, 40 - 3 * time : 55 - 3 * time] = 2
            image[label > 0] //= 4
        clip = DrawnClip(images, labels, 2, "squares")
        drawn.append(assemble_clip(clip, max_objects=2, number=number))
    return collate_clips(drawn)


def trained(
    network: MemoryNetwork, steps: int, **weights: Any
) -> tuple[dict[str, Tensor], list[dict[str, float]]]:
    """Return the network's state after some steps, and the terms of the loss in each."""
    training_pass = TrainingPass(
        network.train(),
        VideoLoss(LossSettings(**weights), network.aggregate),
        UnrollMemorySettings(),
    )
    optimizer = build_optimizer(network, OptimizerSettings(learning_rate=1e-3))
    history, batch = [], clips()
    for step in range(steps):
        optimizer.zero_grad()
        terms = training_pass(batch, step).loss
        terms.total.backward()
        clip_gradients(network, 0.1)
        optimizer.step()
        history.append({name: value.item() for name, value in terms.parts.items()})
    return network.state_dict(), history


def test_masks_train_as_without_the_estimate() -> None:
    without, _ = trained(build_small("scmn"), 2)
    beside, history = trained(build_small("scmn", mask_quality=True), 2)
    assert all(torch.equal(beside[name], tensor) for name, tensor in without.items())
    assert set(history[0]) == {"cross_entropy", "auxiliary_cross_entropy", "mask_quality"}


def test_the_estimate_can_be_trained_alone() -> None:
    network = build_small("scmn", mask_quality=True)
    prepare_network(network, TrainingSettings(parts=["mask_quality"]), torch.device("cpu"))
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    after, history = trained(network, 8)
    changed = {name.split(".")[0] for name in before if not torch.equal(before[name], after[name])}
    assert changed == {"mask_quality"}
    assert history[-1]["mask_quality"] < 0.5 * history[0]["mask_quality"]


def test_gradients_of_the_estimate_are_clipped_by_themselves() -> None:
    network = build_small("scmn", mask_quality=True)
    groups: dict[bool, list[nn.Parameter]] = {True: [], False: []}
    for name, parameter in network.named_parameters():
        parameter.grad = torch.ones_like(parameter)
        groups[name.startswith("mask_quality.")].append(parameter)
    count = sum(parameter.numel() for parameter in network.parameters())
    assert clip_gradients(network, 2.0).item() == pytest.approx(math.sqrt(count), rel=1e-4)
    for parameters in groups.values():
        squares = [p.grad.square().sum() for p in parameters if p.grad is not None]
        assert torch.stack(squares).sum().sqrt().item() == pytest.approx(2.0, rel=1e-4)

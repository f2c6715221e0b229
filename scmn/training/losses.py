"""Loss and IoU of the predicted frames of a batch of clips.

Each term is a function of aggregated logits and label maps that returns one value per clip. Pixels
labelled ``VOID`` never count; a frame without any other pixel has loss 0.

Sources: cross-entropy on aggregated maps: STM (Oh et al., ICCV 2019, "two-stage training").
Bootstrapped cross-entropy: STCN (Cheng et al., NeurIPS 2021, implementation details). Soft IoU and
supervision of the maps before refinement: BASNet (Qin et al., CVPR 2019). Squared error of the
estimated IoU: QDMN (Liu et al., ECCV 2022).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from scmn.data.masks import VOID
from scmn.networks.features import Segmentation
from scmn.training.settings import BootstrapSettings, LossSettings

Aggregate = Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]
"""``MemoryNetwork.aggregate``: per-object logits, valid objects -> aggregated probabilities and
logits."""


@dataclass(frozen=True)
class LossTerms:
    """The loss of a batch and its terms."""

    total: Tensor
    """Scalar to differentiate: the mean over the clips."""
    parts: dict[str, Tensor]
    """Weighted terms that sum to ``total``, detached; ``auxiliary_...`` before refinement."""
    per_clip: Tensor
    """(B,), detached: shows which clip has a loss that is not finite."""


class VideoLoss:
    """Loss of the predicted frames of clips: summed over frames, averaged over clips."""

    def __init__(self, settings: LossSettings, aggregate: Aggregate) -> None:
        """
        Args:
            settings: weights of the terms.
            aggregate: the network's ``aggregate``, applied to the maps before refinement.
        """
        self.settings = settings
        self.aggregate = aggregate

    def __call__(
        self,
        segmentations: Sequence[Segmentation],
        targets: Sequence[Tensor],
        valid_objects: Tensor,
        iteration: int,
    ) -> LossTerms:
        """Compare the predicted frames with their label maps.

        Args:
            segmentations: of the predicted frames, made with ``valid_objects``.
            targets: label map of each of them, (B, H, W), integers: 0 background, 1..N the objects
                in the order of the channels, 255 (void) ignored.
            valid_objects: bool (B, N), the channels that hold an object. A target pixel with the
                label of another channel makes the loss infinite.
            iteration: number of the training step within the stage, from 0.
        """
        if not segmentations:
            raise ValueError("a loss needs at least one predicted frame")
        fraction = bootstrap_fraction(iteration, self.settings.bootstrap)
        sums: dict[str, Tensor] = {}
        for segmentation, labels in zip(segmentations, targets, strict=True):
            for name, values in self._frame(segmentation, labels.long(), valid_objects, fraction):
                sums[name] = sums[name] + values if name in sums else values
        per_clip = torch.stack(list(sums.values())).sum(dim=0)
        parts = {name: values.detach().mean() for name, values in sums.items()}
        return LossTerms(per_clip.mean(), parts, per_clip.detach())

    def _frame(
        self, segmentation: Segmentation, labels: Tensor, valid_objects: Tensor, fraction: float
    ) -> list[tuple[str, Tensor]]:
        terms = self._terms(segmentation.logits, labels, fraction)
        coarse = segmentation.auxiliary.coarse_logits
        weight = self.settings.auxiliary
        if coarse is not None and weight > 0:
            _, logits = self.aggregate(coarse, valid_objects)
            terms += [
                (f"auxiliary_{name}", weight * values)
                for name, values in self._terms(logits, labels, fraction)
            ]
        weight = self.settings.mask_quality
        if segmentation.quality is not None and weight > 0:
            values = quality_error(segmentation.quality, segmentation.logits, labels, valid_objects)
            terms.append(("mask_quality", weight * values))
        return terms

    def _terms(self, logits: Tensor, labels: Tensor, fraction: float) -> list[tuple[str, Tensor]]:
        settings = self.settings
        terms = []
        if settings.cross_entropy > 0:
            values = cross_entropy(logits, labels, hardest=fraction)
            terms.append(("cross_entropy", settings.cross_entropy * values))
        if settings.soft_iou > 0:
            values = soft_iou(torch.softmax(logits.float(), dim=1), labels)
            terms.append(("soft_iou", settings.soft_iou * values))
        return terms


def bootstrap_fraction(iteration: int, settings: BootstrapSettings | None) -> float:
    """Return the share of pixels that count at ``iteration``: 1, then falling to ``fraction``."""
    if settings is None or iteration <= settings.start:
        return 1.0
    if iteration >= settings.end:
        return settings.fraction
    progress = (iteration - settings.start) / (settings.end - settings.start)
    return 1.0 - (1.0 - settings.fraction) * progress


def cross_entropy(logits: Tensor, labels: Tensor, *, hardest: float = 1.0) -> Tensor:
    """Return each clip's mean cross-entropy over all pixels or the hardest share of them, (B,).

    Args:
        logits: (B, C, H, W).
        labels: (B, H, W), long.
        hardest: share of the pixels that are not ignored, in (0, 1].
    """
    losses = functional.cross_entropy(
        logits.float(), labels, ignore_index=VOID, reduction="none"
    ).flatten(1)
    pixels = (labels != VOID).flatten(1).sum(dim=1)
    if hardest >= 1:
        return losses.sum(dim=1) / pixels.clamp(min=1)
    # Ignored pixels have loss 0 and are sorted last. Each clip's share is a prefix of one top-k
    # over all clips, so the device need not wait for the counts.
    max_count = math.ceil(hardest * losses.shape[1])
    counted = (pixels * hardest).floor().clamp(min=1, max=max_count)
    largest = torch.topk(losses, max_count, dim=1).values
    prefix = torch.arange(max_count, device=losses.device) < counted[:, None]
    return (largest * prefix).sum(dim=1) / counted


def soft_iou(probabilities: Tensor, labels: Tensor) -> Tensor:
    """Return 1 - soft intersection over union, (B,): mean over the classes in ``labels``.

    Args:
        probabilities: (B, C, H, W).
        labels: (B, H, W), long.
    """
    classes = torch.arange(probabilities.shape[1], device=labels.device)
    one_hot = (labels.unsqueeze(1) == classes[:, None, None]).flatten(2)
    target = one_hot.to(probabilities.dtype)
    predicted = probabilities.flatten(2) * (labels != VOID).unsqueeze(1).flatten(2)
    intersection = (predicted * target).sum(dim=2)
    union = (predicted + target).sum(dim=2) - intersection
    present = target.amax(dim=2)
    values = 1 - intersection / union.clamp(min=1)
    return (values * present).sum(dim=1) / present.sum(dim=1).clamp(min=1)


def quality_error(quality: Tensor, logits: Tensor, labels: Tensor, valid_objects: Tensor) -> Tensor:
    """Return the squared error of the estimated IoU, (B,): mean over the objects.

    Where an object is neither predicted nor in ``labels``, its IoU is 1 by convention (DAVIS).

    Args:
        quality: the estimate, (B, N).
        logits: (B, N + 1, H, W).
        labels: (B, H, W), long.
        valid_objects: bool (B, N), the channels that hold an object.
    """
    intersection, union, _ = _overlap(logits, labels)
    iou = torch.where(union > 0, intersection / union.clamp(min=1), 1.0)
    counted = valid_objects & (labels != VOID).flatten(1).any(dim=1, keepdim=True)
    errors = (quality.float() - iou).square() * counted
    return errors.sum(dim=1) / counted.sum(dim=1).clamp(min=1)


@torch.no_grad()
def _overlap(logits: Tensor, labels: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Return of each object the pixels of intersection and union, and if it is shown, (B, N)."""
    # On the CPU argmax over few channels takes 15 times as long.
    predicted = logits.max(dim=1).indices.unsqueeze(1)
    numbers = torch.arange(1, logits.shape[1], device=labels.device)[:, None, None]
    target = labels.unsqueeze(1) == numbers
    ours = (predicted == numbers) & (labels != VOID).unsqueeze(1)
    shown = target.any(dim=3).any(dim=2)
    return (ours & target).sum(dim=(2, 3)), (ours | target).sum(dim=(2, 3)), shown


@dataclass(frozen=True)
class IoUSum:
    """Intersections over unions, summed, and their number: both add up over steps and processes."""

    total: Tensor
    objects: Tensor


@torch.no_grad()
def training_iou(segmentations: Sequence[Segmentation], targets: Sequence[Tensor]) -> IoUSum:
    """Compare hard predictions with their targets, cheaply enough for every step.

    Every object counts in every frame whose target shows it (in others it adds 0 to the total);
    ignored pixels do not. The arguments are those of :class:`VideoLoss`.
    """
    total = torch.zeros((), device=targets[0].device)
    objects = torch.zeros((), device=targets[0].device)
    for segmentation, labels in zip(segmentations, targets, strict=True):
        intersection, union, shown = _overlap(segmentation.logits, labels)
        total += (intersection / union.clamp(min=1)).sum()
        objects += shown.sum()
    return IoUSum(total, objects)

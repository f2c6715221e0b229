"""Loss of the predicted frames of a batch of clips.

Each term is a function of aggregated logits and label maps that returns one value per clip. Pixels
labelled ``IGNORED`` never count; a frame without any other pixel has loss 0.

Sources: cross-entropy on aggregated maps: STM (Oh et al., ICCV 2019, 3.5). Bootstrapped
cross-entropy: STCN (Cheng et al., NeurIPS 2021, 4.2). Lovász-softmax: Berman et al., CVPR 2018,
algorithm 1. Soft IoU and supervision of the maps before refinement: BASNet (Qin et al., CVPR 2019).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from scmn.errors import InputError
from scmn.networks.base import Segmentation
from scmn.training.settings import BootstrapSettings, LossSettings

IGNORED = 255
"""Label of pixels that take no part in the loss: void, and what augmentation moved into view."""

Aggregate = Callable[[Tensor], tuple[Tensor, Tensor]]
"""``MemoryNetwork.aggregate``: objects' own logits -> aggregated probabilities and logits."""


@dataclass(frozen=True)
class LossTerms:
    """The loss of a batch and what it is made of."""

    total: Tensor
    """Scalar to differentiate: the mean over the clips."""
    parts: dict[str, Tensor]
    """Weighted terms that sum to ``total``, detached; ``auxiliary_...`` before refinement."""
    per_clip: Tensor
    """(B,), detached; tells which clip is to blame for a value that is not finite."""


class VideoLoss:
    """Loss of the predicted frames of clips: summed over frames, averaged over clips."""

    def __init__(self, settings: LossSettings, aggregate: Aggregate) -> None:
        """
        Args:
            settings: weights of the terms.
            aggregate: the network's ``aggregate``, applied to maps before refinement.

        Raises:
            InputError: weights below 0 or all 0, or an impossible bootstrap schedule.
        """
        _check(settings)
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
            segmentations: of the predicted frames.
            targets: label map of each of them, (B, H, W), integers: 0 background, 1..N the objects
                in the order of the channels, 255 ignored.
            valid_objects: bool (B, N), which objects each clip really has. The channels of the
                others take no part; a target pixel that names one of them makes the loss infinite.
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
        terms = self._terms(mask_absent(segmentation.logits, valid_objects), labels, fraction)
        coarse = segmentation.auxiliary.coarse_logits
        weight = self.settings.auxiliary
        if coarse is not None and weight > 0:
            logits = mask_absent(self.aggregate(coarse)[1], valid_objects)
            terms += [
                (f"auxiliary_{name}", weight * values)
                for name, values in self._terms(logits, labels, fraction)
            ]
        return terms

    def _terms(self, logits: Tensor, labels: Tensor, fraction: float) -> list[tuple[str, Tensor]]:
        settings = self.settings
        terms = []
        if settings.cross_entropy > 0:
            values = cross_entropy(logits, labels, hardest=fraction)
            terms.append(("cross_entropy", settings.cross_entropy * values))
        probabilities = torch.softmax(logits.float(), dim=1)
        for name, weight, loss in (
            ("lovasz", settings.lovasz, lovasz_softmax),
            ("soft_iou", settings.soft_iou, soft_iou),
            ("soft_dice", settings.soft_dice, soft_dice),
        ):
            if weight > 0:
                terms.append((name, weight * loss(probabilities, labels)))
        return terms


def bootstrap_fraction(iteration: int, settings: BootstrapSettings | None) -> float:
    """Return the share of pixels that count at ``iteration``: 1, then falling to ``fraction``."""
    if settings is None or iteration <= settings.start:
        return 1.0
    if iteration >= settings.end:
        return settings.fraction
    progress = (iteration - settings.start) / (settings.end - settings.start)
    return 1.0 - (1.0 - settings.fraction) * progress


def mask_absent(logits: Tensor, valid_objects: Tensor) -> Tensor:
    """Set the logits (B, N + 1, H, W) of objects that a clip does not have to minus infinity.

    Not merely to a large negative number: a target that names such an object is a fault of the
    data, which an infinite loss shows and a large one hides.
    """
    if logits.shape[:2] != (valid_objects.shape[0], valid_objects.shape[1] + 1):
        raise ValueError(
            f"logits {tuple(logits.shape)} do not belong to valid_objects "
            f"{tuple(valid_objects.shape)}"
        )
    absent = functional.pad(~valid_objects, (1, 0), value=False)
    return logits.masked_fill(absent[:, :, None, None], -math.inf)


def cross_entropy(logits: Tensor, labels: Tensor, *, hardest: float = 1.0) -> Tensor:
    """Return the mean cross-entropy of each clip's pixels, or of the hardest share of them, (B,).

    Args:
        logits: (B, C, H, W).
        labels: (B, H, W), long.
        hardest: share of the pixels that are not ignored, in (0, 1].
    """
    losses = functional.cross_entropy(
        logits.float(), labels, ignore_index=IGNORED, reduction="none"
    ).flatten(1)
    pixels = (labels != IGNORED).flatten(1).sum(dim=1)
    if hardest >= 1:
        return losses.sum(dim=1) / pixels.clamp(min=1)
    # Ignored pixels have loss 0: they come last. One top-k serves all clips, whose own shares are
    # prefixes of it, and nothing has to wait for the counts.
    most = math.ceil(hardest * losses.shape[1])
    counted = (pixels * hardest).floor().clamp(min=1, max=most)
    largest = torch.topk(losses, most, dim=1).values
    prefix = torch.arange(most, device=losses.device) < counted[:, None]
    return (largest * prefix).sum(dim=1) / counted


def soft_iou(probabilities: Tensor, labels: Tensor) -> Tensor:
    """Return 1 - soft intersection over union, (B,): mean over the classes in ``labels``.

    Args:
        probabilities: (B, C, H, W).
        labels: (B, H, W), long.
    """
    predicted, target = _flat_classes(probabilities, labels)
    intersection = (predicted * target).sum(dim=2)
    union = (predicted + target).sum(dim=2) - intersection
    return _mean_over_present(1 - intersection / union.clamp(min=1), target)


def soft_dice(probabilities: Tensor, labels: Tensor) -> Tensor:
    """Return 1 - soft Dice coefficient, (B,), with the arguments of :func:`soft_iou`."""
    predicted, target = _flat_classes(probabilities, labels)
    intersection = (predicted * target).sum(dim=2)
    sizes = (predicted + target).sum(dim=2)
    return _mean_over_present(1 - 2 * intersection / sizes.clamp(min=1), target)


def lovasz_softmax(probabilities: Tensor, labels: Tensor) -> Tensor:
    """Return the Lovász-softmax loss over the classes in ``labels`` of each clip, (B,).

    Berman et al., CVPR 2018, algorithm 1, with the arguments of :func:`soft_iou`.
    """
    predicted, target = _flat_classes(probabilities, labels)
    # Ignored pixels have error 0 and belong to no class: they add nothing wherever they are sorted.
    errors, order = (target - predicted).abs().sort(dim=2, descending=True)
    sorted_target = target.gather(2, order)
    size = sorted_target.sum(dim=2, keepdim=True)
    intersection = size - sorted_target.cumsum(dim=2)
    union = size + (1 - sorted_target).cumsum(dim=2)
    jaccard = 1 - intersection / union
    steps = torch.diff(jaccard, dim=2, prepend=torch.zeros_like(size))
    return _mean_over_present((errors * steps).sum(dim=2), target)


def _flat_classes(probabilities: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
    """Return probabilities and one-hot labels, both (B, C, H * W), 0 where ignored."""
    classes = torch.arange(probabilities.shape[1], device=labels.device)
    target = (labels.unsqueeze(1) == classes[:, None, None]).flatten(2)
    counted = (labels != IGNORED).unsqueeze(1).flatten(2)
    return probabilities.flatten(2) * counted, target.to(probabilities.dtype)


def _mean_over_present(values: Tensor, target: Tensor) -> Tensor:
    present = target.amax(dim=2)
    return (values * present).sum(dim=1) / present.sum(dim=1).clamp(min=1)


def _check(settings: LossSettings) -> None:
    names = ("cross_entropy", "lovasz", "soft_iou", "soft_dice")
    for name in (*names, "auxiliary"):
        if getattr(settings, name) < 0:
            raise InputError(f"loss.{name} is a weight: at least 0, not {getattr(settings, name)}")
    if all(getattr(settings, name) == 0 for name in names):
        raise InputError(f"all loss weights are 0: give one of {', '.join(names)}")
    bootstrap = settings.bootstrap
    if bootstrap is None:
        return
    if not 0 < bootstrap.fraction <= 1:
        raise InputError(f"loss.bootstrap.fraction lies in (0, 1], not {bootstrap.fraction}")
    if not 0 <= bootstrap.start <= bootstrap.end:
        raise InputError(
            f"loss.bootstrap needs 0 <= start <= end, not {bootstrap.start} and {bootstrap.end}"
        )

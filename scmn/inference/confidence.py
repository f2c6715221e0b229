"""How clear a segmentation is, from its probabilities alone."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional


def certainty(probabilities: Tensor) -> tuple[Tensor, Tensor]:
    """Return ``1 - p2 / p1`` of the largest and the second largest probability of each pixel.

    Low where AFB-URR (Liang et al., NeurIPS 2020, 3.4) sees uncertainty.

    Args:
        probabilities: (N + 1, h, w) over background and at least one object.

    Returns:
        The certainty in [0, 1] and the channel of the largest probability, both (h, w).
    """
    (first, second), channels = probabilities.float().topk(2, dim=0)
    return 1 - second / first, channels[0]


def mask_confidence(probabilities: Tensor) -> tuple[Tensor, Tensor]:
    """Return the mean certainty over each object's mask, 0 without one, and the mask's pixels.

    Args:
        probabilities: (N + 1, h, w) over background and objects.

    Returns:
        Two tensors (N,).
    """
    if probabilities.shape[0] == 1:
        nothing = probabilities.new_zeros(0, dtype=torch.float32)
        return nothing, nothing
    return _over_masks(*certainty(probabilities), objects=probabilities.shape[0] - 1)


def presence(probabilities: Tensor) -> Tensor:
    """Return how sure each object's mask is not background, the mean of ``1 - p0 / p`` over it.

    Unlike the certainty, it is high where two objects vie for the same pixels: where they cross,
    both are there.

    Args:
        probabilities: (N + 1, h, w) over background and at least one object.

    Returns:
        (N,) in [0, 1], 0 without a mask.
    """
    largest, channels = probabilities.float().max(dim=0)
    margins = 1 - probabilities[0].float() / largest
    return _over_masks(margins, channels, objects=probabilities.shape[0] - 1)[0]


def _over_masks(values: Tensor, channels: Tensor, *, objects: int) -> tuple[Tensor, Tensor]:
    """Return the means of values over each object's pixels, 0 without any, and their number."""
    sums = values.new_zeros(2, objects + 1)
    sums[0].scatter_add_(0, channels.flatten(), values.flatten())
    sums[1].scatter_add_(0, channels.flatten(), torch.ones_like(values).flatten())
    return sums[0, 1:] / sums[1, 1:].clamp(min=1), sums[1, 1:]


def without_objects(probabilities: Tensor, absent: Tensor) -> Tensor:
    """Return the probabilities given that some objects are not there.

    Args:
        probabilities: (B, N + 1, h, w) over background and objects, which sum to 1.
        absent: bool (N,).

    Returns:
        The same shape: 0 for these objects, and the others' in proportion.
    """
    present = functional.pad(~absent, (1, 0), value=True)
    rest = probabilities * present[:, None, None]
    return rest / rest.sum(dim=1, keepdim=True)

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
    sums = probabilities.new_zeros(2, probabilities.shape[0], dtype=torch.float32)
    if probabilities.shape[0] > 1:
        margins, channels = certainty(probabilities)
        sums[0].scatter_add_(0, channels.flatten(), margins.flatten())
        sums[1].scatter_add_(0, channels.flatten(), torch.ones_like(margins).flatten())
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

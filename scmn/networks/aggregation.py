"""Soft aggregation of independent object probabilities into one distribution per pixel.

Source: Oh et al., ICCV 2019, supplementary material, "soft aggregation".
"""

from __future__ import annotations

import torch
from torch import Tensor

EPSILON = 1e-7
"""Probabilities are clamped to [EPSILON, 1 - EPSILON] before the logit (the published value)."""


def soft_aggregation(object_probabilities: Tensor) -> tuple[Tensor, Tensor]:
    """Merge the objects' own probabilities; differentiable, used in training and testing.

    The background probability is that of no object, prod(1 - p_i); the softmax of all logits then
    is a distribution. Computed in float32: half precision cannot represent 1 - 1e-7.

    Args:
        object_probabilities: probability of each object independently, (B, N, H, W).

    Returns:
        Probabilities over background and objects, (B, N + 1, H, W), which sum to 1, and the logits
        of which they are the softmax.
    """
    objects = object_probabilities.float()
    background = torch.prod(1 - objects, dim=1, keepdim=True)
    logits = torch.logit(torch.cat([background, objects], dim=1), eps=EPSILON)
    return torch.softmax(logits, dim=1), logits

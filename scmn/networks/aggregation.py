"""Soft aggregation of independent object probabilities into one distribution per pixel.

Source: Oh et al., ICCV 2019, supplementary material, "soft aggregation".
"""

from __future__ import annotations

import functools
import math

import torch
from torch import Tensor
from torch.nn import functional

EPSILON = 1e-7
"""Probabilities are clamped to [EPSILON, 1 - EPSILON] before the logit (the published value)."""


def soft_aggregation(
    object_probabilities: Tensor, valid_objects: Tensor | None = None
) -> tuple[Tensor, Tensor]:
    """Merge the objects' own probabilities; differentiable, used in training and testing.

    The background probability is that of no object, prod(1 - p_i); the softmax of all logits then
    is a distribution. Computed in float32: half precision cannot represent 1 - 1e-7.

    Args:
        object_probabilities: probability of each object independently, (B, N, H, W).
        valid_objects: bool (B, N), the objects to merge (None: all). The others get probability 0
            and logit minus infinity, as if they were not there.

    Returns:
        Probabilities over background and objects, (B, N + 1, H, W), which sum to 1, and the logits
        of which they are the softmax.
    """
    objects = object_probabilities.float()
    if valid_objects is not None:
        absent = ~valid_objects[:, :, None, None]
        objects = objects.masked_fill(absent, 0)
    # Not torch.prod, whose gradient waits for the device to look for zeros.
    background = functools.reduce(torch.mul, (1 - objects).split(1, dim=1))
    logits = torch.logit(torch.cat([background, objects], dim=1), eps=EPSILON)
    if valid_objects is not None:
        # Minus infinity, not a large negative number: a target that names an absent object is an
        # error in the data, which an infinite loss shows.
        logits = logits.masked_fill(functional.pad(absent, (0, 0, 0, 0, 1, 0)), -math.inf)
    return torch.softmax(logits, dim=1), logits

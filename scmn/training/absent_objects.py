"""Objects that a clip of a batch does not have, although others do.

A batch has as many object channels as its richest clip. The empty channels of the others still
produce maps, and the soft aggregation would let these take probability from the real objects and
the background. STCN's training multiplies them by a selector; here they are left out the same way.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from scmn.networks.base import ObjectMaps, Segmentation
from scmn.training.losses import Aggregate, mask_absent


def leave_out_absent(
    segmentation: Segmentation, valid_objects: Tensor, aggregate: Aggregate
) -> Segmentation:
    """Aggregate again without the objects that a clip does not have.

    Their probability becomes 0 and their logit minus infinity; what remains is what the clip gives
    without these channels. Apply it before the probabilities are remembered and before the loss.

    Args:
        segmentation: what the network's ``segment`` returned.
        valid_objects: bool (B, N), which objects each clip really has.
        aggregate: the network's ``aggregate``.
    """
    maps = segmentation.auxiliary
    coarse = maps.coarse_logits
    present = ObjectMaps(
        _silenced(maps.logits, valid_objects),
        None if coarse is None else _silenced(coarse, valid_objects),
        maps.spatial_prior,
    )
    _, logits = aggregate(present.logits)
    logits = mask_absent(logits, valid_objects)
    return Segmentation(torch.softmax(logits, dim=1), logits, present)


def _silenced(object_logits: Tensor, valid_objects: Tensor) -> Tensor:
    """Make absent objects' own probability exactly 0: (B, N, 1 or 2, H, W), the object last."""
    background, own = object_logits[:, :, :-1], object_logits[:, :, -1:]
    absent = ~valid_objects[:, :, None, None, None]
    return torch.cat([background, own.masked_fill(absent, -math.inf)], dim=2)

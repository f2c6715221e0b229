"""Spatial constraint of SCMN: where the object was a moment ago gates where it can be now.

Source: SCMN, spatial constraint module (DAVIS Challenge 2020, semi-supervised track).
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional

PREVIOUS_MASK = 0
"""Its input channel."""
FAR_PRIOR = 0.9
"""What the untrained prior is far from the previous mask: nearly open. The masks that it sees at
first are poor, and gating by them would hide the objects; where to close is learnt from look-alikes
(``PasteSettings.look_alike``)."""
MASK_WEIGHT = 1.0
"""First weight of every tap of the previous mask. Random first weights are some 0.02, and the mask
would hardly ever count."""


class SpatialConstraint(nn.Module):
    """Previous mask + current embedding -> sigmoid prior -> gated embedding.

    Appearance alone cannot tell an object from its look-alikes; its last position can. The prior
    sees the embedding's direction only: its magnitude grows in training until it drives the sigmoid
    far into saturation, where the mask no longer changes anything.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.convolution = nn.Conv2d(channels + 1, 1, kernel_size=3, padding=1)
        assert self.convolution.bias is not None
        with torch.no_grad():
            self.convolution.bias.fill_(math.log(FAR_PRIOR / (1 - FAR_PRIOR)))
            self.convolution.weight[:, PREVIOUS_MASK] = MASK_WEIGHT

    def forward(self, embedding: Tensor, previous_mask: Tensor) -> tuple[Tensor, Tensor]:
        """Gate the embedding.

        Args:
            embedding: current embedding, (B * N, C, h, w).
            previous_mask: the object's soft mask in the previous frame at stride 16,
                (B * N, 1, h, w).

        Returns:
            The gated embedding (B * N, C, h, w) and the spatial prior (B * N, 1, h, w) in [0, 1].
        """
        direction = functional.normalize(embedding, dim=1)
        joined = torch.cat([previous_mask.to(embedding.dtype), direction], dim=1)
        prior = torch.sigmoid(self.convolution(joined))
        return embedding * prior, prior

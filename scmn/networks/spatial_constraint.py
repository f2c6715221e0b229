"""Spatial constraint of SCMN: the object's previous position gates where it can be now.

Source: SCMN, spatial constraint module (DAVIS Challenge 2020, semi-supervised track).
"""

from __future__ import annotations

import math
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

ConstraintEmbedding = Literal["raw", "direction"]

PREVIOUS_MASK = 0
"""Input channel of the previous mask."""
FAR_PRIOR = 0.9
"""Value of the untrained prior far from the previous mask: nearly open. The masks are poor early in
training, and gating by them would hide the objects; where to close is learned from look-alikes."""
MASK_WEIGHT = 1.0
"""Initial weight of every tap of the previous mask. At a random weight of about 0.02 the mask would
barely affect the prior."""


class SpatialConstraint(nn.Module):
    """Previous mask + current embedding -> sigmoid prior -> gated embedding.

    Appearance alone cannot tell an object from its look-alikes; its last position can. The initial
    weights make the prior nearly open and let it follow the mask.
    """

    def __init__(self, channels: int, *, embedding: ConstraintEmbedding) -> None:
        """
        Args:
            channels: of the embedding.
            embedding: what the prior sees: "raw", the embedding divided by a constant, which the
                weights can make up for. Its magnitude grows during training, and may saturate the
                sigmoid, where the mask no longer has any effect. "direction": the embedding
                normalised to length 1 at each position.
        """
        super().__init__()
        self.normalized = embedding == "direction"
        self.convolution = nn.Conv2d(channels + 1, 1, kernel_size=3, padding=1)
        # The root of the embedding's fan-in, as in an equalised learning rate (Karras et al., ICLR
        # 2018, section 4.1). Undivided, Adam's first steps, which are alike for all weights, close
        # the prior everywhere, and no embedding passes any more.
        self.divisor = math.sqrt(channels * math.prod(self.convolution.kernel_size))
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
        if self.normalized:
            seen = functional.normalize(embedding, dim=1)
        else:
            seen = embedding / self.divisor
        joined = torch.cat([previous_mask.to(embedding.dtype), seen], dim=1)
        prior = torch.sigmoid(self.convolution(joined))
        return embedding * prior, prior

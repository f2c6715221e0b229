"""Spatial constraint of SCMN: where the object was a moment ago gates where it can be now.

Source: SCMN, spatial constraint module (DAVIS Challenge 2020, semi-supervised track).
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

OPEN_GATE = 2.0
"""Initial bias: the prior starts near 0.9, so that an untrained gate lets the embedding through."""


class SpatialConstraint(nn.Module):
    """Previous mask + current embedding -> sigmoid prior -> gated embedding.

    Appearance alone cannot tell an object from its look-alikes; its last position can.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.convolution = nn.Conv2d(channels + 1, 1, kernel_size=3, padding=1)
        assert self.convolution.bias is not None
        nn.init.constant_(self.convolution.bias, OPEN_GATE)

    def forward(self, embedding: Tensor, previous_mask: Tensor) -> tuple[Tensor, Tensor]:
        """Gate the embedding.

        Args:
            embedding: current embedding, (B * N, C, h, w).
            previous_mask: the object's soft mask in the previous frame at stride 16,
                (B * N, 1, h, w).

        Returns:
            The gated embedding (B * N, C, h, w) and the spatial prior (B * N, 1, h, w) in [0, 1].
        """
        joined = torch.cat([previous_mask.to(embedding.dtype), embedding], dim=1)
        prior = torch.sigmoid(self.convolution(joined))
        return embedding * prior, prior

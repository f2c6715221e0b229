"""Estimate of how good a mask is: the IoU that it would have with the truth.

Source: QDMN (Liu et al., ECCV 2022), quality assessment module: four convolutions and two linear
layers. QDMN rates the frame and the mask; here it is their features, which the network has computed
anyway, and what was read from the memory, in which a part that the mask misses may still show.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional

from scmn.networks.decoder import FINEST_STRIDE
from scmn.networks.initialization import keep_variance

WIDTH = 32
"""Channels of its maps: beside the decoder its time hardly counts."""
MASK_MAPS = 3
"""Maps of a mask that it sees: of the object, of all others, and of what is uncertain."""
CELL = 4
"""Height and width of a cell of stride 16 at stride 4."""
INITIAL_IOU = 0.8
"""Estimate of the untrained module: a common IoU of trained networks."""


class MaskQuality(nn.Module):
    """Query features, readout and mask of each object -> estimated IoU of the mask.

    Its inputs are detached: the rest of the network learns nothing from it.
    """

    def __init__(self, feature_dim: int, query_dim: int, value_dim: int) -> None:
        """
        Args:
            feature_dim: channels of the query's features at stride 4.
            query_dim: channels of the query's map that is joined with the readout.
            value_dim: channels of the readout.
        """
        super().__init__()
        # What the object does not change is computed once per frame, and added.
        self.features = nn.Conv2d(feature_dim, WIDTH, kernel_size=3, stride=2, padding=1)
        self.conv1 = nn.Conv2d(MASK_MAPS, WIDTH, kernel_size=3, stride=2, padding=1, bias=False)
        self.conv2 = nn.Conv2d(WIDTH, WIDTH, kernel_size=3, stride=2, padding=1, bias=False)
        self.query = nn.Conv2d(query_dim, WIDTH, kernel_size=1)
        self.readout = nn.Conv2d(value_dim, WIDTH, kernel_size=1, bias=False)
        self.conv3 = nn.Conv2d(WIDTH, WIDTH, kernel_size=3, padding=1)
        self.conv4 = nn.Conv2d(WIDTH, WIDTH, kernel_size=3, padding=1)
        self.linear1 = nn.Linear(2 * WIDTH, WIDTH)
        self.linear2 = nn.Linear(WIDTH, 1)
        keep_variance(*(module for module in self.children() if isinstance(module, nn.Conv2d)))
        nn.init.constant_(self.linear2.bias, math.log(INITIAL_IOU / (1 - INITIAL_IOU)))

    def forward(
        self, features: Tensor, query: Tensor, readout: Tensor, probabilities: Tensor
    ) -> Tensor:
        """Rate the masks of one frame.

        Args:
            features: the query's at stride 4, (B, feature_dim, H/4, W/4).
            query: its map that is joined with the readout, (B, query_dim, h, w).
            readout: (B, N, value_dim, h, w).
            probabilities: over background and objects, (B, N + 1, H, W).

        Returns:
            The estimated IoU of each object's mask, where it is the most probable, with the truth,
            (B, N), float32. Of an empty mask that is 1 if the object is not there, otherwise 0.
        """
        features, query = features.detach(), query.detach()
        readout, probabilities = readout.detach(), probabilities.detach()
        shape = readout.shape[:2]
        maps = _mask_maps(probabilities)
        x = self.conv1(maps).unflatten(0, shape) + self.features(features).unsqueeze(1)
        x = self.conv2(functional.relu_(x.flatten(0, 1)))
        x = x + self.readout(readout.flatten(0, 1))
        x = functional.relu_((x.unflatten(0, shape) + self.query(query).unsqueeze(1)).flatten(0, 1))
        x = functional.relu_(self.conv4(functional.relu_(self.conv3(x))))
        mask = functional.avg_pool2d(maps[:, :1], CELL)
        hidden = functional.relu(self.linear1(_pooled(x, mask)))
        return torch.sigmoid(self.linear2(hidden).float()).view(shape)


def _mask_maps(probabilities: Tensor) -> Tensor:
    """(B, N + 1, H, W) -> of each object, all others, and uncertainty: (B * N, 3, H/4, W/4)."""
    objects = probabilities[:, 1:]
    own = functional.avg_pool2d(objects, FINEST_STRIDE)
    others = own.sum(dim=1, keepdim=True) - own
    # A soft border is uncertain; a sharp one only looks so after pooling.
    uncertain = functional.avg_pool2d(4 * objects * (1 - objects), FINEST_STRIDE)
    return torch.stack([own, others, uncertain], dim=2).flatten(0, 1)


def _pooled(x: Tensor, mask: Tensor) -> Tensor:
    """Pool maps (M, C, h, w) with masks (M, 1, h, w): (M, 2 * C), float32.

    The mean over the mask, and the sum over the frame in proportion to the mask: an IoU is about
    the share of the object that is missed, and the wrong area as a multiple of its own.
    """
    x, mask = x.float(), mask.float()
    area = mask.sum(dim=(2, 3))
    inside = (x * mask).sum(dim=(2, 3)) / area.clamp(min=1e-3)
    everywhere = x.sum(dim=(2, 3)) / (area + 1)
    return torch.cat([inside, torch.log1p(everywhere)], dim=1)

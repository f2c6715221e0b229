"""How much the positions of a remembered frame count."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional

from scmn.inference.confidence import certainty
from scmn.inference.devices import upload
from scmn.networks.base import STRIDE


def frame_weights(
    probabilities: Tensor, trusted: Sequence[bool] | None, *, weigh_cells: bool
) -> Tensor | None:
    """Return a frame's weights for ``MemoryFrames.weighted``; None if all are 1.

    Args:
        probabilities: of the frame, (N + 1, H, W) over background and objects.
        trusted: which objects are remembered from it (None: all).
        weigh_cells: weigh each position by how certain its pixels are.

    Returns:
        (1, N or 1, 1, 1, h or 1, w or 1).
    """
    weights: Tensor | None = None
    if trusted is not None:
        objects = upload(torch.tensor(trusted), probabilities.device)
        weights = objects.float().view(1, -1, 1, 1, 1, 1)
    if weigh_cells:
        cells = functional.avg_pool2d(certainty(probabilities)[0][None, None], STRIDE)
        cells = cells[:, :, None, None]
        weights = cells if weights is None else weights * cells
    return weights

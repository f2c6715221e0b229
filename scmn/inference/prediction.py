"""What a segmenter says of a frame."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from torch import Tensor

from scmn.inference.geometry import FrameGeometry
from scmn.networks.base import STRIDE


@dataclass(frozen=True)
class Prediction:
    """The segmentation of one frame, at the frame's own size and with the user's ids."""

    labels: np.ndarray
    """Label map, uint8 (H, W): 0 background, else the user's object ids."""
    object_ids: tuple[int, ...]
    """The objects in the order of the probabilities' channels 1..N."""
    geometry: FrameGeometry
    network_probabilities: Tensor
    """(N + 1, h, w) over background and objects at the network's size without padding."""
    network_spatial_prior: Tensor | None = None
    """(N, h, w) at stride 16 with padding: SCMN's spatial prior, where it was computed."""

    @property
    def probabilities(self) -> Tensor:
        """(N + 1, H, W) over background and objects at the frame's own size, on the device.

        Enlarged when asked for: most users want labels only.
        """
        return self.geometry.frame_maps(self.network_probabilities)

    @property
    def spatial_prior(self) -> Tensor | None:
        """SCMN's spatial prior of each object, (N, H, W) in [0, 1] at the frame's own size.

        NaN for an object that was given for the first time on this frame.
        """
        if self.network_spatial_prior is None:
            return None
        enlarged = self.network_spatial_prior.float()
        for dim in (-2, -1):
            enlarged = enlarged.repeat_interleave(STRIDE, dim=dim)
        return self.geometry.frame_maps(self.geometry.crop(enlarged))


def with_given_labels(
    predicted: np.ndarray, labels: np.ndarray, given: Sequence[int]
) -> np.ndarray:
    """Put the given objects' own pixels into a label map, not what scaling made of them."""
    merged = np.where(np.isin(predicted, given), np.uint8(0), predicted)
    return np.where(np.isin(labels, given), labels, merged).astype(np.uint8)

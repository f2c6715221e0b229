"""Segmentation of one frame."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import cv2
import numpy as np
import torch
from torch import Tensor

from scmn.data.masks import object_ids, to_one_hot
from scmn.extras import import_optional
from scmn.inference.confidence import mask_confidence
from scmn.inference.devices import Download
from scmn.inference.geometry import FrameGeometry, most_probable
from scmn.inference.given_objects import GivenObjects
from scmn.networks.base import STRIDE
from scmn.networks.features import Segmentation

if TYPE_CHECKING:
    from supervision import Detections


@dataclass(frozen=True)
class Prediction:
    """Segmentation of one frame, at the frame's own size and with the user's object ids.

    It stays on the device until its labels are read.

    Attributes:
        object_ids: the objects in the order of the probabilities' channels 1..N.
        geometry: the sizes of the frame and of the network's input.
        network_probabilities: (N + 1, h, w) over background and objects, at the network's size
            without padding.
        network_spatial_prior: SCMN's spatial prior, (N, h, w) at stride 16 with padding; None if
            the network has none, or on a frame that was not segmented.
        quality: (N,), the network's estimate of each mask's IoU with the truth, 1 for a given mask;
            None if the network has none.
        given: the label map given on this frame and the ids of the objects that are given in it.
    """

    object_ids: tuple[int, ...]
    geometry: FrameGeometry
    network_probabilities: Tensor
    network_spatial_prior: Tensor | None = None
    quality: Tensor | None = None
    given: tuple[np.ndarray, tuple[int, ...]] | None = None

    def request_labels(self) -> None:
        """Start the computation of :attr:`labels` and their copy to the host.

        Requested before the device gets the next frame and read after that, they do not leave it
        without work.
        """
        _ = self._channels

    @cached_property
    def labels(self) -> np.ndarray:
        """Label map, uint8 (H, W): 0 background, otherwise the user's object ids."""
        table = np.zeros(256, dtype=np.uint8)
        table[1 : len(self.object_ids) + 1] = self.object_ids
        predicted = cv2.LUT(self._channels.wait(), table)
        return predicted if self.given is None else with_given_labels(predicted, *self.given)

    @cached_property
    def _channels(self) -> Download:
        """The most probable channel of every pixel, uint8 (H, W)."""
        channels = most_probable(self.network_probabilities, self.geometry)
        return Download(channels.to(torch.uint8))

    @property
    def probabilities(self) -> Tensor:
        """(N + 1, H, W) over background and objects at the frame's own size, on the device.

        Upsampled on access: most users need only labels.
        """
        return self.geometry.frame_maps(self.network_probabilities)

    @property
    def confidence(self) -> Tensor:
        """How good each object's mask is, (N,) in [0, 1], on the device.

        The network's estimate of the IoU with the truth, if it has one (QDMN, Liu et al., ECCV
        2022). That of an empty mask is high if the object is believed to be absent, but 0 if
        ``memory.absence`` emptied it.

        Otherwise how clear the mask is, 0 without a mask: the mean of ``1 - p2 / p1`` over its
        pixels, of the largest and the second largest probability. AFB-URR (Liang et al., NeurIPS
        2020, 3.4) sees uncertainty where they are close.
        """
        return self._mask_confidence[0] if self.quality is None else self.quality

    @property
    def present(self) -> Tensor:
        """Whether each object has a mask on this frame, bool (N,), on the device."""
        return self._mask_confidence[1] > 0

    @cached_property
    def _mask_confidence(self) -> tuple[Tensor, Tensor]:
        return mask_confidence(self.network_probabilities)

    @property
    def spatial_prior(self) -> Tensor | None:
        """SCMN's spatial prior of each object, (N, H, W) in [0, 1] at the frame's own size.

        NaN for an object that was first given on this frame.
        """
        if self.network_spatial_prior is None:
            return None
        upsampled = self.network_spatial_prior.float()
        for dim in (-2, -1):
            upsampled = upsampled.repeat_interleave(STRIDE, dim=dim)
        return self.geometry.frame_maps(self.geometry.crop(upsampled))

    def to_supervision(self) -> Detections:
        """Return the objects that are seen as ``supervision.Detections``, for its annotators.

        Masks and boxes are those of :attr:`labels`; ``class_id`` and ``tracker_id`` are the
        user's object ids.

        Raises:
            InputError: supervision is not installed.
        """
        supervision = import_optional(
            "supervision", need="to_supervision needs supervision", extra="supervision"
        )
        seen = object_ids(self.labels)
        masks = to_one_hot(self.labels, seen)
        ids = np.array(seen, dtype=int)
        confidence = self.confidence.cpu().numpy()
        return supervision.Detections(
            xyxy=supervision.mask_to_xyxy(masks).astype(np.float32),
            mask=masks,
            confidence=confidence[[self.object_ids.index(object_id) for object_id in seen]],
            class_id=ids,
            tracker_id=ids,
        )


def frame_prediction(
    probabilities: Tensor,
    object_ids: tuple[int, ...],
    geometry: FrameGeometry,
    *,
    segmentation: Segmentation | None,
    given: GivenObjects | None,
    estimates_quality: bool,
) -> Prediction:
    """Return the prediction of a frame that was segmented, given with masks, or both.

    Args:
        probabilities: (1, N + 1, H, W) at the network's size with padding.
        object_ids: of all objects, in the order of the channels 1..N. Those that were first
            given on this frame come last.
        geometry: the video's geometry.
        segmentation: what the network made of the objects that it remembers (None: nothing).
        given: the objects that are given on the frame, if any.
        estimates_quality: whether the network estimates how good its masks are.
    """
    count = len(object_ids)
    prior = None if segmentation is None else segmentation.auxiliary.spatial_prior
    quality = None
    if estimates_quality:
        quality = probabilities.new_ones(count, dtype=torch.float32)
        if segmentation is not None and segmentation.quality is not None:
            quality[: segmentation.quality.shape[1]] = segmentation.quality[0]
        for object_id in () if given is None else given.ids:
            quality[object_ids.index(object_id)] = 1
    return Prediction(
        object_ids,
        geometry,
        geometry.crop(probabilities[0]),
        None if prior is None else _of_all_objects(prior[0, :, 0], count),
        quality,
        None if given is None else (given.labels, given.ids),
    )


def _of_all_objects(prior: Tensor, objects: int) -> Tensor:
    """Append NaN for objects that were first given on this frame and have no prior yet."""
    missing = prior.new_full((objects - prior.shape[0], *prior.shape[1:]), torch.nan)
    return torch.cat([prior, missing])


def with_given_labels(
    predicted: np.ndarray, labels: np.ndarray, given: Sequence[int]
) -> np.ndarray:
    """Replace the given objects in a prediction by their pixels in ``labels``.

    Scaling to the network's size and back would change them.
    """
    merged = np.where(np.isin(predicted, given), np.uint8(0), predicted)
    return np.where(np.isin(labels, given), labels, merged).astype(np.uint8)

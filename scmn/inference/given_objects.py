"""Masks that the user gives on a frame: objects that are added or corrected there."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from scmn.data.masks import MAX_OBJECT_ID, object_ids, to_one_hot
from scmn.errors import InputError
from scmn.inference.devices import upload
from scmn.inference.frames import check_labels
from scmn.inference.geometry import FrameGeometry
from scmn.networks.aggregation import soft_aggregation


@dataclass(frozen=True)
class GivenObjects:
    """The objects that are given on a frame."""

    labels: np.ndarray
    """The label map that they are given in, (H, W) at the frame's own size."""
    masks: Mapping[int, Tensor]
    """By id, (H, W) at the network's size."""

    @property
    def ids(self) -> tuple[int, ...]:
        return tuple(self.masks)


def given_objects(
    labels: np.ndarray,
    objects: Sequence[int] | None,
    geometry: FrameGeometry,
    *,
    frame: int,
    device: torch.device,
) -> GivenObjects:
    """Return the objects that are given in a label map.

    Args:
        labels: label map (H, W). It is copied: the user may change the array afterwards.
        objects: ids annotated in it (None: those that occur).
        geometry: the video's geometry.
        frame: index of the frame, for messages.
        device: where the masks are to be.

    Raises:
        InputError: a label map of a wrong type or size, without objects, or ids out of range.
    """
    check_labels(labels, geometry.frame_size, frame)
    ids = object_ids(labels) if objects is None else tuple(objects)
    if not ids:
        raise InputError(f"label map of frame {frame} has no objects: it is all background")
    if not all(1 <= object_id <= MAX_OBJECT_ID for object_id in ids):
        raise InputError(f"object ids are 1..{MAX_OBJECT_ID}, not {list(ids)}")
    one_hot = upload(torch.from_numpy(to_one_hot(labels, ids)), device).float()
    masks = geometry.network_masks(one_hot.unsqueeze(0))[0]
    return GivenObjects(labels.copy(), dict(zip(ids, masks, strict=True)))


def with_given_masks(
    segmented: Mapping[int, Tensor], given: Mapping[int, Tensor], order: Sequence[int]
) -> Tensor:
    """Insert given masks into a segmentation.

    As in STCN's published inference on YouTube-VOS: inside a given mask every other object's
    probability is set to zero, then all are aggregated again.

    Args:
        segmented: the objects' probabilities (H, W) by id.
        given: masks (H, W) by id; they replace what was segmented of these objects.
        order: the ids of all objects, in the order of the result's channels.

    Returns:
        Probabilities (1, N + 1, H, W) over background and objects.
    """
    outside = 1 - torch.stack(list(given.values())).amax(dim=0)
    masks = [given[i] if i in given else segmented[i] * outside for i in order]
    return soft_aggregation(torch.stack(masks).unsqueeze(0))[0]

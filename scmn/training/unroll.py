"""Unrolling a network over a clip, and the module whose forward pass is one training pass.

Source: STM (Oh et al., ICCV 2019, 3.5, "two-stage training") and STCN's training code: the first
frame is remembered with its given masks, later ones are segmented and then remembered with their
*soft* predictions. These are exactly the calls of inference.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from scmn.data.clips.batch import ClipBatch
from scmn.networks.base import MemoryFrames, MemoryNetwork, Segmentation
from scmn.training.losses import IoUSum, LossTerms, VideoLoss, training_iou
from scmn.training.settings import UnrollMemorySettings


def unroll(
    network: MemoryNetwork,
    frames: Tensor,
    first_masks: Tensor,
    valid_objects: Tensor,
    settings: UnrollMemorySettings | None = None,
) -> list[Segmentation]:
    """Segment all frames of clips except the first.

    Args:
        network: the network, in training mode.
        frames: RGB in [0, 1], (B, T, 3, H, W), H and W multiples of 16.
        first_masks: given masks of the first frames, (B, N, H, W).
        valid_objects: bool (B, N), the channels that hold an object.
        settings: which later frames are remembered (None: all).

    Returns:
        The segmentations of frames 1..T-1.
    """
    settings = settings or UnrollMemorySettings()
    masks = first_masks
    query = network.encode_query(frames[:, 0]) if network.shared_key else None
    first = network.encode_memory(frames[:, 0], masks, query)
    later: deque[MemoryFrames] = deque(maxlen=settings.max_frames)
    segmentations: list[Segmentation] = []
    last = frames.shape[1] - 1
    for t in range(1, last + 1):
        query = network.encode_query(frames[:, t])
        memory = MemoryFrames.join([first, *later])
        segmentation = network.segment(query, memory, masks, valid_objects=valid_objects)
        segmentations.append(segmentation)
        masks = segmentation.probabilities[:, 1:]
        if t < last and t % settings.every == 0:
            later.append(network.encode_memory(frames[:, t], masks, query))
    return segmentations


@dataclass(frozen=True)
class PassResult:
    """Result of one forward pass over a batch of clips."""

    loss: LossTerms
    iou: IoUSum
    segmentations: list[Segmentation]


class TrainingPass(nn.Module):
    """Network and loss as one module, so that DistributedDataParallel sees one forward pass."""

    def __init__(
        self, network: MemoryNetwork, loss: VideoLoss, memory: UnrollMemorySettings
    ) -> None:
        super().__init__()
        self.network = network
        self.loss = loss
        self.memory = memory

    def forward(self, batch: ClipBatch, iteration: int) -> PassResult:
        """Unroll over a batch and compare with its label maps.

        Args:
            batch: clips on the network's device.
            iteration: optimizer step within the stage, for the loss's schedule.
        """
        frames = batch.frames
        first_masks = batch.masks[:, 0].to(frames.dtype)
        segmentations = unroll(self.network, frames, first_masks, batch.valid_objects, self.memory)
        targets = list(batch.label_maps[:, 1:].unbind(dim=1))
        with torch.autocast(frames.device.type, enabled=False):
            loss = self.loss(segmentations, targets, batch.valid_objects, iteration)
        return PassResult(loss, training_iou(segmentations, targets), segmentations)

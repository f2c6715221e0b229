"""Unrolling a network over a clip, and the module whose forward pass is one training pass.

Source: STM (Oh et al., ICCV 2019, 3.5, "two-stage training") and STCN's training code: the first
frame is remembered with its given masks, later ones are segmented and then remembered with their
*soft* predictions. These are exactly the calls of inference.
"""

from __future__ import annotations

import itertools
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, fields

import torch
from torch import Tensor, nn

from scmn.data.clips.batch import ClipBatch
from scmn.networks.base import MemoryNetwork
from scmn.networks.features import MemoryFrames, QueryFeatures, Segmentation
from scmn.training.losses import IoUSum, LossTerms, VideoLoss, training_iou
from scmn.training.normalization import learns_statistics
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
    together = frames.is_cuda and not learns_statistics(network)
    queries = encode_queries(network, frames, together=together)
    first = network.encode_memory(frames[:, 0], masks, next(queries))
    later: deque[MemoryFrames] = deque(maxlen=settings.max_frames)
    segmentations: list[Segmentation] = []
    last = frames.shape[1] - 1
    for t in range(1, last + 1):
        query = next(queries)
        assert query is not None
        memory = MemoryFrames.join([first, *later])
        segmentation = network.segment(query, memory, masks, valid_objects=valid_objects)
        segmentations.append(segmentation)
        masks = segmentation.probabilities[:, 1:]
        if t < last and t % settings.every == 0:
            later.append(network.encode_memory(frames[:, t], masks, query))
    return segmentations


def encode_queries(
    network: MemoryNetwork, frames: Tensor, *, together: bool
) -> Iterator[QueryFeatures | None]:
    """Yield the query features of each frame of clips; None for the first if it needs none.

    Args:
        network: the network.
        frames: as for :func:`unroll`.
        together: encode all frames in one batch instead of one by one. That fills a GPU better; a
            CPU takes up to 1.6 times as long (measured: MobileNetV2, 192x192). The features are
            the same unless norms learn statistics, which would be those of another batch.
    """
    start = 0 if network.shared_key else 1
    if start:
        yield None
    images = frames[:, start:].transpose(0, 1)
    if not together:
        yield from map(network.encode_query, images)
        return
    features = network.encode_query(images.flatten(0, 1))
    maps = (getattr(features, field.name).chunk(len(images)) for field in fields(features))
    yield from itertools.starmap(QueryFeatures, zip(*maps, strict=True))


@dataclass(frozen=True)
class PassResult:
    """Result of one forward pass over a batch of clips."""

    loss: LossTerms
    iou: IoUSum
    segmentations: list[Segmentation]
    """Without their graph: DistributedDataParallel would wait for the gradients of everything that
    its outputs depend on, such as an estimate of mask quality that no loss trains."""


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
        frames, first_masks = batch.images(), batch.first_masks()
        segmentations = unroll(self.network, frames, first_masks, batch.valid_objects, self.memory)
        targets = list(batch.label_maps[:, 1:].unbind(dim=1))
        with torch.autocast(frames.device.type, enabled=False):
            loss = self.loss(segmentations, targets, batch.valid_objects, iteration)
        iou = training_iou(segmentations, targets)
        return PassResult(loss, iou, [segmentation.detach() for segmentation in segmentations])

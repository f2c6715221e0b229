"""Training clips as tensors, alone and in batches.

T frames, N object channels (fixed, so that clips of one and of three objects make one batch), H, W
pixels of the crop.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import cv2
import numpy as np
import torch
from torch import Tensor

from scmn.data.clips.clip import DrawnClip


@dataclass(frozen=True)
class TrainingClip:
    """One training sample."""

    frames: Tensor
    """float32 (T, 3, H, W), RGB in [0, 1]."""
    masks: Tensor
    """uint8 (T, N, H, W), 0 or 1; channels without an object are 0 everywhere."""
    valid_objects: Tensor
    """bool (N,): which channels hold an object; the objects come first. All are False in the rare
    clip whose first frame shows no object after all redraws."""
    label_maps: Tensor
    """int64 (T, H, W): 0 background, 1..N the channel + 1, 255 void (the losses' ignore index)."""
    source: str
    """Data set, item and frames, for messages."""
    number: int
    """The sample number."""


@dataclass(frozen=True)
class ClipBatch:
    """Stacked training clips: the tensors of :class:`TrainingClip` with a batch dimension."""

    frames: Tensor
    masks: Tensor
    valid_objects: Tensor
    label_maps: Tensor
    sources: tuple[str, ...]
    numbers: tuple[int, ...]

    def __len__(self) -> int:
        return len(self.numbers)

    def to(self, device: torch.device | str, *, non_blocking: bool = False) -> ClipBatch:
        """Return the batch with its tensors on ``device``."""
        return self._map(lambda tensor: tensor.to(device, non_blocking=non_blocking))

    def pin_memory(self) -> ClipBatch:
        """Return the batch in page-locked memory; the DataLoader calls this."""
        return self._map(Tensor.pin_memory)

    def _map(self, change: Callable[[Tensor], Tensor]) -> ClipBatch:
        return replace(
            self,
            frames=change(self.frames),
            masks=change(self.masks),
            valid_objects=change(self.valid_objects),
            label_maps=change(self.label_maps),
        )


def assemble_clip(drawn: DrawnClip, *, max_objects: int, number: int) -> TrainingClip:
    """Turn a drawn clip into tensors with ``max_objects`` channels."""
    labels = np.stack(drawn.labels)
    channels = np.arange(1, max_objects + 1, dtype=np.uint8)
    masks = labels[:, None] == channels[:, None, None]
    return TrainingClip(
        frames=torch.from_numpy(_channels_first(drawn.images)),
        masks=torch.from_numpy(masks.view(np.uint8)),
        valid_objects=torch.arange(max_objects) < drawn.objects,
        label_maps=torch.from_numpy(labels.astype(np.int64)),
        source=drawn.source,
        number=number,
    )


def _channels_first(images: Sequence[np.ndarray]) -> np.ndarray:
    """Return float32 (T, 3, H, W) in [0, 1]."""
    frames = np.empty((len(images), 3, *images[0].shape[:2]), np.float32)
    for frame, image in zip(frames, images, strict=True):
        for plane, channel in zip(frame, cv2.split(image), strict=True):
            np.multiply(channel, np.float32(1 / 255), out=plane)
    return frames


def collate_clips(clips: Sequence[TrainingClip]) -> ClipBatch:
    """Stack clips of one size into a batch."""
    return ClipBatch(
        frames=torch.stack([clip.frames for clip in clips]),
        masks=torch.stack([clip.masks for clip in clips]),
        valid_objects=torch.stack([clip.valid_objects for clip in clips]),
        label_maps=torch.stack([clip.label_maps for clip in clips]),
        sources=tuple(clip.source for clip in clips),
        numbers=tuple(clip.number for clip in clips),
    )

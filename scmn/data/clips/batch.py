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
    """uint8 (T, 3, H, W), RGB."""
    valid_objects: Tensor
    """bool (N,): which channels hold an object; the objects come first. All are False in the rare
    clip whose first frame shows no object after all redraws."""
    label_maps: Tensor
    """uint8 (T, H, W): 0 background, 1..N the channel + 1, 255 void (the losses' ignore index)."""
    source: str
    """Data set, item and frames, for messages."""
    number: int
    """The sample number."""


@dataclass(frozen=True)
class ClipBatch:
    """Stacked training clips: the tensors of :class:`TrainingClip` with a batch dimension.

    Frames and label maps travel from workers to the device as bytes and become numbers there.
    """

    frames: Tensor
    valid_objects: Tensor
    label_maps: Tensor
    sources: tuple[str, ...]
    numbers: tuple[int, ...]

    def __len__(self) -> int:
        return len(self.numbers)

    def images(self) -> Tensor:
        """Return the frames as the networks take them: float32 (B, T, 3, H, W) in [0, 1]."""
        return self.frames.float().mul_(1 / 255)

    def first_masks(self) -> Tensor:
        """Return the masks of the first frames, float32 (B, N, H, W), 0 or 1.

        Channels without an object are 0 everywhere.
        """
        channels = torch.arange(1, self.valid_objects.shape[1] + 1, device=self.frames.device)
        return (self.label_maps[:, :1] == channels[:, None, None]).float()

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
            valid_objects=change(self.valid_objects),
            label_maps=change(self.label_maps),
        )


def assemble_clip(drawn: DrawnClip, *, max_objects: int, number: int) -> TrainingClip:
    """Turn a drawn clip into tensors with ``max_objects`` channels."""
    return TrainingClip(
        frames=torch.from_numpy(np.stack([cv2.split(image) for image in drawn.images])),
        valid_objects=torch.arange(max_objects) < drawn.objects,
        label_maps=torch.from_numpy(np.stack(drawn.labels)),
        source=drawn.source,
        number=number,
    )


def collate_clips(clips: Sequence[TrainingClip]) -> ClipBatch:
    """Stack clips of one size into a batch."""
    return ClipBatch(
        frames=torch.stack([clip.frames for clip in clips]),
        valid_objects=torch.stack([clip.valid_objects for clip in clips]),
        label_maps=torch.stack([clip.label_maps for clip in clips]),
        sources=tuple(clip.source for clip in clips),
        numbers=tuple(clip.number for clip in clips),
    )

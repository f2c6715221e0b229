"""What training is fed with: one clip, a batch of clips, and the settings that both obey.

T frames, N object places (fixed, so that clips of one and of three objects make one batch), H, W
pixels of the crop.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import cv2
import numpy as np
import torch
from torch import Tensor

from scmn.data.masks import VOID
from scmn.errors import InputError


@dataclass(frozen=True)
class ClipSettings:
    """What every clip of a stage has in common.

    Raises InputError for a value out of its range.
    """

    frames: int = 3
    size: tuple[int, int] = (384, 384)
    """Height, width of the crop in pixels."""
    max_objects: int = 3
    """Places for objects; a clip with more of them keeps a random choice."""
    minimum_area: float = 0.0005
    """An object smaller than this share of the crop in the first frame is a target only if no
    other is larger."""
    redraws: int = 5
    """How often frames and crop are drawn anew because the first frame shows no such object."""

    def __post_init__(self) -> None:
        if self.frames < 2:
            refuse_setting("frames", self.frames, "at least 2")
        if len(self.size) != 2 or min(self.size) < 16:
            refuse_setting("size", self.size, "height and width of at least 16 pixels")
        if not 1 <= self.max_objects <= 254:
            refuse_setting("max_objects", self.max_objects, "a number from 1 to 254")
        if not 0 <= self.minimum_area <= 1:
            refuse_setting("minimum_area", self.minimum_area, "a share from 0 to 1")
        if self.redraws < 0:
            refuse_setting("redraws", self.redraws, "0 or more")

    @property
    def minimum_pixels(self) -> int:
        """``minimum_area`` in pixels, at least 1."""
        return max(1, round(self.minimum_area * self.size[0] * self.size[1]))


def refuse_setting(name: str, value: object, expected: str) -> None:
    """Raise the InputError for a setting of training clips that is out of its range."""
    raise InputError(f"training clip setting '{name}' is {value!r}; expected {expected}")


@dataclass(frozen=True)
class DrawnClip:
    """An augmented clip as a source draws it, before it becomes tensors."""

    images: Sequence[np.ndarray]
    """T times uint8 (H, W, 3), RGB."""
    labels: Sequence[np.ndarray]
    """T times uint8 (H, W): 0 background, 1..objects, 255 void."""
    objects: int
    """Number of targets; each is visible in the first frame."""
    source: str
    """Data set, item and frames, for messages."""


@dataclass(frozen=True)
class TrainingClip:
    """One training sample."""

    frames: Tensor
    """float32 (T, 3, H, W), RGB in [0, 1]."""
    masks: Tensor
    """uint8 (T, N, H, W), 0 or 1; places without an object are 0 everywhere."""
    valid_objects: Tensor
    """bool (N,): which places hold an object; the objects come first. All are False in the rare
    clip whose first frame shows none after all redraws."""
    label_maps: Tensor
    """int64 (T, H, W): 0 background, 1..N the place + 1, 255 void (the losses' ignore index)."""
    source: str
    """Data set, item and frames, for messages."""
    number: int
    """The sample number."""


@dataclass(frozen=True)
class ClipBatch:
    """Training clips stacked: every tensor of :class:`TrainingClip` with B in front."""

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
        return self._mapped(lambda tensor: tensor.to(device, non_blocking=non_blocking))

    def pin_memory(self) -> ClipBatch:
        """Return the batch in page-locked memory; the DataLoader calls this."""
        return self._mapped(Tensor.pin_memory)

    def _mapped(self, change: Callable[[Tensor], Tensor]) -> ClipBatch:
        return replace(
            self,
            frames=change(self.frames),
            masks=change(self.masks),
            valid_objects=change(self.valid_objects),
            label_maps=change(self.label_maps),
        )


def assemble_clip(drawn: DrawnClip, *, max_objects: int, number: int) -> TrainingClip:
    """Turn a drawn clip into tensors with ``max_objects`` places."""
    labels = np.stack(drawn.labels)
    places = np.arange(1, max_objects + 1, dtype=np.uint8)
    masks = labels[:, None] == places[:, None, None]
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
    """Stack clips of one size to a batch."""
    return ClipBatch(
        frames=torch.stack([clip.frames for clip in clips]),
        masks=torch.stack([clip.masks for clip in clips]),
        valid_objects=torch.stack([clip.valid_objects for clip in clips]),
        label_maps=torch.stack([clip.label_maps for clip in clips]),
        sources=tuple(clip.source for clip in clips),
        numbers=tuple(clip.number for clip in clips),
    )


def object_areas(labels: np.ndarray) -> dict[int, int]:
    """Return id -> pixels of the objects in a label map, uint8 (H, W)."""
    # OpenCV counts bytes as bytes; np.bincount widens every one of them first, 20 times slower.
    counts = cv2.calcHist([labels], [0], None, [256], [0, 256]).ravel()[:VOID]
    return {int(label): int(counts[label]) for label in np.flatnonzero(counts) if label}

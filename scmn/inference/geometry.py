"""Scaling and padding from the frame's own size to the network's, and back."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from scmn.errors import InputError
from scmn.networks.base import STRIDE


@dataclass(frozen=True)
class FrameGeometry:
    """Sizes (height, width) of the frames of one video, before and after scaling."""

    frame_size: tuple[int, int]
    scaled_size: tuple[int, int]
    """After scaling, before padding to multiples of 16."""

    @staticmethod
    def of_frame(
        height: int,
        width: int,
        *,
        shorter_side: int | None,
        upscale: bool = False,
        scale: float = 1.0,
    ) -> FrameGeometry:
        """Scale the shorter side down to ``shorter_side``, then by ``scale``.

        With ``upscale`` a shorter side below ``shorter_side`` is scaled up to it.

        Raises:
            InputError: the frame is smaller than 16x16.
        """
        if min(height, width) < STRIDE:
            raise InputError(
                f"frame of {height}x{width} pixels: at least {STRIDE}x{STRIDE} are needed"
            )
        factor = scale
        if shorter_side is not None:
            change = shorter_side / min(height, width)
            factor *= change if upscale else min(1.0, change)
        scaled = (max(STRIDE, round(height * factor)), max(STRIDE, round(width * factor)))
        return FrameGeometry((height, width), scaled)

    @property
    def padding(self) -> tuple[int, int, int, int]:
        """Left, right, top and bottom padding; the smaller half comes first (left, top)."""
        height, width = self.scaled_size
        vertical, horizontal = -height % STRIDE, -width % STRIDE
        left, top = horizontal // 2, vertical // 2
        return left, horizontal - left, top, vertical - top

    @property
    def network_size(self) -> tuple[int, int]:
        """Height and width with the padding."""
        height, width = (size + -size % STRIDE for size in self.scaled_size)
        return height, width

    def network_image(self, image: Tensor, colour: Tensor) -> Tensor:
        """(B, 3, H, W) in [0, 1] -> the network's size, padded with ``colour`` (3, 1, 1)."""
        if tuple(image.shape[-2:]) != self.scaled_size:
            image = functional.interpolate(
                image, self.scaled_size, mode="bilinear", align_corners=False, antialias=True
            ).clamp(0, 1)
        if not any(self.padding):
            return image
        padded = colour.expand(image.shape[0], -1, *self.network_size)
        padded = padded.contiguous(memory_format=torch.channels_last)
        self.crop(padded).copy_(image)
        return padded

    def network_masks(self, masks: Tensor) -> Tensor:
        """(B, N, H, W) given masks -> the network's size, nearest, padded with zero.

        An object so small that nearest sampling would miss it gets every pixel that it touches.
        """
        if tuple(masks.shape[-2:]) != self.scaled_size:
            nearest = functional.interpolate(masks, self.scaled_size, mode="nearest-exact")
            touched = functional.adaptive_max_pool2d(masks, self.scaled_size)
            missed = nearest.amax(dim=(2, 3), keepdim=True) == 0
            masks = torch.where(missed, touched, nearest)
        return functional.pad(masks, self.padding)

    def crop(self, maps: Tensor) -> Tensor:
        """Undo the padding of (..., H, W) at the network's size (a view)."""
        left, _, top, _ = self.padding
        height, width = self.scaled_size
        return maps[..., top : top + height, left : left + width]

    def without_padding(self, masks: Tensor) -> Tensor:
        """Set masks (B, N, H, W) at the network's size to zero in the padding."""
        if not any(self.padding):
            return masks
        return functional.pad(self.crop(masks), self.padding)

    def frame_maps(self, maps: Tensor) -> Tensor:
        """(N, h, w) cropped maps -> (N, H, W) at the frame's own size, bilinear."""
        if tuple(maps.shape[-2:]) == self.frame_size:
            return maps
        return functional.interpolate(
            maps.unsqueeze(0), self.frame_size, mode="bilinear", align_corners=False
        ).squeeze(0)


CHANNELS_AT_ONCE = 16
"""Maps that are upsampled at a time, so that many objects do not exhaust the device's memory."""


def most_probable(probabilities: Tensor, geometry: FrameGeometry) -> Tensor:
    """Return the channel of the largest probability at the frame's own size.

    Args:
        probabilities: cropped, at the network's size, (N + 1, h, w).
        geometry: the video's geometry.

    Returns:
        int64 (H, W); the first of equal channels.
    """
    best, channel = geometry.frame_maps(probabilities[:CHANNELS_AT_ONCE]).max(dim=0)
    for start in range(CHANNELS_AT_ONCE, probabilities.shape[0], CHANNELS_AT_ONCE):
        maps = geometry.frame_maps(probabilities[start : start + CHANNELS_AT_ONCE])
        value, index = maps.max(dim=0)
        better = value > best
        best = torch.where(better, value, best)
        channel = torch.where(better, index + start, channel)
    return channel

"""Query encoder, memory encoder with mask stems, and the key/value projection.

Source: STM (Oh et al., ICCV 2019, "key and value embedding").
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from scmn.networks.backbones import Features, build_trunk
from scmn.networks.initialization import keep_variance, spread_keys


class QueryEncoder(nn.Module):
    """Image (B, 3, H, W) -> features at strides 4, 8 and 16."""

    def __init__(self, backbone: str) -> None:
        super().__init__()
        self.trunk = build_trunk(backbone)
        self.channels = self.trunk.channels

    def forward(self, image: Tensor) -> Features:
        return self.trunk(image)


class MemoryEncoder(nn.Module):
    """Image, an object's mask and the other objects' mask -> features of that object at stride 16.

    Each mask has its own stem, a convolution shaped like the trunk's first one, to whose output it
    is added. The trunk stays unchanged (ImageNet weights load as they are), and the image's part is
    computed once for all objects.
    """

    def __init__(self, backbone: str, *, other_masks: bool = True) -> None:
        """
        Args:
            backbone: a name of ``backbones.BACKBONES``.
            other_masks: whether an object's features depend on the other objects' mask.
        """
        super().__init__()
        self.trunk = build_trunk(backbone)
        self.channels = self.trunk.channels
        self.object_stem = self._mask_stem()
        self.others_stem = self._mask_stem() if other_masks else None

    @property
    def mask_stems(self) -> list[nn.Conv2d]:
        """The convolutions of the object's mask and, if it has one, of the other objects' mask."""
        return [self.object_stem] + ([] if self.others_stem is None else [self.others_stem])

    def _mask_stem(self) -> nn.Conv2d:
        first = self.trunk.first_convolution
        return nn.Conv2d(
            1,
            first.out_channels,
            kernel_size=first.kernel_size,  # type: ignore[arg-type]
            stride=first.stride,  # type: ignore[arg-type]
            padding=first.padding,  # type: ignore[arg-type]
            bias=False,
        )

    def forward(self, image: Tensor, object_masks: Tensor, other_masks: Tensor) -> Tensor:
        """Encode every object of every image.

        Args:
            image: float RGB in [0, 1], (B, 3, H, W).
            object_masks: soft masks, (B, N, H, W).
            other_masks: for each object the sum of the other objects' masks, (B, N, H, W).

        Returns:
            Features at stride 16, (B * N, C, h, w).
        """
        masks = torch.stack([object_masks, other_masks], dim=2).flatten(0, 1)
        if image.is_contiguous(memory_format=torch.channels_last):
            masks = masks.contiguous(memory_format=torch.channels_last)
        response = self._mask_response(masks)
        # In place: a sum of views would have strides that pooling takes for another memory layout.
        by_image = response.unflatten(0, object_masks.shape[:2])
        by_image.add_(self.trunk.first_response(image).unsqueeze(1))
        return self.trunk.stages(response).stride16

    def _mask_response(self, masks: Tensor) -> Tensor:
        """Apply both mask stems as one convolution: (B * N, 2, H, W) -> (B * N, C, H/2, W/2).

        One-channel maps would not keep the channels-last layout.
        """
        stem, *others = self.mask_stems
        of_others = others[0].weight if others else torch.zeros_like(stem.weight)
        weight = torch.cat([stem.weight, of_others], dim=1)
        return functional.conv2d(masks, weight, stride=stem.stride, padding=stem.padding)


def value_projection(channels: int, value_dim: int) -> nn.Conv2d:
    """Return the 3x3 convolution from features at stride 16 to values."""
    value = nn.Conv2d(channels, value_dim, kernel_size=3, padding=1)
    keep_variance(value)
    return value


class KeyValueProjection(nn.Module):
    """Two 3x3 convolutions: a small key for addressing, a larger value for content."""

    def __init__(self, channels: int, key_dim: int, value_dim: int | None) -> None:
        """
        Args:
            channels: channels of the features.
            key_dim: channels of the key.
            value_dim: channels of the value (None: the key is the value as well).
        """
        super().__init__()
        self.key = nn.Conv2d(channels, key_dim, kernel_size=3, padding=1)
        self.value = None if value_dim is None else value_projection(channels, value_dim)
        spread_keys(self.key)

    def forward(self, features: Tensor) -> tuple[Tensor, Tensor]:
        """(B, C, h, w) -> key (B, Ck, h, w), value (B, Cv, h, w)."""
        key = self.key(features)
        return key, key if self.value is None else self.value(features)

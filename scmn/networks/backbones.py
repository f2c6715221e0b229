"""ResNet, ResNeSt and MobileNetV2 trunks that end at stride 16.

The modules are those of torchvision and of the ``resnest`` package under their original names, so
that ImageNet weights of either load unchanged. The layers after stride 16 are left out.

ResNet: He et al., CVPR 2016. ResNeSt: Zhang et al., "ResNeSt: Split-Attention Networks", 2020.
MobileNetV2: Sandler et al., CVPR 2018.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from resnest.torch.resnest import resnest50
from resnest.torch.resnet import Bottleneck as SplitAttentionBottleneck
from resnest.torch.resnet import ResNet as ResNeSt
from torch import Tensor, nn
from torchvision.models import ResNet, mobilenet_v2, resnet18, resnet50
from torchvision.models.resnet import BasicBlock

from scmn.networks.split_attention import use_lean_split_attention

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)


def _resnet10() -> nn.Module:
    """The smallest ResNet: the widths of ResNet-18 with one block per stage."""
    return ResNet(BasicBlock, [1, 1, 1, 1])


class _HalfWidthResNet(ResNet):  # type: ignore[misc]
    """A ResNet whose stem and stages have half the channels."""

    def _make_layer(self, block: Any, planes: int, *args: Any, **options: Any) -> nn.Sequential:
        if not hasattr(self, "layer1"):  # the first stage: the constructor has just made the stem
            self.inplanes //= 2
            self.conv1 = nn.Conv2d(3, self.inplanes, 7, stride=2, padding=3, bias=False)
            self.bn1 = nn.BatchNorm2d(self.inplanes)
        stage: nn.Sequential = super()._make_layer(block, planes // 2, *args, **options)
        return stage


def _resnet10_half() -> nn.Module:
    return _HalfWidthResNet(BasicBlock, [1, 1, 1, 1])


def _resnet18_half() -> nn.Module:
    return _HalfWidthResNet(BasicBlock, [2, 2, 2, 2])


def _resnest14() -> nn.Module:
    """The smallest ResNeSt: the widths of ResNeSt-50 with one block per stage."""
    return ResNeSt(
        SplitAttentionBottleneck,
        [1, 1, 1, 1],
        radix=2,
        groups=1,
        bottleneck_width=64,
        deep_stem=True,
        stem_width=32,
        avg_down=True,
        avd=True,
        avd_first=False,
    )


@dataclass(frozen=True)
class Features:
    """Feature maps of an image; the number is the stride."""

    stride4: Tensor
    stride8: Tensor
    stride16: Tensor


class Trunk(nn.Module, ABC):
    """A backbone up to stride 16."""

    scale: Tensor
    offset: Tensor

    def __init__(self, backbone: str, channels: tuple[int, int, int]) -> None:
        """
        Args:
            backbone: its name in ``BACKBONES``.
            channels: channels at strides 4, 8 and 16.
        """
        super().__init__()
        self.backbone = backbone
        self.channels = channels
        mean, std = (torch.tensor(x).view(3, 1, 1) for x in (IMAGENET_MEAN, IMAGENET_STD))
        self.register_buffer("scale", 1 / std, persistent=False)
        self.register_buffer("offset", -mean / std, persistent=False)

    @property
    @abstractmethod
    def first_convolution(self) -> nn.Conv2d:
        """The convolution of the image. The memory encoder adds the masks to its output."""

    @abstractmethod
    def stages(self, first_response: Tensor) -> Features:
        """Compute the features from the first convolution's output."""

    def first_response(self, image: Tensor) -> Tensor:
        """Normalise ``image`` (B, 3, H, W) in [0, 1] and apply the first convolution."""
        return self.first_convolution(torch.addcmul(self.offset, image, self.scale))

    def forward(self, image: Tensor) -> Features:
        """``image``: float RGB in [0, 1], (B, 3, H, W), H and W multiples of 16."""
        return self.stages(self.first_response(image))


class ResNetTrunk(Trunk):
    """Stem and first three stages of a ResNet or ResNeSt."""

    def __init__(self, backbone: str, network: Any, channels: tuple[int, int, int]) -> None:
        super().__init__(backbone, channels)
        use_lean_split_attention(network)
        self.conv1 = network.conv1
        self.bn1 = network.bn1
        self.relu = network.relu
        self.maxpool = network.maxpool
        self.layer1 = network.layer1
        self.layer2 = network.layer2
        self.layer3 = network.layer3

    @property
    def first_convolution(self) -> nn.Conv2d:
        # The stem itself, or the first convolution of a deep stem.
        convolution: Any = self.conv1[0] if isinstance(self.conv1, nn.Sequential) else self.conv1
        return convolution

    def stages(self, first_response: Tensor) -> Features:
        x = first_response
        if isinstance(self.conv1, nn.Sequential):
            for layer in self.conv1[1:]:
                x = layer(x)
        x = self.maxpool(self.relu(self.bn1(x)))
        stride4 = self.layer1(x)
        stride8 = self.layer2(stride4)
        return Features(stride4, stride8, self.layer3(stride8))


class MobileNetV2Trunk(Trunk):
    """Stem and inverted residual blocks of a MobileNetV2 up to the last at stride 16."""

    ENDS = (3, 6, 13)
    """Indices of the last blocks at strides 4, 8 and 16."""

    def __init__(self, backbone: str, network: Any, channels: tuple[int, int, int]) -> None:
        super().__init__(backbone, channels)
        self.features = network.features[: self.ENDS[-1] + 1]

    @property
    def first_convolution(self) -> nn.Conv2d:
        convolution: Any = self.features[0][0]
        return convolution

    def stages(self, first_response: Tensor) -> Features:
        _, norm, activation = self.features[0]
        x = activation(norm(first_response))
        ends = []
        for number, block in enumerate(self.features[1:], start=1):
            x = block(x)
            if number in self.ENDS:
                ends.append(x)
        return Features(*ends)


@dataclass(frozen=True)
class Backbone:
    """A classification network and the trunk made from it."""

    build: Callable[[], nn.Module]
    channels: tuple[int, int, int]
    """Channels at strides 4, 8 and 16."""
    trunk: Callable[[str, nn.Module, tuple[int, int, int]], Trunk] = ResNetTrunk


BACKBONES: dict[str, Backbone] = {
    "mobilenet_v2": Backbone(mobilenet_v2, (24, 32, 96), MobileNetV2Trunk),
    "resnet10_half": Backbone(_resnet10_half, (32, 64, 128)),
    "resnet18_half": Backbone(_resnet18_half, (32, 64, 128)),
    "resnet10": Backbone(_resnet10, (64, 128, 256)),
    "resnet18": Backbone(resnet18, (64, 128, 256)),
    "resnet50": Backbone(resnet50, (256, 512, 1024)),
    "resnest14": Backbone(_resnest14, (256, 512, 1024)),
    "resnest50": Backbone(resnest50, (256, 512, 1024)),
}


def build_trunk(backbone: str) -> Trunk:
    """Build the trunk of a backbone with random weights.

    Raises:
        ValueError: an unknown backbone.
    """
    if backbone not in BACKBONES:
        raise ValueError(f"unknown backbone '{backbone}'; known: {', '.join(BACKBONES)}")
    entry = BACKBONES[backbone]
    return entry.trunk(backbone, entry.build(), entry.channels)

"""ResNet and ResNeSt trunks that end at stride 16, as in STM, STCN and SCMN.

The modules are those of torchvision and of the ``resnest`` package under their own names, so that
ImageNet weights of either load unchanged; the last stage and the classifier are left out.

ResNet: He et al., CVPR 2016. ResNeSt: Zhang et al., "ResNeSt: Split-Attention Networks", 2020.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from resnest.torch.resnest import resnest50
from resnest.torch.resnet import Bottleneck as SplitAttentionBottleneck
from resnest.torch.resnet import ResNet as ResNeSt
from torch import Tensor, nn
from torchvision.models import ResNet, resnet18, resnet50
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
        if not hasattr(self, "layer1"):  # the first stage: the stem has just been made, too wide
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
class Backbone:
    """How to build a classification network and how wide its stages are."""

    build: Callable[[], nn.Module]
    channels: tuple[int, int, int]
    """Channels at strides 4, 8 and 16."""


BACKBONES: dict[str, Backbone] = {
    "resnet10_half": Backbone(_resnet10_half, (32, 64, 128)),
    "resnet18_half": Backbone(_resnet18_half, (32, 64, 128)),
    "resnet10": Backbone(_resnet10, (64, 128, 256)),
    "resnet18": Backbone(resnet18, (64, 128, 256)),
    "resnet50": Backbone(resnet50, (256, 512, 1024)),
    "resnest14": Backbone(_resnest14, (256, 512, 1024)),
    "resnest50": Backbone(resnest50, (256, 512, 1024)),
}


@dataclass(frozen=True)
class Features:
    """Feature maps of an image; the number is the stride."""

    stride4: Tensor
    stride8: Tensor
    stride16: Tensor


class Trunk(nn.Module):
    """A backbone from the image to stride 16."""

    scale: Tensor
    offset: Tensor

    def __init__(self, backbone: str) -> None:
        super().__init__()
        if backbone not in BACKBONES:
            raise ValueError(f"unknown backbone '{backbone}'; known: {', '.join(BACKBONES)}")
        network: Any = BACKBONES[backbone].build()
        use_lean_split_attention(network)
        self.backbone = backbone
        self.channels = BACKBONES[backbone].channels
        self.conv1 = network.conv1
        self.bn1 = network.bn1
        self.relu = network.relu
        self.maxpool = network.maxpool
        self.layer1 = network.layer1
        self.layer2 = network.layer2
        self.layer3 = network.layer3
        mean, std = (torch.tensor(x).view(3, 1, 1) for x in (IMAGENET_MEAN, IMAGENET_STD))
        self.register_buffer("scale", 1 / std, persistent=False)
        self.register_buffer("offset", -mean / std, persistent=False)

    @property
    def first_convolution(self) -> nn.Conv2d:
        """The convolution that sees the image: the stem itself, or the first of a deep stem."""
        convolution: Any = self.conv1[0] if isinstance(self.conv1, nn.Sequential) else self.conv1
        return convolution

    @property
    def first_norm(self) -> nn.Module:
        """The norm of the first convolution's response (nothing once it has been folded)."""
        norm: Any = self.conv1[1] if isinstance(self.conv1, nn.Sequential) else self.bn1
        return norm

    def first_response(self, image: Tensor) -> Tensor:
        """Normalise ``image`` (B, 3, H, W) in [0, 1] and apply the first convolution."""
        return self.first_convolution(torch.addcmul(self.offset, image, self.scale))

    def features(self, first_response: Tensor) -> Features:
        """Return the features that follow from the first convolution's output."""
        x = first_response
        if isinstance(self.conv1, nn.Sequential):
            for layer in self.conv1[1:]:
                x = layer(x)
        x = self.maxpool(self.relu(self.bn1(x)))
        stride4 = self.layer1(x)
        stride8 = self.layer2(stride4)
        return Features(stride4, stride8, self.layer3(stride8))

    def forward(self, image: Tensor) -> Features:
        """``image``: float RGB in [0, 1], (B, 3, H, W), H and W multiples of 16."""
        return self.features(self.first_response(image))

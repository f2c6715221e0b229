"""ImageNet weights of the backbones: where they lie, and loading them into a network's trunks."""

from __future__ import annotations

import urllib.error
from pathlib import Path

import torch
from torch import nn
from torchvision.models import ResNet18_Weights, ResNet50_Weights

from scmn.errors import InputError
from scmn.networks.backbones import Trunk

PRETRAINED_BACKBONES: dict[str, str] = {
    "resnet18": ResNet18_Weights.IMAGENET1K_V1.url,
    "resnet50": ResNet50_Weights.IMAGENET1K_V1.url,
    # The address inside the resnest package is dead; its authors' release holds the same file.
    "resnest50": "https://github.com/zhanghang1989/ResNeSt/releases/download/weights_step1/"
    "resnest50-528c19ca.pth",
}
"""Backbone -> address; the first digits of the SHA-256 end the file's name and are checked."""


def load_pretrained_backbones(network: nn.Module) -> None:
    """Load ImageNet weights into every :class:`Trunk` of ``network``; stems for masks stay.

    Files are downloaded once into torch.hub's folder (``TORCH_HOME``).

    Raises:
        InputError: there are no weights for a backbone, or they cannot be had.
    """
    for module in network.modules():
        if isinstance(module, Trunk):
            _load_trunk(module)


def _load_trunk(trunk: Trunk) -> None:
    if trunk.backbone not in PRETRAINED_BACKBONES:
        raise InputError(
            f"no pretrained weights for backbone '{trunk.backbone}'; "
            f"there are for: {', '.join(PRETRAINED_BACKBONES)}"
        )
    state = _download(PRETRAINED_BACKBONES[trunk.backbone])
    own = trunk.state_dict()
    missing = [name for name in own if name not in state]
    if missing:
        raise InputError(f"pretrained weights of '{trunk.backbone}' lack {', '.join(missing[:3])}")
    # The file also holds the last stage and the classifier, which the trunk does not have.
    trunk.load_state_dict({name: state[name] for name in own})


def _download(address: str) -> dict[str, torch.Tensor]:
    folder = Path(torch.hub.get_dir()) / "checkpoints"
    try:
        state: dict[str, torch.Tensor] = torch.hub.load_state_dict_from_url(
            address, map_location="cpu", check_hash=True, weights_only=True
        )
    except (urllib.error.URLError, OSError) as error:
        raise InputError(
            f"cannot download {address} ({error}); put the file into {folder} by hand"
        ) from error
    except RuntimeError as error:
        raise InputError(f"{address}: {' '.join(str(error).split())}") from error
    return state

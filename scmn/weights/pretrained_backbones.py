"""ImageNet weights of the backbones: where they lie, and loading them into a network's trunks."""

from __future__ import annotations

import hashlib
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
    file = Path(torch.hub.get_dir()) / "checkpoints" / Path(address).name
    if not file.is_file():
        try:
            file.parent.mkdir(parents=True, exist_ok=True)
            torch.hub.download_url_to_file(address, str(file), _hash_of(file))
        except (urllib.error.URLError, OSError) as error:
            raise InputError(
                f"cannot download {address} ({error}); put the file there by hand: {file}"
            ) from error
        except RuntimeError as error:
            raise InputError(f"{address}: {' '.join(str(error).split())}") from error
    # The file may have been put there by hand, or have been damaged since.
    if not hashlib.sha256(file.read_bytes()).hexdigest().startswith(_hash_of(file)):
        raise InputError(f"{file} is damaged: its hash is not {_hash_of(file)}...; remove it")
    state: dict[str, torch.Tensor] = torch.load(file, map_location="cpu", weights_only=True)
    return state


def _hash_of(file: Path) -> str:
    return file.stem.rsplit("-", maxsplit=1)[-1]

"""ImageNet weights of the backbones: their addresses, and loading them into a network."""

from __future__ import annotations

import hashlib
import io
import re
import urllib.error
from pathlib import Path

import torch
from torch import nn
from torchvision.models import MobileNet_V2_Weights, ResNet18_Weights, ResNet50_Weights

from scmn.errors import InputError, in_one_line
from scmn.networks.backbones import Trunk

PRETRAINED_BACKBONES: dict[str, str] = {
    "mobilenet_v2": MobileNet_V2_Weights.IMAGENET1K_V1.url,
    "resnet18": ResNet18_Weights.IMAGENET1K_V1.url,
    "resnet50": ResNet50_Weights.IMAGENET1K_V1.url,
    # The address inside the resnest package is dead; its authors' release holds the same file.
    "resnest50": "https://github.com/zhanghang1989/ResNeSt/releases/download/weights_step1/"
    "resnest50-528c19ca.pth",
}
"""Backbone -> address; the end of the file name is the start of its SHA-256, which is checked."""


def load_pretrained_backbones(network: nn.Module, file: Path | None = None) -> None:
    """Load ImageNet weights into every :class:`Trunk` of ``network``; stems for masks are kept.

    Args:
        network: any network.
        file: weights for all its trunks (None: each backbone's own, downloaded once into
            torch.hub's folder, ``TORCH_HOME``).

    Raises:
        InputError: there are no weights for a backbone, or they cannot be downloaded or read.
    """
    trunks = [module for module in network.modules() if isinstance(module, Trunk)]
    for trunk in trunks:
        path = _downloaded(trunk.backbone) if file is None else file
        _load_trunk(trunk, _read_weights(path), path)


def _load_trunk(trunk: Trunk, state: dict[str, torch.Tensor], file: Path) -> None:
    own = trunk.state_dict()
    # Files of old versions of torch lack the counters of batches.
    needed = {n: t for n, t in own.items() if not n.endswith("num_batches_tracked")}
    unfit = [n for n, tensor in needed.items() if n not in state or state[n].shape != tensor.shape]
    if unfit:
        raise InputError(
            f"{file} does not hold weights of '{trunk.backbone}': "
            f"{', '.join(unfit[:3])} missing or of another shape"
        )
    # The file also holds the last stage and the classifier, which the trunk does not have.
    trunk.load_state_dict({name: state.get(name, tensor) for name, tensor in own.items()})


def _downloaded(backbone: str) -> Path:
    """Return the file of a backbone's weights; download it if it is missing."""
    if backbone not in PRETRAINED_BACKBONES:
        raise InputError(
            f"no pretrained weights for backbone '{backbone}'; "
            f"there are for: {', '.join(PRETRAINED_BACKBONES)}"
        )
    address = PRETRAINED_BACKBONES[backbone]
    file = Path(torch.hub.get_dir()) / "checkpoints" / Path(address).name
    if not file.is_file():
        try:
            file.parent.mkdir(parents=True, exist_ok=True)
            torch.hub.download_url_to_file(address, str(file), _hash_of(file))
        except (urllib.error.URLError, OSError) as error:
            raise InputError(
                f"cannot download {address} ({error}); copy the file to {file} by hand, "
                "or give one with pretrained_backbone=FILE"
            ) from error
        except RuntimeError as error:
            raise InputError(f"{address}: {in_one_line(error)}") from error
    return file


def _read_weights(file: Path) -> dict[str, torch.Tensor]:
    """Read a file of tensors; a hash at the end of its name, as torch.hub has it, is checked."""
    if not file.is_file():  # a pipe or a device may never end
        raise InputError(f"pretrained weights not found: {file}")
    try:
        content = file.read_bytes()
    except OSError as error:
        raise InputError(f"cannot read pretrained weights {file}: {error.strerror}") from error
    expected = _hash_of(file)
    if expected is not None and not hashlib.sha256(content).hexdigest().startswith(expected):
        raise InputError(f"{file} is damaged: its hash is not {expected}...; remove it")
    try:
        state: dict[str, torch.Tensor] = torch.load(
            io.BytesIO(content), map_location="cpu", weights_only=True
        )
    except Exception as error:  # torch.load raises many kinds of errors for other files
        reason = next(iter(str(error).splitlines()), type(error).__name__)
        raise InputError(f"{file} is not a file of weights: {reason}") from error
    return state


def _hash_of(file: Path) -> str | None:
    match = re.search(r"-([0-9a-f]{8,})$", file.stem)
    return None if match is None else match[1]

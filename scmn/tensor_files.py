"""Safetensors files of tensors and metadata, written atomically and compared with checksums."""

from __future__ import annotations

import json
import zlib
from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor, nn

from scmn.data.atomic import atomic_path
from scmn.errors import InputError

TENSORS_CHECKSUM = "crc32"
METADATA_CHECKSUM = "metadata_crc32"

_INTEGERS = {2: torch.int16, 4: torch.int32, 8: torch.int64}
_LARGEST_WEIGHT = 65521
"""A prime, so that blocks of equal size get different weights."""


def write_tensors(path: Path, tensors: Mapping[str, Tensor], metadata: Mapping[str, str]) -> None:
    """Write tensors and metadata with their checksums.

    Raises:
        InputError: the file cannot be written.
    """
    contiguous = {name: tensor.detach().contiguous() for name, tensor in tensors.items()}
    checksums = {
        TENSORS_CHECKSUM: tensors_checksum(contiguous),
        METADATA_CHECKSUM: _metadata_checksum(metadata),
    }
    with atomic_path(path) as temporary:
        # save_file would create a file that only its owner can read.
        temporary.write_bytes(save(contiguous, metadata={**metadata, **checksums}))


def read_tensors(path: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Return the tensors of a file, on the CPU, and its metadata without the checksums.

    Raises:
        InputError: the file is missing, not a safetensors file, or damaged.
    """
    if not path.is_file():
        raise InputError(f"file not found: {path}")
    try:
        with safe_open(path, framework="pt") as file:
            metadata = dict(file.metadata() or {})
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except (SafetensorError, OSError) as error:
        raise InputError(f"{path} is not a readable safetensors file: {error}") from error
    # Files of earlier versions, and of other programs, have no checksums.
    of_tensors = metadata.pop(TENSORS_CHECKSUM, None)
    of_metadata = metadata.pop(METADATA_CHECKSUM, None)
    intact = of_tensors in (None, tensors_checksum(tensors)) and of_metadata in (
        None,
        _metadata_checksum(metadata),
    )
    if not intact:
        raise InputError(f"{path} is damaged: wrong checksum")
    return tensors, metadata


def tensors_checksum(tensors: Mapping[str, Tensor]) -> str:
    """Return a checksum of names, types and numbers, in hexadecimal digits."""
    checksum = 0
    for name, value in sorted(tensors.items()):
        checksum = zlib.crc32(f"{name} {value.dtype} {tuple(value.shape)}".encode(), checksum)
        content = value.detach().cpu().contiguous().flatten().view(torch.uint8)
        checksum = zlib.crc32(content.numpy().data, checksum)
    return f"{checksum:08x}"


def weighted_bit_sums(module: nn.Module) -> Tensor:
    """Return a number for each tensor of a module, int64 (n,), by which its weights are recognised.

    Unlike a checksum it is computed on the module's device, without waiting for it. It is the same
    on every device.
    """
    sums = []
    for _, value in sorted(module.state_dict().items()):
        bits = value.flatten()
        if bits.is_floating_point():
            bits = bits.view(_INTEGERS[bits.element_size()])
        weights = 1 + torch.arange(len(bits), device=bits.device) % _LARGEST_WEIGHT
        sums.append((bits * weights).sum())
    return torch.stack(sums)


def _metadata_checksum(metadata: Mapping[str, str]) -> str:
    return f"{zlib.crc32(json.dumps(dict(metadata), sort_keys=True).encode()):08x}"

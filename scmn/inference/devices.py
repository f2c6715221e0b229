"""Devices and precisions by name."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from typing import Any, Literal, get_args

import torch

from scmn.errors import InputError

Precision = Literal["fp32", "bf16", "fp16"]
_AUTOCAST = {"bf16": torch.bfloat16, "fp16": torch.float16}


def resolve_device(name: str | torch.device) -> torch.device:
    """Return the device; "auto" is CUDA if there is one, else the CPU.

    Raises:
        InputError: no such device, or this machine does not have it.
    """
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise InputError(f"unknown device '{name}': use auto, cpu, cuda, cuda:N or mps") from error
    if device.type == "cuda":
        if not torch.cuda.is_available():
            raise InputError(f"no device '{name}': torch finds no CUDA GPU on this machine")
        if (device.index or 0) >= torch.cuda.device_count():
            raise InputError(
                f"no device '{name}': this machine has only {torch.cuda.device_count()} GPUs"
            )
    elif device.type == "mps" and not torch.backends.mps.is_available():
        raise InputError(f"no device '{name}': torch finds no Apple GPU on this machine")
    return device


def autocast(device: torch.device, precision: str) -> AbstractContextManager[Any]:
    """Return the context in which a network runs at ``precision``.

    Raises:
        InputError: an unknown precision, or fp16 without a GPU.
    """
    dtype = reduced_dtype(device, precision)
    return nullcontext() if dtype is None else torch.autocast(device.type, dtype=dtype)


def reduced_dtype(device: torch.device, precision: str) -> torch.dtype | None:
    """Return the data type of convolutions and products at ``precision``; None: float32.

    Raises:
        InputError: an unknown precision, or fp16 without a GPU.
    """
    if precision not in get_args(Precision):
        raise InputError(f"unknown precision '{precision}': use {', '.join(get_args(Precision))}")
    if precision == "fp16" and device.type == "cpu":
        raise InputError("precision 'fp16' needs a GPU; on the CPU use bf16 or fp32")
    return _AUTOCAST.get(precision)

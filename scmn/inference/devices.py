"""Devices and precisions by name, and copies between the host and a device."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext, suppress
from functools import cache

import numpy as np
import torch
from torch import Tensor

from scmn.errors import InputError
from scmn.inference.settings import Precision

logger = logging.getLogger(__name__)

DEVICE_TYPES = ("cpu", "cuda", "mps")
"""Torch knows others, most of which its builds lack."""
OUT_OF_MEMORY = (
    "can't allocate memory", "not enough memory", "Storage size calculation overflowed",
    "Insufficient memory", "bad_alloc",
)  # fmt: skip
"""In the messages of torch (Linux, Windows, a size that no number holds), OpenCV and C++."""
_AUTOCAST = {"bf16": torch.bfloat16, "fp16": torch.float16}


def resolve_device(name: str | torch.device) -> torch.device:
    """Return the device; "auto" is CUDA if there is one, else the CPU.

    Raises:
        InputError: no such device, or this machine does not have it.
    """
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    unknown = InputError(f"unknown device '{name}': use auto, cpu, cuda, cuda:N or mps")
    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise unknown from error
    if device.type not in DEVICE_TYPES:
        raise unknown
    if device.type == "cuda":
        if not torch.cuda.is_available():
            raise InputError(f"no device '{name}': torch finds no CUDA GPU on this machine")
        if (device.index or 0) >= torch.cuda.device_count():
            raise InputError(
                f"no device '{name}': this machine has only {torch.cuda.device_count()} GPUs"
            )
    elif device.type == "cpu" and device.index:
        raise InputError(f"no device '{name}': there is one, 'cpu'")
    elif device.type == "mps" and not torch.backends.mps.is_available():
        raise InputError(f"no device '{name}': torch finds no Apple GPU on this machine")
    return device


def resolve_precision(device: torch.device, precision: Precision) -> Precision:
    """Return the precision; "auto" is bf16 if the device has instructions for it, else fp32.

    Logs a warning if the device only emulates bf16, which is slower than float32.

    Raises:
        InputError: as :func:`reduced_dtype`.
    """
    if precision == "auto":
        return "bf16" if has_bf16_instructions(device) else "fp32"
    emulated = reduced_dtype(device, precision) is torch.bfloat16 and device.type != "mps"
    if emulated and not has_bf16_instructions(device):
        _warn_of_emulation_once(device.type)
    return precision


def has_bf16_instructions(device: torch.device) -> bool:
    """Whether a device computes in bf16; others emulate it."""
    if device.type == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    if device.type == "cpu":
        return torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported()
    return False


@cache
def _warn_of_emulation_once(device_type: str) -> None:
    logger.warning(
        "this machine's %s has no instructions for bf16 and emulates it, which is slower "
        "than fp32; precision 'auto' chooses the faster",
        device_type,
    )


@contextmanager
def explain_exhausted_memory(device: torch.device, advice: str) -> Iterator[None]:
    """Raise an InputError with ``advice`` where memory of the device or the host runs out."""
    try:
        yield
    except Exception as error:
        if not _is_out_of_memory(error):
            raise
        where = device if isinstance(error, torch.OutOfMemoryError) else "the CPU"
        raise InputError(f"{where} is out of memory; {advice}") from error


def _is_out_of_memory(error: Exception) -> bool:
    """Whether memory ran out: only torch's GPUs and Python have an exception of their own."""
    if isinstance(error, torch.OutOfMemoryError | MemoryError):
        return True
    return any(words in str(error) for words in OUT_OF_MEMORY)


@contextmanager
def autocast(device: torch.device, precision: Precision) -> Iterator[None]:
    """Yield while a network runs forward at ``precision``.

    Raises:
        InputError: as :func:`reduced_dtype`.
    """
    dtype = reduced_dtype(device, precision)
    reduced = nullcontext() if dtype is None else torch.autocast(device.type, dtype=dtype)
    # Without TF32 cuDNN's heuristics may choose an FFT: a frame of STM with three objects at 480p
    # took 600 ms on an H200 instead of 64. Timing takes seconds for each number of objects.
    timed = timed_kernels() if device.type == "cuda" and precision == "fp32" else nullcontext()
    with float32_products(device, precision), reduced, timed:
        yield


@contextmanager
def timed_kernels() -> Iterator[None]:
    """Let cuDNN time its kernels for every new size instead of following its heuristics.

    Not if the user asked for deterministic results: another run may choose other kernels.
    """
    before = torch.backends.cudnn.benchmark
    torch.backends.cudnn.benchmark = not torch.are_deterministic_algorithms_enabled()
    try:
        yield
    finally:
        torch.backends.cudnn.benchmark = before


@contextmanager
def float32_products(device: torch.device, precision: Precision) -> Iterator[None]:
    """Yield while float32 convolutions and matrix products round to TF32, or do not.

    Left alone, torch lets cuDNN round in convolutions but not in products. A backward pass needs
    this context, too, but no autocast. The flags are set back at the end; while they are set they
    hold for all threads.
    """
    if device.type != "cuda":
        yield
        return
    flags = _read_flags()
    allowed = precision == "tf32"
    torch.backends.cudnn.allow_tf32 = allowed
    torch.backends.cuda.matmul.allow_tf32 = allowed
    try:
        yield
    finally:
        for owner, name, value in flags:
            setattr(owner, name, value)


def _read_flags() -> list[tuple[object, str, object]]:
    """Return the flags of TF32 as owner, name and value, in the order of writing them back.

    Torch 2.9 renamed them. Its compiler still reads the old names, which raise an error if only
    the new ones allow TF32: so the old names are set, and both are written back.
    """
    _warn_of_old_names_once()
    cudnn, cuda = torch.backends.cudnn, torch.backends.cuda
    names: list[tuple[object, str]] = [(cudnn, "allow_tf32"), (cuda.matmul, "allow_tf32")]
    if hasattr(cudnn, "conv"):
        names += [(part, "fp32_precision") for part in (cudnn.conv, cudnn.rnn, cuda.matmul)]
    flags = []
    for owner, name in names:
        with suppress(RuntimeError):  # an old name after the user set a new one
            flags.append((owner, name, getattr(owner, name)))
    return flags


@cache
def _warn_of_old_names_once() -> None:
    """Use up torch's one warning that the flags have new names."""
    with warnings.catch_warnings(), suppress(RuntimeError):
        warnings.simplefilter("ignore")
        _ = torch.backends.cuda.matmul.allow_tf32


def reduced_dtype(device: torch.device, precision: Precision) -> torch.dtype | None:
    """Return the data type of convolutions and products at ``precision``; None: float32.

    Raises:
        InputError: a precision that needs a GPU.
    """
    if precision == "fp16" and device.type == "cpu":
        raise InputError("precision 'fp16' needs a GPU; on the CPU use bf16 or fp32")
    if precision == "tf32" and device.type != "cuda":
        raise InputError(f"precision 'tf32' needs a CUDA GPU; on {device.type} use fp32")
    return _AUTOCAST.get(precision)


def upload(tensor: Tensor, device: torch.device) -> Tensor:
    """Copy a tensor from the host to a device; the host does not wait for a GPU."""
    if device.type != "cuda":
        return tensor.to(device)
    return tensor.pin_memory().to(device, non_blocking=True)


class Download:
    """A tensor on its way to the host; a GPU does other work meanwhile."""

    def __init__(self, tensor: Tensor) -> None:
        self._host = tensor.to("cpu", non_blocking=tensor.is_cuda)
        self._arrived: torch.cuda.Event | None = None
        if tensor.is_cuda:
            self._arrived = torch.cuda.Event()
            self._arrived.record(torch.cuda.current_stream(tensor.device))

    def wait(self) -> np.ndarray:
        """Return the numbers once they have arrived."""
        if self._arrived is not None:
            self._arrived.synchronize()
        return self._host.numpy()

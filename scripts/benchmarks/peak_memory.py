"""Peak memory since a chosen moment: allocated on a GPU, resident in this process on a CPU."""

from __future__ import annotations

import ctypes
import gc
import multiprocessing
import sys
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import ParamSpec, TypeVar

import torch

_STATUS = Path("/proc/self/status")
_CLEAR = Path("/proc/self/clear_refs")
Arguments = ParamSpec("Arguments")
Result = TypeVar("Result")


class PeakMemory:
    """The highest memory since ``restart``; on a CPU, only Linux reports it."""

    def __init__(self, device: torch.device) -> None:
        self._device = device

    @property
    def is_known(self) -> bool:
        """Whether the system reports it."""
        return self._device.type == "cuda" or _CLEAR.exists()

    def restart(self) -> None:
        """Restart the peak from the memory in use now."""
        gc.collect()
        if self._device.type == "cuda":
            torch.cuda.reset_peak_memory_stats(self._device)
        else:
            # Return freed memory to the system, or later allocations inside it would not count.
            ctypes.CDLL(None).malloc_trim(0)
            _CLEAR.write_text("5", encoding="ascii")

    @property
    def now(self) -> float:
        """MiB in use now."""
        if self._device.type == "cuda":
            return torch.cuda.memory_allocated(self._device) / 2**20
        return _resident("VmRSS")

    @property
    def peak(self) -> float:
        """MiB in use at the peak."""
        if self._device.type == "cuda":
            return torch.cuda.max_memory_allocated(self._device) / 2**20
        return _resident("VmHWM")


def in_own_process(
    function: Callable[Arguments, Result], *arguments: Arguments.args, **named: Arguments.kwargs
) -> Result:
    """Call a function in a process that has only imported: nothing else affects its memory."""
    context = multiprocessing.get_context("spawn" if sys.platform == "win32" else "forkserver")
    with ProcessPoolExecutor(max_workers=1, mp_context=context) as pool:
        return pool.submit(function, *arguments, **named).result()


def _resident(name: str) -> float:
    for line in _STATUS.read_text(encoding="ascii").splitlines():
        if line.startswith(name):
            return int(line.split()[1]) / 1024
    raise OSError(f"{_STATUS} has no {name}")

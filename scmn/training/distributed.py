"""The processes that torchrun starts for one training; a single one without torchrun.

Gradients go over NCCL (GPUs) or Gloo (CPU). Everything else - metrics, the wish to stop, waiting
for the first process - goes over a Gloo group of its own: it never waits for a GPU's queue, and it
may take long (validation) without loosening the time limit by which a hanging step is found. When
a process fails, torchrun ends the others, at the latest 30 s later.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, TypeVar, cast

import torch
from torch import Tensor, distributed, nn
from torch.distributed import ProcessGroup
from torch.nn.parallel import DistributedDataParallel

from scmn.errors import InputError
from scmn.inference.devices import resolve_device

STEP_PATIENCE = timedelta(minutes=30)
"""How long a step may wait for another process; the first one may compile for minutes."""
CONTROL_PATIENCE = timedelta(hours=12)
"""How long the others may wait for what the first process does alone, such as validation."""

TORCHRUN = ("RANK", "LOCAL_RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT")

T = TypeVar("T")


@dataclass(frozen=True)
class Processes:
    """This process among those of the training."""

    device: torch.device
    """Where this process computes."""
    rank: int = 0
    count: int = 1
    control: ProcessGroup | None = None
    """Group for everything but gradients; None for a single process."""

    @property
    def first(self) -> bool:
        """Whether this is the one that logs, validates and writes."""
        return self.rank == 0

    def wait_for_all(self) -> None:
        """Return when every process has come here."""
        if self.control is not None:
            distributed.barrier(self.control)

    def any(self, flag: bool) -> bool:
        """Return whether ``flag`` holds in any process: the same answer in all of them."""
        return self.sum({"flag": float(flag)})["flag"] > 0

    def sum(self, values: Mapping[str, float | Tensor]) -> dict[str, float]:
        """Add up scalars over the processes; all must give the same names in the same order."""
        if self.control is None:
            return {name: float(value) for name, value in values.items()}
        numbers = torch.tensor([float(value) for value in values.values()], dtype=torch.float64)
        distributed.all_reduce(numbers, group=self.control)
        return dict(zip(values, numbers.tolist(), strict=True))

    def mean(self, values: Mapping[str, float | Tensor]) -> dict[str, float]:
        """Average scalars over the processes."""
        return {name: value / self.count for name, value in self.sum(values).items()}

    def gather(self, value: T) -> list[T]:
        """Return the values of all processes by rank, in every process."""
        gathered: list[Any] = [value]
        if self.control is not None:
            gathered = [None] * self.count
            distributed.all_gather_object(gathered, value, group=self.control)
        return gathered

    def on_first(self, work: Callable[[], T]) -> T:
        """Do ``work`` in the first process while the others wait; all get its result.

        If it fails there, it fails in all: none is left waiting.
        """
        if self.control is None:
            return work()
        outcome: list[Any] = [None, None]
        error: Exception | None = None
        if self.first:
            try:
                outcome[0] = work()
            except Exception as failure:  # handed on to every process
                error = failure
                outcome[1] = (isinstance(failure, InputError), str(failure))
        distributed.broadcast_object_list(outcome, src=0, group=self.control)
        if error is not None:
            raise error
        if outcome[1] is not None:
            mistake, message = outcome[1]
            raise InputError(message) if mistake else RuntimeError(f"process 0 failed: {message}")
        result: T = outcome[0]
        return result

    def wrap(self, module: nn.Module) -> nn.Module:
        """Average the gradients of ``module``'s forward pass over the processes."""
        if self.control is None:
            return module
        devices = [self.device] if self.device.type == "cuda" else None
        return DistributedDataParallel(module, device_ids=devices)


@contextlib.contextmanager
def join_processes(device: str = "auto") -> Iterator[Processes]:
    """Join the other processes of a torchrun start; be alone otherwise.

    Once in the life of a process: torch's rendezvous can hang when it is made a second time.

    Args:
        device: auto, cpu or cuda; a single process also takes what names one GPU.

    Raises:
        InputError: no such device, more processes than GPUs, or half of torchrun's environment.
    """
    if int(os.environ.get("WORLD_SIZE", "1")) == 1:
        yield Processes(resolve_device(device))
        return
    missing = [name for name in TORCHRUN if name not in os.environ]
    if missing:
        raise InputError(
            f"WORLD_SIZE is set but {', '.join(missing)} is not: start several processes with "
            "torchrun --nproc_per_node=K train.py ..."
        )
    own_device = _own_device(device, int(os.environ["LOCAL_RANK"]))
    on_gpu = own_device.type == "cuda"
    if on_gpu:
        torch.cuda.set_device(own_device)
    distributed.init_process_group("nccl" if on_gpu else "gloo", timeout=STEP_PATIENCE)
    # Every process is a member of the new group; only outsiders would get a number instead.
    control = cast(ProcessGroup, distributed.new_group(backend="gloo", timeout=CONTROL_PATIENCE))
    yield Processes(
        own_device, distributed.get_rank(), distributed.get_world_size(), control=control
    )
    # Not after an error: the others may never come here, and torchrun ends them.
    distributed.barrier(control)
    distributed.destroy_process_group()


def _own_device(name: str, local_rank: int) -> torch.device:
    """Give every process of this machine a GPU of its own, or the CPU to all."""
    device = resolve_device(name)
    if device.type == "cpu":
        return device
    if device.type != "cuda" or device.index is not None:
        raise InputError(f"several processes cannot share device '{name}': use cuda, cpu or auto")
    if local_rank >= torch.cuda.device_count():
        raise InputError(
            f"there are more processes than GPUs on this machine: use --nproc_per_node="
            f"{torch.cuda.device_count()} at most"
        )
    return torch.device("cuda", local_rank)

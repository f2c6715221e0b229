"""The processes that torchrun starts for a training or an evaluation; one without torchrun.

Gradients and buffers go over NCCL (GPUs) or Gloo (CPU). What the host needs (metrics, errors,
requests to stop, waiting for the first process) uses a separate Gloo group: it never waits for a
GPU's queue, and its long timeout does not weaken the one that detects a hanging step. When a
process fails, torchrun ends the others within 30 s.
"""

from __future__ import annotations

import contextlib
import itertools
import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any, TypeVar, cast

import torch
from torch import Tensor, distributed, nn
from torch.distributed import PrefixStore, ProcessGroup, Store  # type: ignore[attr-defined]
from torch.distributed.rendezvous import rendezvous
from torch.nn.parallel import DistributedDataParallel

from scmn.errors import InputError
from scmn.inference.devices import resolve_device

STEP_TIMEOUT = timedelta(minutes=30)
"""How long a step may wait for another process; the first one may compile for minutes."""
CONTROL_TIMEOUT = timedelta(days=7)
"""How long processes may wait for one that segments a long video."""

TORCHRUN = ("RANK", "LOCAL_RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT")

T = TypeVar("T")


class SharedInputError(InputError):
    """An InputError of another process, raised in this one too; the first process reports it."""


@dataclass(frozen=True)
class Processes:
    """This process and the others of the run."""

    device: torch.device
    """Where this process computes."""
    rank: int = 0
    count: int = 1
    control: ProcessGroup | None = None
    """Group for what the host needs; None for a single process."""
    store: Store | None = None
    """Counters that the processes share; None for a single process."""
    _claims: Iterator[int] = field(default_factory=itertools.count, repr=False)

    @property
    def first(self) -> bool:
        """Whether this process logs and writes."""
        return self.rank == 0

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

    def claim(self, items: Iterable[T]) -> Iterator[T]:
        """Yield the items that this process is to work on.

        An item goes to the process that asks first, so that a long one does not hold up those
        behind it. All processes must give the same items in the same order, and make their calls
        in the same order.
        """
        if self.store is None:
            yield from items
            return
        counter = f"claims/{next(self._claims)}"
        remaining = list(items)
        while (number := self.store.add(counter, 1) - 1) < len(remaining):
            yield remaining[number]

    def on_first(self, work: Callable[[], T]) -> T:
        """Do ``work`` in the first process while the others wait; return its result in all.

        If it fails there, it fails in all.
        """
        if self.control is None:
            return work()
        outcome: list[Any] = [None, None]
        error: Exception | None = None
        if self.first:
            try:
                outcome[0] = work()
            except Exception as failure:  # raised again below, in every process
                error = failure
                outcome[1] = (isinstance(failure, InputError), str(failure))
        distributed.broadcast_object_list(outcome, src=0, group=self.control)
        if error is not None:
            raise error
        if outcome[1] is not None:
            mistake, message = outcome[1]
            if mistake:
                raise SharedInputError(message)
            raise RuntimeError(f"process 0 failed: {message}")
        result: T = outcome[0]
        return result

    def share_buffers(self, module: nn.Module) -> None:
        """Copy the first process's buffers, such as norm statistics, to the others' module."""
        if self.control is not None:
            for buffer in module.buffers():
                distributed.broadcast(buffer, src=0)

    @contextlib.contextmanager
    def share_errors(self) -> Iterator[None]:
        """Leave the block when every process has reached its end.

        Raises:
            InputError: one that any process raised in the block; the same message in all.
        """
        own: InputError | None = None
        try:
            yield
        except InputError as error:
            own = error
        messages = self.gather(None if own is None else str(own))
        if own is not None and self.first:
            raise own
        for message in messages:
            if message is not None:
                raise (InputError if self.first else SharedInputError)(message) from own

    def wrap(
        self, module: nn.Module, *, buffers_change: bool = True, trains_all: bool = True
    ) -> nn.Module:
        """Average the gradients of ``module``'s forward pass over the processes.

        Args:
            module: the same in all processes.
            buffers_change: whether the first process's buffers, such as the statistics of batch
                norms, replace those of the others before every pass.
            trains_all: whether every parameter that requires a gradient gets one.
        """
        if self.control is None:
            return module
        devices = [self.device] if self.device.type == "cuda" else None
        return DistributedDataParallel(
            module,
            device_ids=devices,
            broadcast_buffers=buffers_change,
            find_unused_parameters=not trains_all,
        )


@contextlib.contextmanager
def join_processes(device: str = "auto") -> Iterator[Processes]:
    """Join the other processes that torchrun started; a process without torchrun is alone.

    Call this once per process: torch's rendezvous can hang when it is repeated.

    Args:
        device: auto, cpu or cuda, where every process gets its own GPU; a single process also
            accepts one GPU by name.

    Raises:
        InputError: no such device, more processes than GPUs, or incomplete torchrun variables.
    """
    if _whole_number("WORLD_SIZE", default="1") == 1:
        own_device = resolve_device(device)
        if own_device.type == "cuda" and own_device.index is not None:
            # Otherwise whatever does not name its device would also use the first GPU.
            torch.cuda.set_device(own_device)
        yield Processes(own_device)
        return
    missing = [name for name in TORCHRUN if name not in os.environ]
    if missing:
        raise InputError(
            f"WORLD_SIZE is set but {', '.join(missing)} is not: start several processes with "
            "torchrun --nproc_per_node=K"
        )
    own_device = _own_device(device, _whole_number("LOCAL_RANK"))
    on_gpu = own_device.type == "cuda"
    if on_gpu:
        torch.cuda.set_device(own_device)
    store, rank, world_size = next(rendezvous("env://"))
    distributed.init_process_group(
        "nccl" if on_gpu else "gloo",
        store=PrefixStore("group", store),
        rank=rank,
        world_size=world_size,
        timeout=STEP_TIMEOUT,
    )
    # Every process is a member of the new group; only outsiders would get a number instead.
    control = cast(ProcessGroup, distributed.new_group(backend="gloo", timeout=CONTROL_TIMEOUT))
    yield Processes(own_device, rank, world_size, control, PrefixStore("scmn", store))
    # Not after an error: the others may never get here, and torchrun ends them.
    distributed.barrier(control)
    distributed.destroy_process_group()


def _whole_number(variable: str, default: str = "") -> int:
    value = os.environ.get(variable, default)
    try:
        return int(value)
    except ValueError as error:
        raise InputError(f"{variable} must be a whole number, not {value!r}") from error


def _own_device(name: str, local_rank: int) -> torch.device:
    """Give every process of this machine its own GPU, or all of them the CPU."""
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

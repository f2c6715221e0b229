"""Sharing sequences out over the processes that torchrun starts.

They exchange nothing but mistakes, over Gloo: the processes of a training, which exchange
gradients, are those of ``scmn.training.distributed``.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import timedelta

import torch
from torch import distributed

from scmn.data.sequences import FrameSource
from scmn.errors import InputError

PATIENCE = timedelta(days=7)
"""How long a rank waits for the others: their sequences may be much longer than its own."""

TORCHRUN = ("RANK", "MASTER_ADDR", "MASTER_PORT")


@dataclass(frozen=True)
class Rank:
    """This process among those of the run."""

    index: int = 0
    count: int = 1

    @property
    def first(self) -> bool:
        return self.index == 0

    def share(self, sources: Sequence[FrameSource]) -> list[FrameSource]:
        """Return this rank's sequences: the longest are dealt out first."""
        order = sorted(sources, key=lambda source: (-len(source), source.name))
        return order[self.index :: self.count]

    @contextlib.contextmanager
    def together(self) -> Iterator[None]:
        """Leave the block when every rank has come to its end.

        Raises:
            InputError: the mistake that a rank met in the block, the same in all ranks.
        """
        own: InputError | None = None
        try:
            yield
        except InputError as error:
            if self.count == 1:
                raise
            own = error
        if self.count == 1:
            return
        messages: list[str | None] = [None] * self.count
        distributed.all_gather_object(messages, None if own is None else str(own))
        for message in messages:
            if message is not None:
                raise InputError(message) from own

    def device(self, name: str) -> str:
        """Give every rank a GPU of its own where "auto" or "cuda" was asked for."""
        if self.count > 1 and name in ("auto", "cuda") and torch.cuda.is_available():
            local = int(os.environ.get("LOCAL_RANK", self.index))
            return f"cuda:{local % torch.cuda.device_count()}"
        return name


ALONE = Rank()


@contextlib.contextmanager
def torchrun_rank() -> Iterator[Rank]:
    """Join the other processes of a torchrun start; alone otherwise.

    Once in the life of a process: torch's rendezvous can hang when it is made a second time.

    Raises:
        InputError: half of torchrun's environment.
    """
    if os.environ.get("WORLD_SIZE", "1") == "1":
        yield ALONE
        return
    missing = [name for name in TORCHRUN if name not in os.environ]
    if missing:
        raise InputError(
            f"WORLD_SIZE is set but {', '.join(missing)} is not: start several processes with "
            "torchrun --nproc_per_node=K eval.py ..."
        )
    distributed.init_process_group("gloo", timeout=PATIENCE)
    try:
        yield Rank(distributed.get_rank(), distributed.get_world_size())
    finally:
        distributed.destroy_process_group()

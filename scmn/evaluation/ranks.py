"""Sharing sequences out over the processes that torchrun starts."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import timedelta

import torch
from torch import distributed

from scmn.data.sequences import FrameSource

PATIENCE = timedelta(days=7)
"""How long a rank waits for the others: their sequences may be much longer than its own."""


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

    def wait_for_all(self) -> None:
        """Return when every rank has come here."""
        if self.count > 1:
            distributed.barrier()

    def device(self, name: str) -> str:
        """Give every rank a GPU of its own where "auto" or "cuda" was asked for."""
        if self.count > 1 and name in ("auto", "cuda") and torch.cuda.is_available():
            local = int(os.environ.get("LOCAL_RANK", self.index))
            return f"cuda:{local % torch.cuda.device_count()}"
        return name


@contextlib.contextmanager
def torchrun_rank() -> Iterator[Rank]:
    """Join the other processes of a torchrun start; alone otherwise."""
    if "WORLD_SIZE" not in os.environ or int(os.environ["WORLD_SIZE"]) == 1:
        yield Rank()
        return
    # Only barriers are exchanged: Gloo does that with and without GPUs.
    distributed.init_process_group("gloo", timeout=PATIENCE)
    try:
        yield Rank(distributed.get_rank(), distributed.get_world_size())
    finally:
        distributed.destroy_process_group()

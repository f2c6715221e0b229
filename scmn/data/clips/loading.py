"""Batches of training clips for one rank, drawn by worker processes in the order of numbers."""

from __future__ import annotations

import multiprocessing
import os
import signal
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from threading import Thread

import cv2
import torch
from torch.utils.data import DataLoader, Dataset, Sampler

from scmn.data.clips.batch import ClipBatch, TrainingClip, collate_clips
from scmn.data.clips.mixture import ClipMixture
from scmn.errors import InputError


class SampleNumbers(Sampler[int]):
    """The numbers ``start + rank, start + rank + world_size, ...`` below ``stop``.

    All ranks get the same count: a remainder that is not enough for every rank is left out.

    Raises:
        InputError: no such rank or range.
    """

    def __init__(self, *, start: int, stop: int, rank: int = 0, world_size: int = 1) -> None:
        if world_size < 1 or not 0 <= rank < world_size:
            raise InputError(f"rank {rank} is not below the world size {world_size}")
        if not 0 <= start <= stop:
            raise InputError(f"sample number {start} to start from is not in 0..{stop}")
        whole = (stop - start) // world_size * world_size
        self._numbers = range(start + rank, start + whole, world_size)

    def __len__(self) -> int:
        return len(self._numbers)

    def __iter__(self) -> Iterator[int]:
        return iter(self._numbers)


@dataclass(frozen=True)
class _Refusal:
    """The message of an InputError raised in a worker.

    The DataLoader would raise the error again with a traceback in its message.
    """

    message: str


class _GuardedMixture(Dataset["TrainingClip | _Refusal"]):
    def __init__(self, mixture: ClipMixture) -> None:
        self._mixture = mixture

    def __len__(self) -> int:
        return len(self._mixture)

    def __getitem__(self, number: int) -> TrainingClip | _Refusal:
        try:
            return self._mixture[number]
        except InputError as error:
            return _Refusal(str(error))


def _collate(samples: Sequence[TrainingClip | _Refusal]) -> ClipBatch | _Refusal:
    clips = []
    for sample in samples:
        if isinstance(sample, _Refusal):
            return sample
        clips.append(sample)
    return collate_clips(clips)


def _prepare_worker(worker: int) -> None:
    """Use one thread and ignore signals that are meant for the training process.

    Ctrl-C and a scheduler's SIGTERM reach the whole process group. The trainer finishes its step
    and writes a checkpoint, so its workers live until the trainer ends them or dies.
    """
    cv2.setNumThreads(0)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    parent = multiprocessing.parent_process()
    if parent is not None and hasattr(signal, "sigwaitinfo"):
        # Threads inherit the mask: only this thread receives the signal, and learns its sender.
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
        Thread(target=_exit_on_signal_from, args=(parent.pid,), daemon=True).start()


def _exit_on_signal_from(parent: int | None) -> None:
    while signal.sigwaitinfo({signal.SIGTERM}).si_pid != parent:
        pass
    os._exit(0)


class ClipLoader:
    """The batches of one rank, starting at sample ``start``.

    An iteration covers a whole stage; its workers end with it, even if it ends with an error.

    Batch i of rank r of R holds the samples ``start + r + R * (i * batch_size + 0, 1, ...)``: the R
    batches of a step are ``R * batch_size`` consecutive samples. Every rank has the same number of
    full batches.

    Raises:
        InputError: a rank or sample that does not exist; during iteration, data that cannot be
            read, in this process or a worker.
    """

    def __init__(
        self,
        mixture: ClipMixture,
        *,
        batch_size: int,
        start: int = 0,
        rank: int = 0,
        world_size: int = 1,
        workers: int = 0,
        pin_memory: bool = False,
    ) -> None:
        numbers = SampleNumbers(start=start, stop=len(mixture), rank=rank, world_size=world_size)
        self._loader = DataLoader(
            _GuardedMixture(mixture),
            batch_size=batch_size,
            sampler=numbers,
            num_workers=workers,
            collate_fn=_collate,
            pin_memory=pin_memory,
            drop_last=True,
            worker_init_fn=_prepare_worker,
            # The loader must not draw from the global generator, which training uses.
            generator=torch.Generator().manual_seed(mixture.seed),
        )

    def __len__(self) -> int:
        """Number of batches."""
        return len(self._loader)

    def __iter__(self) -> Iterator[ClipBatch]:
        for batch in self._loader:
            if isinstance(batch, _Refusal):
                raise InputError(batch.message)
            yield batch

"""One writer per output folder, whichever program it is."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

from filelock import FileLock, Timeout

from scmn.errors import InputError
from scmn.processes import Processes

LOCK = ".lock"
"""The file stays; it is locked only while a process that holds the lock lives."""


@contextlib.contextmanager
def output_lock(folder: Path, processes: Processes) -> Iterator[None]:
    """Hold the lock of an output folder, which is created if it is missing.

    The processes of one run share it.

    Raises:
        InputError: another run writes there, or the folder cannot be written.
    """
    lock = FileLock(folder / LOCK)

    def acquire() -> None:
        try:
            folder.mkdir(parents=True, exist_ok=True)
            lock.acquire(timeout=0)
        except Timeout as error:
            raise InputError(
                f"another run is writing to {folder}; wait for its end or choose another --output"
            ) from error
        except OSError as error:
            raise InputError(f"cannot write to {folder}: {error.strerror or error}") from error

    processes.on_first(acquire)
    try:
        yield
    finally:
        lock.release()

"""Atomic writing: files appear complete or not at all. Syncing: they survive a power failure."""

from __future__ import annotations

import contextlib
import errno
import os
import re
import uuid
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeAlias

from scmn.errors import InputError

BeforeRename: TypeAlias = Callable[[Path, Path], object]
"""Called with a complete temporary file and the path that it is about to get."""

CANNOT_SYNC_FOLDERS = {
    errno.EINVAL, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS, errno.EBADF,
    errno.EACCES, errno.EPERM, errno.EISDIR,
}  # fmt: skip
"""What network and FUSE file systems (and Windows, on opening) answer to syncing a folder."""

SYNCED_AT_A_TIME = 8

_TEMPORARY = re.compile(r"\..+\.[0-9a-f]{12}(\.[^.]*)?")


def temporary_beside(path: Path) -> Path:
    """Return an unused name in the folder of ``path``.

    It is hidden, so that ``list_images`` ignores it, and keeps the suffix, from which libraries
    infer the format.
    """
    return path.with_name(f".{path.stem}.{uuid.uuid4().hex[:12]}{path.suffix}")


def remove_left_over(folder: Path) -> None:
    """Remove the temporary files of killed processes from a folder where no other process writes.

    Raises:
        InputError: one cannot be removed.
    """
    if folder.is_dir():
        for path in folder.iterdir():
            if _TEMPORARY.fullmatch(path.name) and path.is_file() and not path.is_symlink():
                remove_file(path)


def remove_file(path: Path) -> None:
    """Remove a file if it exists; InputError if that fails."""
    try:
        path.unlink(missing_ok=True)
    except OSError as error:
        raise InputError(f"cannot remove {path}: {error.strerror or error}") from error


@contextlib.contextmanager
def atomic_path(
    path: Path, *, before_rename: BeforeRename | None = None, durable: bool = False
) -> Iterator[Path]:
    """Yield a temporary path beside ``path``; rename it to ``path`` when the block succeeds.

    If the block or ``before_rename`` raises, the temporary file is removed and a file at ``path``
    is left unchanged. The folder is created if it is missing. With ``durable`` the file is on disk
    when the block ends.

    Raises:
        InputError: the file cannot be written (full disk, no permission).
    """
    temporary = temporary_beside(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        yield temporary
        if durable:
            sync_file(temporary)
        if before_rename is not None:
            before_rename(temporary, path)
        temporary.replace(path)
        if durable:
            sync_folder(path.parent)
    except OSError as error:
        reason = error.strerror or str(error)
        raise InputError(f"cannot write {path}: {reason}") from error
    finally:
        # After success the name is gone; after a failure it may be a partial file.
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)


def sync_file(path: Path) -> None:
    """Write a file's content to disk; OSError if that fails."""
    with path.open("rb+") as file:
        os.fsync(file.fileno())


def sync_files(paths: Iterable[Path]) -> None:
    """Write the content of many files to disk; OSError if that fails."""
    # File systems that keep a journal commit what several threads sync at a time in one go.
    with ThreadPoolExecutor(SYNCED_AT_A_TIME, thread_name_prefix="sync") as pool:
        for _ in pool.map(sync_file, paths):
            pass


def sync_folder(folder: Path) -> None:
    """Write the names in a folder to disk, where the file system can; OSError if that fails."""
    try:
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
    except OSError as error:
        if error.errno not in CANNOT_SYNC_FOLDERS:
            raise

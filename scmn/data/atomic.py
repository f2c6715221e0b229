"""Atomic writing: files appear complete or not at all."""

from __future__ import annotations

import contextlib
import uuid
from collections.abc import Iterator
from pathlib import Path

from scmn.errors import InputError


def temporary_beside(path: Path) -> Path:
    """Return an unused name in the folder of ``path``.

    It is hidden, so that ``list_images`` ignores it, and keeps the suffix, from which libraries
    infer the format.
    """
    return path.with_name(f".{path.stem}.{uuid.uuid4().hex[:12]}{path.suffix}")


@contextlib.contextmanager
def atomic_path(path: Path) -> Iterator[Path]:
    """Yield a temporary path beside ``path``; rename it to ``path`` when the block succeeds.

    If the block raises, the temporary file is removed and a file at ``path`` is left unchanged. The
    folder is created if it is missing.

    Raises InputError if the file cannot be written (full disk, no permission).
    """
    temporary = temporary_beside(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        yield temporary
        temporary.replace(path)
    except OSError as error:
        reason = error.strerror or str(error)
        raise InputError(f"cannot write {path}: {reason}") from error
    finally:
        # After success the name is gone; after a failure it may be a partial file.
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)

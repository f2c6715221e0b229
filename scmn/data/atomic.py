"""Files that appear whole or not at all."""

from __future__ import annotations

import contextlib
import uuid
from collections.abc import Iterator
from pathlib import Path

from scmn.errors import InputError


def temporary_beside(path: Path) -> Path:
    """Return an unused name in the folder of ``path``.

    It is hidden, so that a listing of frames leaves it out, and keeps the suffix, from which
    libraries guess the format.
    """
    return path.with_name(f".{path.stem}.{uuid.uuid4().hex[:12]}{path.suffix}")


@contextlib.contextmanager
def atomic_path(path: Path) -> Iterator[Path]:
    """Yield a temporary path beside ``path``; rename it to ``path`` when the block succeeds.

    If the block raises, the temporary file is removed and whatever stood at ``path`` is untouched.
    The folder is made if it is missing. InputError if the file cannot be written (full disk, no
    permission).
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
        # After success the name is gone; what is left by a failure is half a file.
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)

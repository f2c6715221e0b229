"""The checkpoints of a run in its folder: last, best, and the newest few.

A checkpoint is written once, under a temporary name, and synced to disk before hard links (copies
where the file system has none) give it its names: even if the process is killed, every name refers
to a complete file, either the new or the previous one.
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
from pathlib import Path
from typing import Any

import torch

from scmn.data.atomic import remove_left_over, sync_file, sync_folder, temporary_beside
from scmn.errors import InputError, in_one_line
from scmn.training.checkpoint import Checkpoint, checkpoint_content, read_checkpoint

LAST = "last.pt"
BEST = "best.pt"
_NUMBERED = re.compile(r"iteration-(\d+)\.pt")


class CheckpointFolder:
    """``last.pt``, ``best.pt`` and the newest ``iteration-00001000.pt`` of one run.

    Only one process writes. With hard links, all names of a checkpoint share one file.
    """

    def __init__(self, folder: str | Path, *, keep: int = 3) -> None:
        """
        Args:
            folder: created when it is needed.
            keep: number of numbered checkpoints to keep (0: none is written).
        """
        self.folder = Path(folder)
        self.keep = keep

    @property
    def last(self) -> Path:
        return self.folder / LAST

    @property
    def best(self) -> Path:
        return self.folder / BEST

    def prepare(self) -> None:
        """Create the folder and check that it is writable before the first step; remove temporary
        files of killed processes.

        Raises:
            InputError: the folder cannot be written.
        """
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            probe = temporary_beside(self.last)
            probe.touch()
            remove_left_over(self.folder)  # the probe as well
        except OSError as error:
            raise InputError(
                f"cannot write checkpoints to {self.folder}: {_reason(error)}"
            ) from error

    def save(self, checkpoint: Checkpoint, *, best: bool = False) -> Path:
        """Write ``last.pt``, the numbered checkpoint and, if it is the best, ``best.pt``.

        A failure leaves the earlier checkpoints untouched.

        Returns:
            The path of ``last.pt``.

        Raises:
            InputError: the file cannot be written (disk full, no permission).
        """
        content = checkpoint_content(checkpoint)
        # best.pt first: a run killed in between resumes from the previous last.pt and repeats this.
        names = [BEST, LAST] if best else [LAST]
        if self.keep > 0:
            names.append(f"iteration-{checkpoint.iteration:08d}.pt")
        temporary = temporary_beside(self.last)
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            _write_to_disk(content, temporary)
            for name in names:
                _give_name(temporary, self.folder / name)
            sync_folder(self.folder)
            self._remove_old()
        except (OSError, RuntimeError) as error:
            raise InputError(
                f"cannot write checkpoint {self.last}: {_reason(error)}; "
                "earlier checkpoints are untouched"
            ) from error
        finally:
            with contextlib.suppress(OSError):
                temporary.unlink(missing_ok=True)
        return self.last

    def load(self, resume: Path | None = None) -> Checkpoint | None:
        """Read the checkpoint ``resume``, or ``last.pt``; None if there is nothing to resume.

        Raises:
            InputError: it is damaged; or ``last.pt`` is missing although other checkpoints exist,
                the newest good one of which is named but not used: the user decides whether to go
                back to it; or ``resume`` is from elsewhere, and the folder's own checkpoints would
                be replaced.
        """
        if resume is not None:
            elsewhere = resume.is_file() and resume.resolve().parent != self.folder.resolve()
            if elsewhere and not self.is_empty:
                raise InputError(
                    f"{self.folder} holds checkpoints already, which {resume} would replace; leave "
                    "out --resume to resume from them, or choose another --output"
                )
            return read_checkpoint(resume)
        if self.is_empty:
            return None
        if not self.last.is_file():
            problem = "not a file" if os.path.lexists(self.last) else "missing"
            raise InputError(f"{self.last} is {problem}; {self._advice()}")
        try:
            return read_checkpoint(self.last)
        except InputError as error:
            raise InputError(f"{error}; {self._advice()}") from error

    @property
    def is_empty(self) -> bool:
        """Whether the folder has no checkpoint."""
        return not (os.path.lexists(self.last) or self.best.is_file() or self._numbered())

    def newest_good(self) -> Path | None:
        """Return the last readable numbered checkpoint that was written, or else ``best.pt``."""
        for path in [*self._numbered(), self.best]:
            with contextlib.suppress(InputError):
                read_checkpoint(path)
                return path
        return None

    def _advice(self) -> str:
        good = self.newest_good()
        if good is None:
            return f"there is no good checkpoint in {self.folder}"
        return f"the newest good checkpoint is {good}: resume from it with --resume"

    def _numbered(self) -> list[Path]:
        """Return the numbered checkpoints, the last one written first.

        Its number need not be the highest: a run may go back to an earlier checkpoint.
        """
        if not self.folder.is_dir():
            return []
        files = [file for file in self.folder.iterdir() if _NUMBERED.fullmatch(file.name)]
        return sorted(files, key=lambda file: (file.stat().st_mtime_ns, file.name), reverse=True)

    def _remove_old(self) -> None:
        for file in self._numbered()[self.keep :]:
            file.unlink()


def _write_to_disk(content: dict[str, Any], path: Path) -> None:
    with path.open("wb") as file:
        torch.save(content, file)
        file.flush()
        os.fsync(file.fileno())


def _give_name(source: Path, target: Path) -> None:
    """Make ``target`` another name of ``source`` atomically, replacing an existing file."""
    step = temporary_beside(target)
    try:
        try:
            os.link(source, step)
        except OSError:
            # No hard links on this file system; after any other error the copy fails as well.
            shutil.copyfile(source, step)
            sync_file(step)
        step.replace(target)
    finally:
        with contextlib.suppress(OSError):
            step.unlink(missing_ok=True)


def _reason(error: BaseException) -> str:
    """Return the message of the system error from which torch's writer raised its RuntimeError."""
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, OSError) and cause.strerror:
            return cause.strerror
        cause = cause.__cause__ or cause.__context__
    return in_one_line(error)

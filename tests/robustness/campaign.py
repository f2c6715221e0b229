"""A case of the campaign: a damaged input or a fault, and how the program must end.

Every case asserts the exit status, the number of lines on stderr and what they say, and that no
file of the scene changed besides those that the case names.
"""

from __future__ import annotations

import contextlib
import logging
import re
import resource
import signal
import stat
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from types import FrameType

import pytest

from scmn.cli import eval_main, train_main
from tests.robustness.scene import Scene

PROGRAMS = {"train": train_main, "eval": eval_main}
SECONDS = 20
MEMORY = 4 << 30
"""Seconds and bytes after which a program that hangs or swells fails its case."""
LOCKS = ("*/.lock",)
"""What a refused run may leave: the file with which it takes hold of its output."""
Snapshot = dict[str, tuple[object, ...]]


class HangError(BaseException):
    """The program takes too long; not an Exception, which it might handle."""


@dataclass(frozen=True)
class Ending:
    """How a program ended."""

    status: int
    stderr: str

    @property
    def lines(self) -> list[str]:
        """The lines on stderr without progress bars, which begin with a carriage return."""
        lines = self.stderr.split("\n")
        return [line for line in lines if line and not line.startswith("\r")]


@dataclass(frozen=True)
class Case:
    """One bad input or fault."""

    name: str
    damage: Callable[[Scene], Sequence[object]]
    """Damages the scene and returns the program's arguments."""
    says: str
    """Regular expression that the last line on stderr must match."""
    program: str = "eval"
    status: int = 2
    lines: int = 1
    writes: Sequence[str] = ()
    """Patterns of the files that may be written: paths in the scene."""
    names: Callable[[Scene], Path] | None = None
    """A file that the line must name."""

    def __str__(self) -> str:
        return self.name

    def check(self, scene: Scene, capsys: pytest.CaptureFixture[str]) -> None:
        """Damage the scene, run the program in this process and look at the outcome."""
        arguments = self.damage(scene)
        before = snapshot(scene.root)
        ending = run_here(self.program, arguments, capsys)
        self.check_ending(ending)
        if self.names is not None:
            assert str(self.names(scene)) in ending.lines[-1], ending.lines[-1]
        check_unchanged(before, snapshot(scene.root), self.writes)

    def check_ending(self, ending: Ending) -> None:
        assert "Traceback" not in ending.stderr
        assert ending.status == self.status, ending.stderr
        assert len(ending.lines) == self.lines, ending.stderr
        if self.lines:
            assert re.search(self.says, ending.lines[-1]), ending.lines[-1]
        if self.status == 2:
            assert ending.lines[-1].startswith("error: ")


def cases(*given: Case) -> pytest.MarkDecorator:
    """Run a test for every case, named after it."""
    assert len({case.name for case in given}) == len(given), "two cases have the same name"
    return pytest.mark.parametrize("case", given, ids=str)


def run_here(
    program: str, arguments: Sequence[object], capsys: pytest.CaptureFixture[str]
) -> Ending:
    """Run train.py or eval.py in this process: to import torch again would take seconds."""
    capsys.readouterr()
    status = 0
    with limits(), logging_to_stderr():
        try:
            PROGRAMS[program]([str(argument) for argument in arguments])
        except SystemExit as end:
            status = int(end.code or 0)
    return Ending(status, capsys.readouterr().err)


@contextlib.contextmanager
def limits() -> Iterator[None]:
    """Raise HangError or MemoryError in a program that does not end by itself."""

    def expire(number: int, frame: FrameType | None) -> None:
        raise HangError

    handler = signal.signal(signal.SIGALRM, expire)
    space = resource.getrlimit(resource.RLIMIT_AS)
    pages = int(Path("/proc/self/statm").read_text().split()[0]) if sys.platform == "linux" else 0
    if pages:
        limit = pages * resource.getpagesize() + MEMORY
        resource.setrlimit(resource.RLIMIT_AS, (limit, space[1]))
    signal.alarm(SECONDS)
    try:
        yield
    finally:
        signal.alarm(0)
        resource.setrlimit(resource.RLIMIT_AS, space)
        signal.signal(signal.SIGALRM, handler)


@contextlib.contextmanager
def logging_to_stderr() -> Iterator[None]:
    """Take pytest's handlers away, so that the program's own one prints to stderr."""
    before = logging.root.handlers
    logging.root.handlers = []
    try:
        yield
    finally:
        logging.root.handlers = before


def snapshot(folder: Path) -> Snapshot:
    """Return path -> type, size and times of modification and change of all in ``folder``."""
    return {str(path.relative_to(folder)): _entry(path) for path in sorted(folder.rglob("*"))}


def _entry(path: Path) -> tuple[object, ...]:
    status = path.lstat()
    kind = stat.S_IFMT(status.st_mode)
    if kind == stat.S_IFLNK:
        return kind, path.readlink()
    if kind != stat.S_IFREG:
        return (kind,)
    # No program can set the time of the last change: what is written, even in place, shows.
    return kind, status.st_size, status.st_mtime_ns, status.st_ctime_ns


def check_unchanged(
    before: Snapshot,
    after: Snapshot,
    writes: Sequence[str] = (),
) -> None:
    """Assert that only paths that match ``writes``, and folders for them, are new or changed."""
    different = [path for path in {**before, **after} if before.get(path) != after.get(path)]
    allowed = (*LOCKS, *writes)
    folders = {path for path in different if after.get(path) == (stat.S_IFDIR,)} - before.keys()
    unexpected = [
        path
        for path in different
        if path not in folders and not any(fnmatchcase(path, pattern) for pattern in allowed)
    ]
    assert not unexpected, f"changed: {unexpected}"

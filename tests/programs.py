"""Programs of the repository, run as a user runs them."""

from __future__ import annotations

import contextlib
import io
import logging
import multiprocessing
import os
import runpy
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any, ParamSpec, TypeVar

import pytest
import torch

from tests.conftest import REPOSITORY

Arguments = ParamSpec("Arguments")
Result = TypeVar("Result")

FORKS = multiprocessing.get_context("forkserver" if sys.platform != "win32" else "spawn")
"""Processes with nothing of this one, but with torch imported, which takes seconds."""
FORKS.set_forkserver_preload(
    ["scmn.evaluation.evaluate", "scmn.training.trainer", "torch._dynamo", "pytest"]
)


def run_here(program: str, *arguments: object) -> subprocess.CompletedProcess[str]:
    """Run a program of the repository in this process.

    Where the process itself is the point, use :func:`start`, and :func:`run_python` where its start
    is, which takes seconds.
    """
    path = REPOSITORY / program
    stdout, stderr = (io.TextIOWrapper(io.BytesIO(), encoding="utf-8") for _ in range(2))
    status: object = 0
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(REPOSITORY)
        patch.setattr(sys, "argv", [program, *map(str, arguments)])
        patch.setattr(sys, "path", [str(path.parent), *sys.path])
        patch.setattr(logging.root, "handlers", [])  # the program makes its own
        with contextlib.redirect_stdout(stdout), contextlib.redirect_stderr(stderr):
            try:
                runpy.run_path(str(path), run_name="__main__")
            except SystemExit as end:
                status = end.code or 0
    printed = []
    for stream in (stdout, stderr):
        stream.seek(0)
        printed.append(stream.read())
    assert isinstance(status, int)
    return subprocess.CompletedProcess([program, *arguments], status, *printed)


@dataclass
class Started:
    """A program in a process of its own, and the files of what it prints."""

    process: BaseProcess
    stdout: Path
    stderr: Path

    def send_signal(self, number: signal.Signals) -> None:
        assert self.process.pid is not None
        os.kill(self.process.pid, number)

    def end(self, timeout: float = 300) -> subprocess.CompletedProcess[str]:
        """Wait until it has ended."""
        self.process.join(timeout)
        status = self.process.exitcode
        if status is None:
            self.process.kill()
        assert status is not None, "the program does not end"
        # Not split into lines: a carriage return, with which a bar begins, is not a line break.
        printed = (
            "" if path.is_char_device() else path.read_bytes().decode(errors="replace")
            for path in (self.stdout, self.stderr)
        )
        return subprocess.CompletedProcess([], status, *printed)


def start(
    folder: Path,
    program: str,
    *arguments: object,
    stdout: Path | None = None,
    environment: Mapping[str, str] | None = None,
    threads: int | None = None,
    prepare: Callable[[], object] | None = None,
) -> Started:
    """Start a program of the repository as a process.

    Args:
        folder: what it prints is written to files in it.
        program: path in the repository, or ``-m``, which the name of a module follows.
        arguments: those of its command line.
        stdout: instead of a file in ``folder``.
        environment: added to the variables of this process.
        threads: for torch (None: as many as in this process; another number rounds differently).
        prepare: called in the process before the program; a function of a module.
    """
    outputs = (stdout or folder / "stdout.txt", folder / "stderr.txt")
    process = FORKS.Process(
        target=_run,
        args=(program, [*map(str, arguments)], outputs, {**_environment(), **(environment or {})}),
        kwargs={"threads": threads or torch.get_num_threads(), "prepare": prepare},
    )
    process.start()
    return Started(process, *outputs)


def _environment() -> dict[str, str]:
    """The variables of this process but pytest's, with which NiceGUI expects its own test tools."""
    return {name: value for name, value in os.environ.items() if name != "PYTEST_CURRENT_TEST"}


def _run(
    program: str,
    arguments: list[str],
    outputs: tuple[Path, Path],
    environment: Mapping[str, str],
    *,
    threads: int,
    prepare: Callable[[], object] | None,
) -> None:
    multiprocessing.current_process().name = "MainProcess"  # NiceGUI starts in no other
    # A background job ignores SIGINT, and a program under nohup SIGHUP.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGHUP, signal.SIG_DFL)
    for stream, path in zip((sys.stdout, sys.stderr), outputs, strict=True):
        with path.open("w") as file:
            os.dup2(file.fileno(), stream.fileno())
    os.environ.clear()
    os.environ.update(environment)
    tempfile.tempdir = None  # found anew, in the environment
    os.chdir(REPOSITORY)
    torch.set_num_threads(threads)
    if prepare is not None:
        prepare()
    if program == "-m":
        sys.argv = arguments
        runpy.run_module(arguments[0], run_name="__main__", alter_sys=True)
    else:
        sys.argv = [program, *arguments]
        path = REPOSITORY / program
        sys.path.insert(0, str(path.parent))
        runpy.run_path(str(path), run_name="__main__")


def run_ranks(
    folder: Path, program: str, *arguments: object, count: int = 2
) -> list[subprocess.CompletedProcess[str]]:
    """Run a program as processes that join each other, as torchrun starts them."""
    ranks = []
    for rank, environment in enumerate(variables_of_ranks(count)):
        own = folder / f"rank{rank}"
        own.mkdir()
        ranks.append(start(own, program, *arguments, environment=environment, threads=1))
    return [rank.end() for rank in ranks]


def run_in_fork(
    function: Callable[Arguments, Result], *arguments: Arguments.args, **named: Arguments.kwargs
) -> Result:
    """Call a function of a module in a process of its own."""
    with ProcessPoolExecutor(1, mp_context=FORKS) as pool:
        return pool.submit(function, *arguments, **named).result(timeout=300)


def run_processes(
    function: Callable[..., Result], *arguments: object, count: int = 2
) -> list[Result]:
    """Call a function of a module in processes that can join each other; return by rank."""
    variables = variables_of_ranks(count)
    with ProcessPoolExecutor(count, mp_context=FORKS) as pool:
        calls = [pool.submit(_call, function, arguments, own) for own in variables]
        return [call.result(timeout=300) for call in calls]


def _call(
    function: Callable[..., Result], arguments: tuple[Any, ...], environment: Mapping[str, str]
) -> Result:
    os.environ.update(environment)
    torch.set_num_threads(1)
    return function(*arguments)


def variables_of_ranks(count: int) -> list[dict[str, str]]:
    """The environment variables that torchrun gives to each of its processes."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    common = {"WORLD_SIZE": str(count), "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port}
    return [{**common, "RANK": str(rank), "LOCAL_RANK": str(rank)} for rank in range(count)]


def run_python(
    *arguments: object, environment: Mapping[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    """Run Python with ``arguments`` in the repository; the caller looks at status and output."""
    return subprocess.run(
        [sys.executable, *map(str, arguments)],
        cwd=REPOSITORY,
        env={**os.environ, "PYTHONPATH": str(REPOSITORY), **(environment or {})},
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )

"""Programs of the repository, run as a user runs them."""

from __future__ import annotations

import contextlib
import io
import logging
import os
import runpy
import socket
import subprocess
import sys

import pytest

from tests.conftest import REPOSITORY


def run_here(program: str, *arguments: object) -> subprocess.CompletedProcess[str]:
    """Run a program of the repository in this process, which has imported torch already.

    Where the process itself is the point, use :func:`run_python`, which takes seconds.
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


def run_python(*arguments: object) -> subprocess.CompletedProcess[str]:
    """Run Python with ``arguments`` in the repository; the caller looks at status and output."""
    return subprocess.run(
        [sys.executable, *map(str, arguments)],
        cwd=REPOSITORY,
        env={**os.environ, "PYTHONPATH": str(REPOSITORY)},
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )


def run_processes(code: str, *, count: int = 2) -> list[str]:
    """Run Python code in processes that can join each other; return what each printed, by rank.

    Raises AssertionError if one of them fails.
    """
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    common = {
        "WORLD_SIZE": str(count),
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": port,
        "OMP_NUM_THREADS": "1",
        "PYTHONPATH": str(REPOSITORY),
    }
    started = [
        subprocess.Popen(
            [sys.executable, "-c", code],
            env={**os.environ, **common, "RANK": str(rank), "LOCAL_RANK": str(rank)},
            stdout=subprocess.PIPE,
            text=True,
        )
        for rank in range(count)
    ]
    try:
        printed = [process.communicate(timeout=600)[0] for process in started]
    finally:
        for process in started:
            process.kill()
    assert [process.returncode for process in started] == [0] * count
    return printed

"""Signals: the first stops a run after its step, the second immediately."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import threading

import pytest

from scmn.training.interruption import Interruption
from tests.conftest import REPOSITORY

PROGRAM = """
import os, signal, sys, time
from scmn.training.interruption import Interruption
number = signal.Signals[sys.argv[1]]
for ignored in signal.SIGINT, signal.SIGHUP:  # by a background job, under nohup
    signal.signal(ignored, signal.default_int_handler)
with Interruption() as interruption:
    os.kill(os.getpid(), number)
    time.sleep(0.01)
    print("finishing the step", interruption.requested, interruption.signal.name, flush=True)
    if sys.argv[2] == "twice":
        os.kill(os.getpid(), number)
        time.sleep(5)
        print("never here")
print("after", signal.getsignal(signal.SIGTERM) is signal.SIG_DFL, flush=True)
os.kill(os.getpid(), signal.SIGTERM)
time.sleep(5)
"""


def run(name: str, times: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", PROGRAM, name, times],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        timeout=60,
    )


@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM", "SIGHUP"])
def test_interruption_first_signal_sets_a_flag(name: str) -> None:
    result = run(name, "once")
    assert result.stdout.splitlines() == [f"finishing the step True {name}", "after True"]
    assert result.returncode == -signal.SIGTERM  # the handler is the usual one again


@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM", "SIGHUP"])
def test_interruption_second_signal_raises(name: str) -> None:
    result = run(name, "twice")
    assert "KeyboardInterrupt" in result.stderr
    assert result.returncode != 0
    assert "never here" not in result.stdout


def test_interruption_restores_handlers_after_an_error() -> None:
    before = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]
    interruption = Interruption()
    with contextlib.suppress(ZeroDivisionError), interruption:
        os.kill(os.getpid(), signal.SIGTERM)
        raise ZeroDivisionError
    assert interruption.requested
    assert [signal.getsignal(n) for n in (signal.SIGINT, signal.SIGTERM)] == before


def test_interruption_refuses_other_threads() -> None:
    errors: list[BaseException] = []

    def attempt() -> None:
        try:
            Interruption().__enter__()
        except RuntimeError as error:
            errors.append(error)

    thread = threading.Thread(target=attempt)
    thread.start()
    thread.join()
    assert "main thread" in str(errors[0])

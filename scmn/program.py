"""What all programs share: the parser of their options, and how they end.

A user's mistake is one line on stderr and exit status 2; after a signal that a program does not
handle itself, the status is 128 plus its number.
"""

from __future__ import annotations

import argparse
import contextlib
import errno
import io
import logging
import os
import re
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from types import FrameType
from typing import Any, NoReturn

from scmn.errors import InputError

# torch is imported where it is used: --help and mistakes in options need not wait for it.

MISTAKE = 2
SIGNALLED = 128
"""Plus the signal's number: the exit status of a program that a signal has stopped."""
REPORT_SECONDS = 1.0
"""torchrun ends all processes once one has ended; the first has this long to report a mistake."""


class ArgumentParser(argparse.ArgumentParser):
    """argparse's parser with --version, whose errors are InputErrors."""

    def __init__(self, description: str, examples: str) -> None:
        super().__init__(
            description=description,
            epilog=examples,
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        self.add_argument(
            "--version", action=_PrintVersion, nargs=0, help="print scmn, torch and device"
        )

    @staticmethod
    def of_program(docstring: str) -> ArgumentParser:
        """Describe a script by its docstring: the first paragraph above, examples below."""
        description, _, examples = docstring.partition("\n\n")
        return ArgumentParser(description, examples.replace("%", "%%"))

    def parse_args(self, args: Any = None, namespace: Any = None) -> Any:
        """Take overrides anywhere among the options, where argparse wants them in one place."""
        return self.parse_intermixed_args(args, namespace)

    def error(self, message: str) -> NoReturn:
        raise InputError(f"{message} (see {self.prog} --help)")


class _PrintVersion(argparse.Action):
    def __call__(self, parser: argparse.ArgumentParser, *_: Any) -> None:
        import torch

        from scmn import __version__
        from scmn.evaluation.sequence_run import device_name
        from scmn.inference.devices import resolve_device

        device = device_name(resolve_device("auto"))
        print(f"scmn {__version__}, torch {torch.__version__}, {device}")
        parser.exit()


def is_first_process() -> bool:
    """Return whether this process is alone or the first of those that torchrun started."""
    return os.environ.get("RANK", "0") == "0"


def run_program(main: Callable[[], None], *, resumes: bool = False) -> None:
    """Run ``main``; exit with status 2 after a mistake, 128 + its number after a signal.

    With ``resumes``, a user who interrupts it is told that the same command resumes it.

    A mistake is an InputError, or an error of the system that names a file. Of several processes
    the first reports one that all of them have met; the others exit with the same status and print
    nothing.
    """
    handler = logging.StreamHandler()  # to stderr
    handler.setFormatter(_OneLineFormatter("%(levelname)s: %(message)s"))
    logging.basicConfig(level=logging.INFO, handlers=[handler])
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")  # as stderr: for names of files
    try:
        with _termination_raises(), _output_errors():
            main()
    except (InputError, OSError) as error:
        if isinstance(error, OSError) and error.filename is None:
            raise
        if is_first_process() or _others_do_not_know(error):
            print(f"error: {_one_line(_message(error))}", file=sys.stderr, flush=True)
        else:
            time.sleep(REPORT_SECONDS)
        sys.exit(MISTAKE)
    except KeyboardInterrupt as interrupt:
        if is_first_process():
            advice = "; run the same command to resume" if resumes else ""
            print(f"interrupted{advice}", file=sys.stderr)
        number = interrupt.number if isinstance(interrupt, _Termination) else signal.SIGINT
        sys.exit(SIGNALLED + number)


class _OneLineFormatter(logging.Formatter):
    def formatMessage(self, record: logging.LogRecord) -> str:
        return _one_line(super().formatMessage(record))


class _Termination(KeyboardInterrupt):
    """SIGTERM or SIGHUP, handled like Ctrl-C."""

    def __init__(self, number: int) -> None:
        super().__init__()
        self.number = number


@contextlib.contextmanager
def _termination_raises() -> Iterator[None]:
    """Raise _Termination on SIGTERM and SIGHUP, unless they are ignored (nohup) or handled."""

    def receive(number: int, frame: FrameType | None) -> None:
        raise _Termination(number)

    numbers = [signal.Signals[n] for n in ("SIGTERM", "SIGHUP") if hasattr(signal, n)]
    if threading.current_thread() is not threading.main_thread():
        numbers = []  # only the main thread can handle signals
    numbers = [number for number in numbers if signal.getsignal(number) is signal.SIG_DFL]
    for number in numbers:
        signal.signal(number, receive)
    try:
        yield
    finally:
        for number in numbers:
            signal.signal(number, signal.SIG_DFL)


@contextlib.contextmanager
def _output_errors() -> Iterator[None]:
    """End quietly if the reader of stdout, such as ``head``, has gone; InputError if it is full."""
    try:
        try:
            yield
        finally:
            sys.stdout.flush()
    except OSError as error:
        if error.errno not in (errno.EPIPE, errno.ENOSPC):
            raise
        # Python flushes again at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        if error.errno == errno.EPIPE:
            sys.exit(SIGNALLED + signal.SIGPIPE)
        raise InputError(str(error)) from error


def _message(error: InputError | OSError) -> str:
    if isinstance(error, InputError):
        return str(error)
    return f"{error.filename}: {error.strerror}"


def _one_line(message: str) -> str:
    """Escape control characters, which the name of a file may contain."""
    return re.sub(r"[\x00-\x1f\x7f]", lambda match: repr(match[0])[1:-1], message)


def _others_do_not_know(error: InputError | OSError) -> bool:
    """Return whether a mistake ended the work of this process only.

    Before the processes join, all do the same and meet the same mistakes.
    """
    from torch import distributed

    from scmn.processes import SharedInputError

    joined = distributed.is_available() and distributed.is_initialized()
    return joined and not isinstance(error, SharedInputError)

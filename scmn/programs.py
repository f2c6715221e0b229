"""How the command-line programs end: a user's mistake is one line on stderr and status 2."""

from __future__ import annotations

import argparse
import logging
import os
import sys
import time
from collections.abc import Callable
from typing import NoReturn

from scmn.errors import InputError

MISTAKE = 2
INTERRUPTED = 130
FIRST_SPEAKS_SECONDS = 1.0
"""torchrun ends all processes when one has ended; this is the first one's time to say why."""


class ArgumentParser(argparse.ArgumentParser):
    """argparse's own, but a wrong option is a mistake like any other: one line."""

    @staticmethod
    def of_program(docstring: str) -> ArgumentParser:
        """Describe a program by its docstring: the first paragraph above, examples below."""
        description, _, examples = docstring.partition("\n\n")
        return ArgumentParser(
            description=description,
            epilog=examples,
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )

    def error(self, message: str) -> NoReturn:
        raise InputError(f"{message} (see {self.prog} --help)")


def is_first_process() -> bool:
    """Whether this process is alone or the first of those that torchrun started."""
    return os.environ.get("RANK", "0") == "0"


def run_program(main: Callable[[], None]) -> None:
    """Run ``main`` and exit: 0, 2 for an InputError, 130 for Ctrl-C; other errors are ours.

    Of the processes that torchrun starts the first reports a mistake that all have met; the others
    end with the same status and say nothing.
    """
    logging.basicConfig(level=logging.INFO, format="%(levelname)s: %(message)s", stream=sys.stderr)
    try:
        main()
    except InputError as error:
        if is_first_process() or _in_the_midst_of_a_group():
            print(f"error: {error}", file=sys.stderr, flush=True)
        else:
            time.sleep(FIRST_SPEAKS_SECONDS)
        sys.exit(MISTAKE)
    except KeyboardInterrupt:
        if is_first_process():
            print("interrupted; the same command goes on where it stopped", file=sys.stderr)
        sys.exit(INTERRUPTED)


def _in_the_midst_of_a_group() -> bool:
    """Whether the mistake broke off work in a process group: then others may not know of it.

    Before the processes join they all do the same and meet the same mistakes.
    """
    from torch import distributed  # takes seconds, which a mistake in an option should not

    return distributed.is_available() and distributed.is_initialized()

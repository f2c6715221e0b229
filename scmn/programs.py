"""How the command-line programs end: a user's mistake is one line on stderr and status 2."""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable

from scmn.errors import InputError

MISTAKE = 2
INTERRUPTED = 130


def run_program(main: Callable[[], None]) -> None:
    """Run ``main`` and exit: 0, 2 for an InputError, 130 for Ctrl-C; other errors are ours."""
    logging.basicConfig(level=logging.INFO, format="%(levelname)s: %(message)s", stream=sys.stderr)
    try:
        main()
    except InputError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(MISTAKE)
    except KeyboardInterrupt:
        print("interrupted; the same command goes on where it stopped", file=sys.stderr)
        sys.exit(INTERRUPTED)

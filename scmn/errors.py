"""The exception for invalid input; the command-line programs print its message."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class InputError(ValueError):
    """Something in the user's input is wrong.

    The message is one line: what is wrong, where (file, key, frame), and what was expected.
    ``train.py`` and ``eval.py`` print it without a traceback and exit with status 2.
    """


def nearest_name(name: str, known: Iterable[str]) -> str:
    """Return ``" (did you mean 'x'?)"`` for the most similar known name, or ``""``."""
    matches = difflib.get_close_matches(name, list(known), n=1)
    return f" (did you mean '{matches[0]}'?)" if matches else ""

"""The exception for invalid input, whose message the programs print, and words for it."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Sequence


class InputError(ValueError):
    """Something in the user's input is wrong.

    The message is one line: what is wrong, where (file, key, frame), and what was expected.
    ``train.py`` and ``eval.py`` print it without a traceback and exit with status 2.
    """


LONGEST = 300
"""Characters of another library's message that an error repeats."""
FEW = 3
"""Things of which a message names each; the rest is counted."""


def in_one_line(error: object) -> str:
    """Return the message of another library's error, for an error of ours."""
    return " ".join(str(error).split())[:LONGEST]


def some_of(values: Sequence[object], *, shown: int = FEW) -> str:
    """Name the first of many things, and count the others."""
    text = ", ".join(map(str, values[:shown]))
    more = len(values) - shown
    return f"{text} and {more} more" if more > 0 else text


def nearest_name(name: str, known: Iterable[str]) -> str:
    """Return ``" (did you mean 'x'?)"`` for the most similar known name, or ``""``."""
    matches = difflib.get_close_matches(name, list(known), n=1)
    return f" (did you mean '{matches[0]}'?)" if matches else ""

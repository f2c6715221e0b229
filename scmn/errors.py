"""The one exception for a user's mistake: its message is a single line that the programs print."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class InputError(ValueError):
    """Something that the user gave is wrong.

    The message is one line that says what is wrong, where (file, key, frame), and what would be
    right. ``train.py`` and ``eval.py`` print it without a traceback and exit with status 2.
    """


def nearest_name(name: str, known: Iterable[str]) -> str:
    """Return ``" (did you mean 'x'?)"`` for the known name most like ``name``, else ``""``."""
    matches = difflib.get_close_matches(name, list(known), n=1)
    return f" (did you mean '{matches[0]}'?)" if matches else ""

"""Messages to the user on the page."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager

from nicegui import ui

from scmn.errors import InputError

logger = logging.getLogger(__name__)

SECONDS = 10


def complain(text: str) -> None:
    """Show what went wrong."""
    ui.notify(text, type="negative", multi_line=True, close_button="OK", timeout=SECONDS * 1000)


@contextmanager
def told() -> Iterator[None]:
    """Show errors of the block instead of raising them; log those that are no user's mistake."""
    try:
        yield
    except InputError as error:
        complain(str(error))
    except Exception:
        logger.exception("an action on the page failed")
        complain("that failed; the server's log has the details")


@contextmanager
def waiting(text: str) -> Iterator[None]:
    """Show what the page is doing while the block lasts."""
    note = ui.notification(text, spinner=True, timeout=None)
    try:
        yield
    finally:
        note.dismiss()

"""Ctrl-C, SIGTERM and SIGHUP as a request to stop after the current step."""

from __future__ import annotations

import signal
import threading
from types import FrameType, TracebackType
from typing import Any

SIGNALS = tuple(
    signal.Signals[name]
    for name in ("SIGINT", "SIGTERM", "SIGHUP")
    if hasattr(signal, name)  # Windows has no SIGHUP
)


class Interruption:
    """Catch SIGINT, SIGTERM and SIGHUP inside a ``with`` block, except those that are ignored.

    The first signal sets ``requested``; the trainer checks it after each step, writes a checkpoint
    and stops. The second signal raises KeyboardInterrupt at once. Only the main thread can catch
    signals; in other threads entering the block raises RuntimeError.
    """

    def __init__(self) -> None:
        self.signal: signal.Signals | None = None
        """The first signal received."""
        self._previous: dict[signal.Signals, Any] = {}

    @property
    def requested(self) -> bool:
        return self.signal is not None

    def __enter__(self) -> Interruption:
        if threading.current_thread() is not threading.main_thread():
            raise RuntimeError("signals can be caught in the main thread only: train there")
        self.signal = None
        for number in SIGNALS:
            if signal.getsignal(number) is not signal.SIG_IGN:  # nohup ignores SIGHUP
                self._previous[number] = signal.signal(number, self._receive)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for number, handler in self._previous.items():
            # None: the handler was not installed from Python and cannot be restored.
            signal.signal(number, signal.SIG_DFL if handler is None else handler)
        self._previous.clear()

    def _receive(self, number: int, frame: FrameType | None) -> None:
        # Nothing is printed: the signal may have interrupted a write to stderr.
        if self.requested:
            raise KeyboardInterrupt
        self.signal = signal.Signals(number)

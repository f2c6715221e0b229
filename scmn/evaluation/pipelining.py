"""Reading ahead and writing behind in threads, while the device computes."""

from __future__ import annotations

import contextlib
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import ParamSpec, TypeVar

AHEAD = 4
"""Frames that are decoded in advance."""
BEHIND = 8
"""Files that may wait to be written."""

Item = TypeVar("Item")
Arguments = ParamSpec("Arguments")
_END = object()


def read_ahead(items: Iterable[Item], depth: int = AHEAD) -> Iterator[Item]:
    """Yield the items in order while a thread fetches up to ``depth`` further ones.

    An exception from an item is raised when that item is due.
    """
    iterator = iter(items)
    pool = ThreadPoolExecutor(max_workers=1, thread_name_prefix="read-ahead")
    try:
        taken = deque(pool.submit(next, iterator, _END) for _ in range(depth))
        while (item := taken.popleft().result()) is not _END:
            taken.append(pool.submit(next, iterator, _END))
            yield item  # type: ignore[misc]
    finally:
        pool.shutdown(cancel_futures=True)


class WriteBehind:
    """Calls functions in order, in a thread; see :func:`write_behind`."""

    def __init__(self, pool: ThreadPoolExecutor, depth: int) -> None:
        self._pool = pool
        self._depth = depth
        self._waiting: deque[Future[object]] = deque()

    def submit(
        self,
        function: Callable[Arguments, object],
        *arguments: Arguments.args,
        **named: Arguments.kwargs,
    ) -> None:
        """Queue a call; wait if too many are queued already."""
        while self._waiting and (self._waiting[0].done() or len(self._waiting) >= self._depth):
            self._waiting.popleft().result()
        self._waiting.append(self._pool.submit(function, *arguments, **named))

    def flush(self) -> None:
        """Wait until everything is written."""
        while self._waiting:
            self._waiting.popleft().result()


@contextlib.contextmanager
def write_behind(depth: int = BEHIND) -> Iterator[WriteBehind]:
    """Yield a queue of calls that a thread makes, at most ``depth`` of them waiting.

    An exception from a call is raised by a later :meth:`~WriteBehind.submit`, by
    :meth:`~WriteBehind.flush`, or at the end of the block. If the block itself raises, queued calls
    are still made.
    """
    with ThreadPoolExecutor(max_workers=1, thread_name_prefix="write-behind") as pool:
        files = WriteBehind(pool, depth)
        yield files
        files.flush()

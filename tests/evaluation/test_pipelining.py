"""Reading ahead and writing behind: order, bounds, and where errors come out."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from scmn import InputError
from scmn.data.masks import read_label_map, write_label_map
from scmn.evaluation.pipelining import read_ahead, write_behind


def test_read_ahead_keeps_the_order() -> None:
    assert list(read_ahead(range(50), depth=3)) == list(range(50))
    assert list(read_ahead([])) == []


def test_read_ahead_fetches_at_most_depth_items() -> None:
    taken = []

    def items() -> Iterator[int]:
        for number in range(20):
            taken.append(number)
            yield number

    for number in read_ahead(items(), depth=3):
        assert len(taken) <= number + 4
    assert len(taken) == 20


def test_read_ahead_raises_when_the_item_is_due() -> None:
    def items() -> Iterator[int]:
        yield 0
        yield 1
        raise InputError("frame 00002.jpg is no image")

    numbers = read_ahead(items())
    assert [next(numbers), next(numbers)] == [0, 1]
    with pytest.raises(InputError, match=r"00002\.jpg"):
        next(numbers)


def test_read_ahead_stops_its_thread_when_closed() -> None:
    before = threading.active_count()
    frames = read_ahead(iter(range(10**9)), depth=2)
    assert next(frames) == 0
    frames.close()  # type: ignore[attr-defined]
    assert threading.active_count() == before


def test_write_behind_keeps_the_order(tmp_path: Path) -> None:
    written: list[int] = []
    with write_behind(depth=2) as files:
        for number in range(10):
            files.submit(write_label_map, tmp_path / f"{number}.png", np.full((4, 4), number, "u1"))
            files.submit(written.append, number)
    assert written == list(range(10))
    assert read_label_map(tmp_path / "9.png").max() == 9


def test_write_behind_queues_at_most_depth_calls() -> None:
    gate, started, calls = threading.Event(), threading.Event(), 12

    def produce() -> None:
        with write_behind(depth=3) as files:
            for _ in range(calls):
                files.submit(gate.wait)
                submitted.append(1)
                started.set()

    submitted: list[int] = []
    thread = threading.Thread(target=produce)
    thread.start()
    assert started.wait(10)
    thread.join(0.3)
    assert thread.is_alive()
    assert len(submitted) <= 3
    gate.set()
    thread.join(10)
    assert len(submitted) == calls


def test_write_behind_raises_for_a_file_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "masks").write_text("a file where a folder should be")
    path = tmp_path / "masks" / "00000.png"
    with pytest.raises(InputError, match=r"masks"), write_behind() as files:
        files.submit(write_label_map, path, np.zeros((4, 4), np.uint8))


def test_write_behind_finishes_when_the_block_fails(tmp_path: Path) -> None:
    path = tmp_path / "00000.png"
    with contextlib.suppress(ZeroDivisionError), write_behind() as files:
        files.submit(write_label_map, path, np.zeros((4, 4), np.uint8))
        raise ZeroDivisionError
    assert path.is_file()

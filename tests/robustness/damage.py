"""Damages that any file can have."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import numpy as np


def absent(path: Path) -> None:
    path.unlink()


def empty(path: Path) -> None:
    path.write_bytes(b"")


def cut_short(path: Path) -> None:
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])


def flipped_bit(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 0x10
    path.write_bytes(content)


def random_bytes(path: Path) -> None:
    path.write_bytes(np.random.default_rng(0).bytes(1000))


def text(path: Path) -> None:
    path.write_text("This is not what you are looking for.\n" * 20)


def folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


def pipe(path: Path) -> None:
    """A FIFO that nobody writes to: whoever opens it waits for ever."""
    path.unlink()
    os.mkfifo(path)


def endless_device(path: Path) -> None:
    path.unlink()
    path.symlink_to("/dev/zero")


def link_to_itself(path: Path) -> None:
    """It can be listed but not opened, not even by root."""
    path.unlink()
    path.symlink_to(path)


def dangling_link(path: Path) -> None:
    path.unlink()
    path.symlink_to("nowhere")


DAMAGES: dict[str, Callable[[Path], None]] = {
    function.__name__.replace("_", " "): function
    for function in (
        absent,
        empty,
        cut_short,
        flipped_bit,
        random_bytes,
        text,
        folder,
        pipe,
        endless_device,
        link_to_itself,
        dangling_link,
    )
}

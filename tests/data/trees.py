"""Small trees of data on disk for the tests of layouts."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from scmn.data.masks import write_label_map


def add_frames(folder: Path, names: Sequence[str], size: tuple[int, int] = (6, 4)) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for value, name in enumerate(names):
        Image.new("RGB", size, (value, 0, 0)).save(folder / f"{name}.png")


def add_mask(path: Path, *ids: int, size: tuple[int, int] = (6, 4)) -> Path:
    labels = np.zeros(size[::-1], dtype=np.uint8)
    labels[0, : len(ids)] = ids
    write_label_map(path, labels)
    return path


def numbered(count: int, step: int = 1) -> list[str]:
    return [f"{index:05d}" for index in range(0, count * step, step)]


def save_pixels(
    folder: Path, pixels: np.ndarray, mode: str | None = None, name: str = "m.png"
) -> Path:
    image = Image.fromarray(pixels)
    (image if mode is None else image.convert(mode)).save(folder / name)
    return folder / name

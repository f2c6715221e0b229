"""Small video files for the tests that read and write them."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from scmn.data.masks import write_label_map
from scmn.data.video_writer import VideoWriter


def picture(index: int, height: int = 48, width: int = 64) -> np.ndarray:
    """Return a picture that encodes its index and survives compression."""
    image = np.full((height, width, 3), 40, dtype=np.uint8)
    image[: height // 2, : width // 2] = (200, 20 + 20 * index, 60)
    return image


def write_video(path: Path, count: int = 6, size: tuple[int, int] = (48, 64)) -> Path:
    with VideoWriter(path, frame_rate=12, quality=5) as writer:
        for index in range(count):
            writer.write(picture(index, *size))
    return path


def write_mask(path: Path, size: tuple[int, int] = (48, 64)) -> Path:
    labels = np.zeros(size, dtype=np.uint8)
    labels[:4, :4] = 3
    write_label_map(path, labels)
    return path

"""A small video and label maps for the tests of inference."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from scmn import Prediction, VideoSegmenter
from scmn.networks.base import MemoryNetwork

HEIGHT, WIDTH = 50, 70


def video(frames: int, height: int = HEIGHT, width: int = WIDTH) -> Iterator[np.ndarray]:
    rng = np.random.default_rng(0)
    base = rng.integers(0, 255, (height, width + frames, 3), dtype=np.uint8)
    for t in range(frames):
        yield np.ascontiguousarray(base[:, t : t + width])


def label_map(*boxes: tuple[int, int, int], shape: tuple[int, int] = (HEIGHT, WIDTH)) -> np.ndarray:
    """Return a label map with a square of 12 pixels for each (id, top, left)."""
    labels = np.zeros(shape, dtype=np.uint8)
    for object_id, top, left in boxes:
        labels[top : top + 12, left : left + 12] = object_id
    return labels


TWO = label_map((7, 5, 5), (200, 30, 40))


def predictions_around_a_pause(
    network: MemoryNetwork, memory: Mapping[str, Any], file: Path, *, frames: int, pause: int
) -> Iterator[tuple[Prediction, Prediction]]:
    """Yield those from frame ``pause`` on, of a segmenter that went on and one that resumed."""
    images = list(video(frames))
    going, resumed = (VideoSegmenter(network, memory=memory) for _ in range(2))
    for time in range(pause):
        going.step(images[time], TWO if time == 0 else None)
    going.save_memory(file)
    resumed.load_memory(file)
    for image in images[pause:]:
        yield going.step(image), resumed.step(image)

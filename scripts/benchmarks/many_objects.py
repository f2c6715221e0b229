"""Many objects in one video: time per frame, and peak memory of a separate process."""

from __future__ import annotations

import math
import statistics
import time

import numpy as np
from sizes import size_text

from benchmarks.networks import build, title
from benchmarks.peak_memory import PeakMemory
from scmn import VideoSegmenter
from scmn.data.synthetic import SyntheticSequence, SyntheticSettings
from scmn.inference.devices import resolve_device
from scmn.inference.settings import Precision


def measure(
    network: str,
    *,
    objects: int,
    frames: int,
    size: tuple[int, int],
    precision: Precision,
    device: str,
) -> dict[str, str]:
    """Segment ``frames`` frames with the network's own memory policy; return a row for a table."""
    memory = PeakMemory(resolve_device(device))
    sequence = SyntheticSequence(SyntheticSettings(size=size, frames=frames), seed=0, number=0)
    segmenter = VideoSegmenter(build(network), precision=precision, device=device)
    seconds = []
    for index in range(frames):
        image, labels = sequence.image(index), None if index else _grid(objects, size)
        begun = time.perf_counter()
        _ = segmenter.step(image, labels).labels  # waits for a GPU
        seconds.append(time.perf_counter() - begun)
    first = segmenter.object_ids[0]
    return {
        "network": title(network),
        "objects": str(len(segmenter.object_ids)),
        "size": size_text(size),
        "precision": precision,
        "frames": str(frames),
        "remembered at the end": str(len(segmenter.bank.remembered_times(first))),
        "ms a frame": f"{1000 * statistics.median(seconds[1:]):.0f}",
        "peak memory, MiB": f"{memory.peak:.0f}" if memory.is_known else "",
    }


def _grid(objects: int, size: tuple[int, int]) -> np.ndarray:
    """Return a label map (H, W) of ids 1..objects in rectangles, with background between them."""
    rows = math.isqrt(objects - 1) + 1
    columns = -(-objects // rows)
    height, width = size[0] // rows, size[1] // columns
    labels = np.zeros(size, np.uint8)
    for index in range(objects):
        top, left = (index // columns) * height, (index % columns) * width
        labels[top : top + max(1, height - 4), left : left + max(1, width - 4)] = index + 1
    return labels

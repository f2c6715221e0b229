"""A long video with a bounded memory: peak memory and speed at its start and end.

The last frames are timed in alternation with the first ones of a second segmenter, so that a busy
machine slows both.
"""

from __future__ import annotations

import itertools
import statistics
import time

import numpy as np
from make_loop import there_and_back
from sizes import size_text
from tqdm import tqdm

from benchmarks.networks import build, title
from benchmarks.peak_memory import PeakMemory
from scmn import VideoSegmenter
from scmn.data.synthetic import SyntheticSequence, SyntheticSettings
from scmn.errors import InputError
from scmn.inference.devices import resolve_device
from scmn.inference.settings import Precision

RENDERED = 100
"""Number of different frames; the video plays them forwards and backwards."""
MAX_FRAMES = 2


def measure(
    network: str,
    *,
    frames: int,
    timed: int,
    size: tuple[int, int],
    precision: Precision,
    device: str,
) -> dict[str, str]:
    """Segment a video of ``frames`` frames and return a row for a table.

    Args:
        network: ``NAME`` or ``NAME=WEIGHTS``.
        frames: of the video.
        timed: so many frames are timed at either end; at the start after as many untimed ones.
        size: height, width.
        precision: of the segmenter.
        device: of the segmenter.

    Raises:
        InputError: the video is too short for the timed frames.
    """
    if timed < 1 or frames < 4 * timed:
        raise InputError(f"--frames must be at least 4 times --timed, not {frames} and {timed}")
    early_end, late_begin = 2 * timed, frames - timed
    memory = PeakMemory(resolve_device(device))
    settings = SyntheticSettings(size=size, frames=RENDERED, objects=(1, 1))
    sequence = SyntheticSequence(settings, seed=0, number=0)
    images = [sequence.image(index) for index in range(RENDERED)]
    model = build(network)
    segmenter, fresh = (
        VideoSegmenter(model, memory={"max_frames": MAX_FRAMES}, precision=precision, device=device)
        for _ in range(2)
    )
    video = itertools.islice(there_and_back(images), frames)
    labels: np.ndarray | None = sequence.annotation(0)
    fresh_labels = labels
    peaks = {}
    early, late, beside = [], [], []
    for time_step, image in enumerate(tqdm(video, total=frames, unit="frame")):
        if time_step in (early_end, late_begin - timed) and memory.is_known:
            peaks[time_step] = f"{memory.peak:.0f}"
        taken = _timed(segmenter, image, labels)
        labels = None
        if timed <= time_step < early_end:
            early.append(taken)
        elif time_step >= late_begin:
            late.append(taken)
            beside.append(_timed(fresh, image, None))
        elif time_step >= late_begin - timed:
            _timed(fresh, image, fresh_labels)
            fresh_labels = None
    return {
        "network": title(network),
        "precision": precision,
        "size": size_text(size),
        "frames": str(frames),
        f"peak memory of {early_end} frames, MiB": peaks.get(early_end, ""),
        f"of all but {2 * timed}": peaks.get(late_begin - timed, ""),
        f"ms a frame, {timed}–{early_end}": f"{1000 * statistics.median(early):.0f}",
        f"last {timed}": f"{1000 * statistics.median(late):.0f}",
        f"frames {timed}–{early_end} of another video, in turn with the last": (
            f"{1000 * statistics.median(beside):.0f}"
        ),
    }


def _timed(segmenter: VideoSegmenter, image: np.ndarray, labels: np.ndarray | None) -> float:
    begun = time.perf_counter()
    _ = segmenter.step(image, labels).labels  # waits for a GPU
    return time.perf_counter() - begun

"""The package's inference against the published way of working, with the same weights.

Both engines segment the same frames in one process, in turn, so that a busy machine slows both. A
memory of the wanted length is given; timed is what every further frame costs, from the image to the
label map. Peak memory is measured apart, in a process for each engine.
"""

from __future__ import annotations

import itertools
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import torch

from benchmarks.networks import build
from benchmarks.peak_memory import PeakMemory, in_own_process
from benchmarks.reference_engine import ReferenceEngine
from scmn import VideoSegmenter
from scmn.data.masks import to_one_hot
from scmn.data.synthetic import SyntheticSequence, SyntheticSettings
from scmn.networks.base import MemoryNetwork

REFERENCE = "reference"
Step = Callable[[np.ndarray], np.ndarray]


@dataclass(frozen=True)
class Case:
    """What is segmented."""

    network: str
    objects: int
    remembered: int
    """Frames in memory, the previous one among them where the network remembers it."""
    size: tuple[int, int]
    """Height, width of the frames."""


def measure(
    case: Case, engines: Sequence[str], *, steps: int, device: str, with_memory: bool
) -> dict[str, Any]:
    """Time the engines ("reference" or a precision) and compare their masks with the first's."""
    frames, labels = _clip(case, case.remembered + steps + 1)
    network = build(case.network).to(device)
    running = {engine: _start(engine, network, case, frames, labels) for engine in engines}
    seconds: dict[str, list[float]] = {engine: [] for engine in engines}
    agreement: dict[str, list[float]] = {engine: [] for engine in engines}
    for place in range(steps + 1):
        maps: dict[str, np.ndarray] = {}
        for engine, step in running.items():
            begun = time.perf_counter()
            maps[engine] = step(frames[case.remembered - 1 + place])
            seconds[engine].append(time.perf_counter() - begun)
            agreement[engine].append(_agreement(maps[engine], maps[engines[0]], case.objects))
    return {
        **asdict(case),
        "device": device,
        "engines": {
            engine: {
                "milliseconds": [round(1000 * s, 1) for s in seconds[engine][1:]],
                "median": 1000 * statistics.median(seconds[engine][1:]),
                "agreement": statistics.mean(agreement[engine]),
                "peak_mib": (
                    in_own_process(_peak_of_frames, case, engine, device) if with_memory else None
                ),
            }
            for engine in engines
        },
    }


def _peak_of_frames(case: Case, engine: str, device: str) -> float | None:
    """Return what three frames take at most beyond what loading the network took, MiB."""
    memory = PeakMemory(torch.device(device))
    if not memory.is_known:
        return None
    frames, labels = _clip(case, case.remembered + 2)
    network = build(case.network).to(device)
    loaded = memory.now
    memory.restart()
    step = _start(engine, network, case, frames, labels)
    for frame in frames[case.remembered - 1 :][:3]:
        step(frame)
    return memory.peak - loaded


def _clip(case: Case, frames: int) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """Return frames of a synthetic sequence and label maps of 1..objects."""
    settings = SyntheticSettings(
        size=case.size, frames=frames, objects=(case.objects, case.objects), minimum_area=0.0005
    )
    sequence = SyntheticSequence(settings, seed=0, number=0)
    images, labels = zip(*(sequence.frame(index) for index in range(frames)), strict=True)
    return list(images), list(labels)


def _start(
    engine: str,
    network: MemoryNetwork,
    case: Case,
    frames: Sequence[np.ndarray],
    labels: Sequence[np.ndarray],
) -> Step:
    """Give an engine its memory and return what segments the next frame."""
    policy = dict(network.memory_defaults)
    keep_previous = bool(policy["keep_previous"])
    ids = range(1, case.objects + 1)
    given = list(zip(frames, labels, strict=True))[: case.remembered - 1]
    if not keep_previous:
        given.append((frames[case.remembered - 1], labels[case.remembered - 1]))
    if engine == REFERENCE:
        top_k = policy["top_k"]
        reference = ReferenceEngine(network, top_k=top_k, keep_previous=keep_previous)
        for image, of_image in given:
            reference.give(image, torch.from_numpy(to_one_hot(of_image, tuple(ids))).float())
        return reference.step
    segmenter = VideoSegmenter(
        network, memory={"every": None, "max_frames": None}, precision=engine
    )
    for image, of_image in given:
        segmenter.step(image, of_image, objects=ids)
    return lambda image: segmenter.step(image).labels


def _agreement(labels: np.ndarray, others: np.ndarray, objects: int) -> float:
    """Return the mean J of the objects between two label maps."""
    scores = []
    for object_id in range(1, objects + 1):
        one, other = labels == object_id, others == object_id
        union = np.count_nonzero(one | other)
        scores.append(np.count_nonzero(one & other) / union if union else 1.0)
    return statistics.mean(scores)


def cases(
    networks: Sequence[str],
    objects: Sequence[int],
    remembered: Sequence[int],
    sizes: Sequence[tuple[int, int]],
) -> list[Case]:
    """Return all combinations."""
    return [Case(*of) for of in itertools.product(networks, objects, remembered, sizes)]

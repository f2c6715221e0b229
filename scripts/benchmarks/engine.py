"""The package's inference against the published implementation, with the same weights.

Both engines segment the same frames in one process, alternating, so that a busy machine slows both.
The published implementation computes with torch's defaults, on a GPU with TF32 in convolutions.
After the memory is filled, each further frame is timed from the image to the label map. Peak memory
is measured separately, in one process per engine.
"""

from __future__ import annotations

import itertools
import statistics
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, cast

import numpy as np
import torch

from benchmarks.networks import build
from benchmarks.peak_memory import PeakMemory, in_own_process
from benchmarks.reference_engine import ReferenceEngine
from scmn import VideoSegmenter
from scmn.data.synthetic import SyntheticSequence, SyntheticSettings
from scmn.evaluation.metrics import region_similarity
from scmn.inference.settings import Precision
from scmn.networks.base import MemoryNetwork

REFERENCE = "reference"


@dataclass(frozen=True)
class Case:
    """One network, number of objects, memory and frame size."""

    network: str
    """``NAME`` or ``NAME=WEIGHTS``."""
    objects: int
    remembered: int
    """Frames in memory, including the previous one if the network remembers it."""
    size: tuple[int, int]
    """Height, width of the frames."""


def measure(
    case: Case, engines: Sequence[str], *, steps: int, device: str, with_memory: bool
) -> dict[str, Any]:
    """Time the engines ("reference" or a precision) and compare their masks with the first's."""
    frames, labels = _clip(case, case.remembered + steps + 1)
    network = build(case.network).to(device)
    running = {engine: _engine(engine, network) for engine in engines}
    for engine in running.values():
        _give_memory(engine, case, frames, labels)
    seconds: dict[str, list[float]] = {name: [] for name in engines}
    agreement: dict[str, list[float]] = {name: [] for name in engines}
    for place in range(steps + 1):
        maps: dict[str, np.ndarray] = {}
        for name, engine in running.items():
            begun = time.perf_counter()
            maps[name] = engine.step(frames[case.remembered - 1 + place])
            seconds[name].append(time.perf_counter() - begun)
            agreement[name].append(_agreement(maps[name], maps[engines[0]], case.objects))
    return {
        **asdict(case),
        "device": device,
        "engines": {
            name: {
                "milliseconds": [round(1000 * s, 1) for s in seconds[name][1:]],
                "agreement": statistics.mean(agreement[name]),
                "peak_mib": (
                    in_own_process(_peak_of_frames, case, name, device) if with_memory else None
                ),
            }
            for name in engines
        },
    }


def _peak_of_frames(case: Case, name: str, device: str) -> float | None:
    """Return the peak memory of remembering and segmenting beyond the loaded network, in MiB."""
    memory = PeakMemory(torch.device(device))
    if not memory.is_known:
        return None
    frames, labels = _clip(case, case.remembered + 2)
    network = build(case.network).to(device)
    engine = _engine(name, network)
    del network  # the package's engine has its own copy
    memory.restart()
    loaded = memory.now
    _give_memory(engine, case, frames, labels)
    for frame in frames[case.remembered - 1 :]:
        engine.step(frame)
    return memory.peak - loaded


def _clip(case: Case, frames: int) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """Return frames of a synthetic sequence and label maps of 1..objects."""
    settings = SyntheticSettings(
        size=case.size, frames=frames, objects=(case.objects, case.objects), minimum_area=0.0005
    )
    sequence = SyntheticSequence(settings, seed=0, number=0)
    images, labels = zip(*(sequence.frame(index) for index in range(frames)), strict=True)
    return list(images), list(labels)


class _Package:
    """The package's inference with the interface of the reference engine."""

    def __init__(self, network: MemoryNetwork, *, precision: Precision) -> None:
        self._segmenter = VideoSegmenter(
            network,
            # The reference has no kernel and takes no object for absent.
            memory={"every": None, "max_frames": None, "kernel": None, "absence": None},
            precision=precision,
        )
        self.keep_previous = self._segmenter.memory_settings.keep_previous

    def give(self, frame: np.ndarray, labels: np.ndarray, objects: Sequence[int]) -> None:
        self._segmenter.step(frame, labels, objects=objects)

    def step(self, frame: np.ndarray) -> np.ndarray:
        return self._segmenter.step(frame).labels


def _engine(name: str, network: MemoryNetwork) -> _Package | ReferenceEngine:
    """Make "reference" or the package's inference at a precision."""
    if name == REFERENCE:
        return ReferenceEngine(network)
    return _Package(network, precision=cast(Precision, name))


def _give_memory(
    engine: _Package | ReferenceEngine,
    case: Case,
    frames: Sequence[np.ndarray],
    labels: Sequence[np.ndarray],
) -> None:
    """Give an engine the frames to remember, except the previous one."""
    ids = range(1, case.objects + 1)
    for index in range(case.remembered - 1 if engine.keep_previous else case.remembered):
        engine.give(frames[index], labels[index], ids)


def _agreement(labels: np.ndarray, others: np.ndarray, objects: int) -> float:
    """Return the mean J of the objects between two label maps."""
    return statistics.mean(
        region_similarity(labels == object_id, others == object_id)
        for object_id in range(1, objects + 1)
    )


def cases(
    networks: Sequence[str],
    objects: Sequence[int],
    remembered: Sequence[int],
    sizes: Sequence[tuple[int, int]],
) -> list[Case]:
    """Return all combinations of the arguments."""
    return [Case(*of) for of in itertools.product(networks, objects, remembered, sizes)]

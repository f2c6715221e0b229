"""The package's inference against the published way of working, with the same weights.

Both engines segment the same frames in one process, in turn, so that a busy machine slows both. A
memory of the wanted length is given; timed is what every further frame costs, from the image to the
label map. Peak memory is measured apart, in a process for each engine.
"""

from __future__ import annotations

import itertools
import multiprocessing
import statistics
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from benchmarks.reference_engine import ReferenceEngine
from scmn import VideoSegmenter, build_model
from scmn.data.masks import to_one_hot
from scmn.data.synthetic import SyntheticSequence, SyntheticSettings
from scmn.networks.base import MemoryNetwork

REFERENCE = "reference"
SMALL = "scmn_small"
GAINS = {"decoder.predict": 3.0, "_stem": 1000.0, ".key": 0.05, "key_projection": 0.05}
"""Variances of random weights by the end of the module's path: such that masks are far from flat,
that objects differ, and that a memory read is no lottery between equal positions."""
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


def measure(case: Case, engines: Sequence[str], *, steps: int, with_memory: bool) -> dict[str, Any]:
    """Time the engines ("reference" or a precision) and compare their masks with the first's."""
    frames, labels = _clip(case, case.remembered + steps + 1)
    network = _network(case.network)
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
        "engines": {
            engine: {
                "milliseconds": [round(1000 * s, 1) for s in seconds[engine][1:]],
                "median": 1000 * statistics.median(seconds[engine][1:]),
                "agreement": statistics.mean(agreement[engine]),
                "peak_mib": peak_memory(case, engine) if with_memory else None,
            }
            for engine in engines
        },
    }


def peak_memory(case: Case, engine: str) -> float | None:
    """Return what a process of its own takes at most beyond what loading the network took, MiB.

    None where the system does not tell (anything but Linux).
    """
    if not Path("/proc/self/clear_refs").exists():
        return None
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(max_workers=1, mp_context=context) as pool:
        return pool.submit(_peak_of_two_frames, case, engine).result()


def _peak_of_two_frames(case: Case, engine: str) -> float:
    frames, labels = _clip(case, case.remembered + 2)
    network = _network(case.network)
    loaded = _resident_mib("VmRSS")
    Path("/proc/self/clear_refs").write_text("5", encoding="ascii")  # the peak starts anew
    step = _start(engine, network, case, frames, labels)
    for frame in frames[case.remembered - 1 :][:3]:
        step(frame)
    return _resident_mib("VmHWM") - loaded


def _resident_mib(entry: str) -> float:
    """Return this process's present (VmRSS) or highest (VmHWM) resident memory."""
    for line in Path("/proc/self/status").read_text(encoding="ascii").splitlines():
        if line.startswith(entry):
            return int(line.split()[1]) / 1024
    raise OSError(f"/proc/self/status has no {entry}")


def _network(name: str) -> MemoryNetwork:
    """Build a network: trained where weights are at hand, else with weights drawn at random."""
    if name == SMALL:
        return build_model(name, weights="default")
    network = build_model(name)
    generator = torch.Generator().manual_seed(0)
    for path, module in network.named_modules():
        if isinstance(module, nn.Conv2d | nn.Linear):
            gain = next((gain for end, gain in GAINS.items() if path.endswith(end)), 1.5)
            fan_in = module.weight[0].numel()
            module.weight.data.normal_(0, (gain / fan_in) ** 0.5, generator=generator)
        elif isinstance(module, nn.BatchNorm2d):
            module.weight.data.fill_(0.5)
    assert network.decoder.predict.bias is not None
    network.decoder.predict.bias.data.zero_()
    return network


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

"""A training step with different settings, alternating, so that a busy machine slows all alike.

Clips are drawn in the training process, so their time is part of the step; a separate row gives it.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import torch
from pages import median_and_range, times_faster
from tqdm import tqdm

from benchmarks.networks import build_for_training
from scmn.config import load_config
from scmn.data.clips.loading import ClipLoader
from scmn.inference.devices import resolve_device
from scmn.processes import Processes
from scmn.training.stage import Stage

CHANGES = (
    "training.precision=fp32 training.channels_last=false",
    "training.precision=fp32 training.channels_last=true",
    "training.precision=bf16 training.channels_last=false",
    "training.precision=bf16 training.channels_last=true",
)


def measure(
    config_path: Path, overrides: Sequence[str], *, stage: str, changes: Sequence[str], steps: int
) -> list[dict[str, str]]:
    """Time steps of a stage with further overrides, and return rows for a table.

    Args:
        config_path: the run's configuration.
        overrides: ``key=value`` for all.
        stage: name of the stage.
        changes: overrides of each line, separated by spaces; the first is compared with.
        steps: how many of each are timed, after one that is not.

    Raises:
        InputError: a wrong configuration, or no such stage.
    """
    stages = {
        change: _stage(config_path, [*overrides, *change.split()], stage) for change in changes
    }
    some = next(iter(stages.values()))
    clips = iter(ClipLoader(some.mixture, batch_size=some.settings.batch_size, workers=0))
    work: dict[str, Callable[[], object]] = {change: of.step for change, of in stages.items()}
    work["drawing the clips alone"] = clips.__next__
    seconds: dict[str, list[float]] = {what: [] for what in work}
    for _ in tqdm(range(steps + 1), unit="round"):
        for what, call in work.items():
            begun = time.perf_counter()
            call()
            if torch.cuda.is_available():
                torch.cuda.synchronize()  # a step does not wait for its GPU
            seconds[what].append(time.perf_counter() - begun)
    medians = {what: statistics.median(taken[1:]) for what, taken in seconds.items()}
    first = medians[changes[0]]
    return [
        {
            "settings": what.replace("training.", ""),
            "ms a step": median_and_range([1000 * each for each in taken[1:]]),
            "clips/s": f"{stages.get(what, some).settings.batch_size / medians[what]:.1f}",
            "faster": times_faster(first, medians[what]) if what in changes[1:] else "",
        }
        for what, taken in seconds.items()
    ]


def _stage(config_path: Path, overrides: list[str], name: str) -> Stage:
    config = load_config(config_path, [*overrides, "training.workers=0"])
    training = config.training
    settings = training.stage(name)
    device = resolve_device(training.device)
    network = build_for_training(config, device)
    return Stage(name, network, settings, training, Processes(device))

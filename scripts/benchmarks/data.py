"""The loader alone against the training step: whether clips are drawn fast enough.

It also reports the arithmetic per clip, and the peak memory on a GPU.
"""

from __future__ import annotations

import itertools
import time
from functools import partial
from pathlib import Path

import torch
from torch import nn
from torch.autograd.graph import saved_tensors_hooks
from torch.utils.flop_counter import FlopCounterMode

from benchmarks.networks import build_for_training
from scmn.config import load_config
from scmn.data.clips.loading import ClipLoader
from scmn.evaluation.sequence_run import device_name
from scmn.inference.devices import resolve_device
from scmn.processes import Processes
from scmn.training.stage import Stage

WARM_UP = 2


def run(*, config_path: Path, overrides: list[str], batches: int) -> None:
    """Print samples per second of loader and step for every stage of a configuration."""
    config = load_config(config_path, overrides)
    training = config.training
    device = resolve_device(training.device)
    network = build_for_training(config, device)
    print(
        f"{config_path}, device {device_name(device)}, {training.precision}"
        f"{', channels-last' if training.channels_last else ''}"
        f"{', compiled' if training.compile else ''}, {training.workers} workers"
    )
    for name, settings in training.stages_in_order.items():
        if device.type == "cuda":
            torch.cuda.reset_peak_memory_stats(device)
        stage = Stage(name, network, settings, training, Processes(device))
        loader = ClipLoader(stage.mixture, batch_size=settings.batch_size, workers=training.workers)
        # Measured first, because the stage's own workers start drawing with its first step.
        drawn = _rate(iter(loader).__next__, batches, settings.batch_size)
        saved = _SavedForBackward()
        with FlopCounterMode(display=False) as counter, saved:
            stage.step()
        work = counter.get_total_flops() / settings.batch_size
        step = _rate(partial(_wait_for_step, stage), batches, settings.batch_size)
        memory = ""
        if device.type == "cuda":
            memory = f"   peak {torch.cuda.max_memory_allocated(device) / 2**30:.1f} GiB"
        kept = saved.bytes / settings.batch_size / 2**20
        print(
            f"{name:10} loader {drawn:7.1f} samples/s   "
            f"training step (with loading) {step:7.2f} samples/s   ratio {drawn / step:.1f}   "
            f"{work / 1e9:.1f} GFLOP and {kept:.0f} MiB saved for backward per sample{memory}"
        )


class _SavedForBackward(saved_tensors_hooks):
    """Adds up what the forward pass keeps for the backward pass, most of a step's memory."""

    def __init__(self) -> None:
        self._storages: dict[int, int] = {}
        super().__init__(self._pack, lambda tensor: tensor)

    @property
    def bytes(self) -> int:
        return sum(self._storages.values())

    def _pack(self, tensor: torch.Tensor) -> torch.Tensor:
        if not isinstance(tensor, nn.Parameter):
            storage = tensor.untyped_storage()
            self._storages[storage.data_ptr()] = storage.nbytes()
        return tensor


def _wait_for_step(stage: Stage) -> None:
    stage.read(stage.step())


def _rate(work: object, batches: int, batch_size: int) -> float:
    assert callable(work)
    for _ in itertools.repeat(None, WARM_UP):
        work()
    begun = time.perf_counter()
    for _ in itertools.repeat(None, batches):
        work()
    return batches * batch_size / (time.perf_counter() - begun)

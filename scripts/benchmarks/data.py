"""The loader alone against the training step: whether drawing clips keeps ahead."""

from __future__ import annotations

import itertools
import logging
import time
from pathlib import Path

from scmn.build import build_model
from scmn.config import load_config
from scmn.data.clips import ClipLoader
from scmn.inference.devices import resolve_device
from scmn.training.distributed import Processes
from scmn.training.normalization import set_normalization
from scmn.training.stage import Stage

logger = logging.getLogger(__name__)

WARM_UP = 2


def run(*, config_path: Path, overrides: list[str], batches: int) -> None:
    """Print samples per second of loader and step for every stage of a configuration."""
    config = load_config(config_path, overrides)
    training = config.training
    device = resolve_device(training.device)
    network = build_model(
        config.model.name, backbone=config.model.backbone, **config.model.switches
    )
    set_normalization(network, training.norm, train_affine=training.train_affine)
    network = network.to(device).train()
    logger.info("%s, device %s, %d workers", config_path, device, training.workers)
    for name, settings in training.stages.items():
        stage = Stage(name, network, settings, training, Processes(device))
        loader = ClipLoader(stage.mixture, batch_size=settings.batch_size, workers=training.workers)
        drawn = _rate(iter(loader).__next__, batches, settings.batch_size)
        step = _rate(stage.step, batches, settings.batch_size)
        logger.info(
            "%-10s loader %7.1f samples/s   training step (with loading) %7.1f samples/s   "
            "ratio %.1f",
            name,
            drawn,
            step,
            drawn / step,
        )


def _rate(work: object, batches: int, batch_size: int) -> float:
    assert callable(work)
    for _ in itertools.repeat(None, WARM_UP):
        work()
    begun = time.perf_counter()
    for _ in itertools.repeat(None, batches):
        work()
    return batches * batch_size / (time.perf_counter() - begun)

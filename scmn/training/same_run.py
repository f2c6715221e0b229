"""Whether a checkpoint belongs to the configuration that wants to go on from it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from omegaconf import OmegaConf

from scmn.config import Config
from scmn.errors import InputError
from scmn.training.checkpoint import Checkpoint

FREE_TO_CHANGE = (
    "device",
    "workers",
    "validation",
    "log_every",
    "pictures_every",
    "checkpoint_every",
    "keep_checkpoints",
)
"""Training settings that may differ when a run is resumed: they do not change what it computes."""


def check_same_run(checkpoint: Checkpoint, config: Config) -> None:
    """Raise InputError, naming the first difference, if the checkpoint is of another run."""
    saved = OmegaConf.to_container(OmegaConf.create(checkpoint.config))
    assert isinstance(saved, dict)
    ours = asdict(config)
    for name in FREE_TO_CHANGE:
        saved["training"].pop(name, None)
        ours["training"].pop(name, None)
    for part in ("model", "training"):
        difference = _first_difference(saved[part], ours[part], part)
        if difference is not None:
            raise InputError(
                f"{checkpoint.path} is of another configuration ({difference}); use the same, "
                "or start a run in another --output with --weights of that checkpoint"
            )


def _first_difference(saved: Any, ours: Any, where: str) -> str | None:
    """Return where two configurations first differ, as ``key: old -> new``."""
    if isinstance(saved, Mapping) and isinstance(ours, Mapping):
        for key in {**saved, **ours}:
            found = _first_difference(saved.get(key), ours.get(key), f"{where}.{key}")
            if found is not None:
                return found
        return None
    return None if saved == ours else f"{where}: {saved} -> {ours}"

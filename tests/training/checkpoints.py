"""Small checkpoints for the tests that write and read them."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import torch

from scmn.networks.base import ModelDescription
from scmn.training.checkpoint import Checkpoint, random_state
from scmn.training.checkpoint_folder import CheckpointFolder

CPU = torch.device("cpu")


def checkpoint(iteration: int = 1, **changes: Any) -> Checkpoint:
    """A checkpoint of some 100 KB whose tensors tell its iteration."""
    made = Checkpoint(
        model={"weight": torch.full((25_000,), float(iteration))},
        description=ModelDescription("stm", {}),
        optimizer={"state": {}, "param_groups": []},
        iteration=iteration,
        stage="main",
        stage_iteration=iteration,
        config="model: {name: stm}\n",
        random_states=[random_state(CPU)],
    )
    return replace(made, **changes)


def names(folder: CheckpointFolder) -> list[str]:
    return sorted(path.name for path in folder.folder.iterdir())

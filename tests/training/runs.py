"""Complete runs on tiny data, for the tests of training."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest
import torch
import yaml
from torch import Tensor

from scmn import load_config
from scmn.config import Config
from scmn.training.checkpoint import read_checkpoint
from scmn.training.stage import Stage
from scmn.training.trainer import train
from tests.conftest import small_settings
from tests.programs import run_ranks


def training_config(
    davis: Path,
    name: str = "scmn",
    *,
    stage: Mapping[str, object] | None = None,
    **training: object,
) -> dict[str, object]:
    """Two short stages of a small network, on the CPU and in one process.

    ``stage`` and ``training`` replace settings of both stages and of the training.
    """
    data = {"kind": "davis2017-train", "root": str(davis)}
    stage = {
        "iterations": 4,
        "batch_size": 2,
        "clip": {"frames": 3, "size": [48, 64], "max_objects": 2},
        "optimizer": {"name": "adamw", "learning_rate": 1e-3},
        **(stage or {}),
    }
    switches = small_settings(name)
    return {
        "model": {"name": name, "backbone": switches.pop("backbone"), "switches": switches},
        "training": {
            "norm": "batch",
            "device": "cpu",
            "workers": 0,
            **training,
            "stages": {
                "pretrain": {**stage, "data": {"stills": {**data, "stills": True}}},
                "main": {**stage, "data": {"videos": data}},
            },
        },
    }


def config_file(folder: Path, davis: Path, name: str = "scmn") -> Path:
    """Write a configuration of two short stages and return its path."""
    path = folder / "tiny.yaml"
    often = {"checkpoint_every": 3, "log_every": 2, "pictures_every": 3}
    path.write_text(yaml.safe_dump(training_config(davis, name, **often), sort_keys=False))
    return path


def config(folder: Path, davis: Path, *overrides: str, name: str = "scmn") -> Config:
    return load_config(config_file(folder, davis, name), overrides)


def weights(run: Path) -> dict[str, Tensor]:
    return dict(read_checkpoint(run / "last.pt").model)


def equal(first: dict[str, Tensor], second: dict[str, Tensor]) -> bool:
    return first.keys() == second.keys() and all(torch.equal(first[k], second[k]) for k in first)


class Killed(BaseException):
    """Simulates kill -9: nothing is written on the way out."""


def killed_after(steps: int, settings: Config, run: Path) -> None:
    """Train in ``run``, and die before the step after ``steps``."""
    done = 0
    step = Stage.step

    def dying(self: Stage) -> object:
        nonlocal done
        if done == steps:
            raise Killed
        done += 1
        return step(self)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Stage, "step", dying)
        with pytest.raises(Killed):
            train(settings, run)


SAME_FOR_ANY_SPLIT = [
    "training.stages.main.batch_size=4",
    # Batch statistics would differ between the parts of the batch.
    "training.norm=frozen",
    # Some gradients are zero up to rounding (a bias of memory keys cancels in the softmax), which
    # Adam would amplify to full steps.
    "training.stages.main.optimizer.epsilon=1.0e-3",
    # With seed 0 an activation of the second step is zero up to rounding, and ReLU passes its
    # gradient in one run only. (In float64 the runs of seed 0 agree to 1e-15.)
    "training.seed=4",
]


def check_two_processes_equal_one(
    davis: Path, tmp_path: Path, *, device: str, atol: float, rtol: float
) -> None:
    """Train with one process and with two that share its batches, and compare the weights."""
    path = config_file(tmp_path, davis)
    overrides = [
        *SAME_FOR_ANY_SPLIT,
        "training.stages.main.iterations=5",
        f"training.device={device}",
    ]
    train(load_config(path, overrides), tmp_path / "one", stage="main")
    arguments = ["--config", path, "--stage", "main", "--output", tmp_path / "two", *overrides]
    for ended in run_ranks(tmp_path, "train.py", *arguments):
        assert ended.returncode == 0, ended.stderr
    one, two = weights(tmp_path / "one"), weights(tmp_path / "two")
    for name, tensor in one.items():
        torch.testing.assert_close(two[name], tensor, atol=atol, rtol=rtol, msg=name)

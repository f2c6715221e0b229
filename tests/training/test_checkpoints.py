"""Checkpoints: content, which are kept, and exact resuming."""

from __future__ import annotations

import os
import random
from dataclasses import fields
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn
from torch.optim import Optimizer

from scmn import InputError, build_model
from scmn.networks.base import MemoryNetwork
from scmn.training.averaging import WeightAverage
from scmn.training.checkpoint import (
    Checkpoint,
    random_state,
    read_checkpoint,
    restore_random_state,
    seed_everything,
)
from scmn.training.checkpoint_folder import CheckpointFolder
from scmn.training.optimizer import build_optimizer, restore_optimizer
from scmn.training.settings import AveragingSettings, OptimizerSettings
from scmn.weights.files import read_weights
from tests.conftest import build_small
from tests.training.checkpoints import CPU, checkpoint, names


def test_checkpoint_round_trips(folder: CheckpointFolder) -> None:
    saved = checkpoint(
        7,
        best=0.5,
        scaler={"scale": 2.0**16, "_growth_tracker": 3},
        average={"weights": {"weight": torch.ones(2)}, "updates": 9},
    )
    loaded = read_checkpoint(folder.save(saved))
    assert torch.equal(loaded.model["weight"], saved.model["weight"])
    assert loaded.average is not None
    assert torch.equal(loaded.average["weights"]["weight"], torch.ones(2))
    plain = {f.name for f in fields(Checkpoint)} - {"model", "average", "random_states", "path"}
    assert {n: getattr(loaded, n) for n in plain} == {n: getattr(saved, n) for n in plain}
    content = torch.load(folder.last, weights_only=True)
    assert content["format"] == "scmn-checkpoint"
    assert set(content) >= {"model", "optimizer", "ema", "rng", "config"}


def test_checkpoint_folder_keeps_the_newest_and_the_best(folder: CheckpointFolder) -> None:
    assert folder.load() is None
    for iteration in (10, 20, 30, 40):
        folder.save(checkpoint(iteration), best=iteration == 20)
    assert names(folder) == ["best.pt", "iteration-00000030.pt", "iteration-00000040.pt", "last.pt"]
    assert read_checkpoint(folder.best).iteration == 20
    last = folder.load()
    assert last is not None
    assert last.iteration == 40
    folder.save(checkpoint(35))  # resumed from an earlier point
    assert names(folder)[1:3] == ["iteration-00000035.pt", "iteration-00000040.pt"]
    last = folder.load()
    assert last is not None
    assert last.iteration == 35
    folder.save(checkpoint(37))
    assert names(folder)[1:3] == ["iteration-00000035.pt", "iteration-00000037.pt"]
    assert folder.newest_good() == folder.folder / "iteration-00000037.pt"


def test_checkpoint_folder_with_keep_0_writes_no_numbered_checkpoints(tmp_path: Path) -> None:
    folder = CheckpointFolder(tmp_path, keep=0)
    folder.save(checkpoint())
    assert names(folder) == ["last.pt"]


def test_checkpoint_folder_copies_without_hard_links(
    folder: CheckpointFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_links(*_: object) -> None:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(os, "link", no_links)
    folder.save(checkpoint(3), best=True)
    assert names(folder) == ["best.pt", "iteration-00000003.pt", "last.pt"]
    assert {read_checkpoint(path).iteration for path in folder.folder.iterdir()} == {3}


def draws() -> tuple[float, float, float, float]:
    numpy = np.random.standard_normal()  # noqa: NPY002
    return random.random(), random.gauss(0, 1), float(numpy), torch.rand(()).item()


def noisy_step(network: nn.Module, optimizer: Optimizer) -> None:
    """A step whose result depends on all random generators."""
    optimizer.zero_grad()
    values = torch.tensor(draws()) + torch.randn(4)
    network(values).square().sum().backward()
    optimizer.step()


def test_checkpoint_resumes_bit_for_bit(folder: CheckpointFolder) -> None:
    settings = OptimizerSettings("adamw", learning_rate=0.1, weight_decay=0.1)

    def start(seed: int) -> tuple[nn.Module, Optimizer, WeightAverage]:
        seed_everything(seed)
        network = nn.Sequential(nn.Linear(4, 8), nn.Dropout(0.5), nn.Linear(8, 2))
        average = WeightAverage(network, AveragingSettings())
        return network, build_optimizer(network, settings), average

    network, optimizer, average = start(seed=1)
    for step in range(6):
        if step == 3:
            folder.save(
                checkpoint(
                    model=network.state_dict(),
                    optimizer=optimizer.state_dict(),
                    average=average.state_dict(),
                    random_states=[random_state(CPU)],
                )
            )
        noisy_step(network, optimizer)
        average.update(network)
    expected = draws()

    again, optimizer, other_average = start(seed=2)
    saved = folder.load()
    assert saved is not None
    assert saved.average is not None
    again.load_state_dict(saved.model)
    restore_optimizer(optimizer, saved.optimizer)
    other_average.load_state_dict(saved.average)
    restore_random_state(saved.random_states[0], CPU)
    for _ in range(3):
        noisy_step(again, optimizer)
        other_average.update(again)
    assert draws() == expected
    for name, value in network.state_dict().items():
        assert torch.equal(again.state_dict()[name], value), name
        assert torch.equal(other_average.weights[name], average.weights[name]), name


@pytest.fixture(scope="module")
def network() -> MemoryNetwork:
    return build_small("stcn")


@pytest.fixture(scope="module")
def network_checkpoint(network: MemoryNetwork) -> Checkpoint:
    assert network.description is not None
    return checkpoint(model=network.state_dict(), description=network.description)


def test_checkpoint_is_a_weights_file(
    network: MemoryNetwork, network_checkpoint: Checkpoint, folder: CheckpointFolder
) -> None:
    last = folder.save(network_checkpoint)
    torch.manual_seed(5)
    again = build_model("stcn", weights=last)
    assert again.description == network.description
    for name, value in network.state_dict().items():
        assert torch.equal(again.state_dict()[name], value), name
    assert read_weights(last).description == network.description
    other = build_small("stm")
    with pytest.raises(InputError, match="does not fit STM: it lacks"):
        read_checkpoint(last).restore_network(other)

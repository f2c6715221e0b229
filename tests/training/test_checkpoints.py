"""Checkpoints: exact continuation, atomic writing, damage, and failure to write."""

from __future__ import annotations

import os
import random
import resource
import signal
import subprocess
import sys
from collections.abc import Callable
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn
from torch.optim import Optimizer

from scmn import InputError, build_model
from scmn.networks.base import MemoryNetwork, ModelDescription
from scmn.training.averaging import WeightAverage
from scmn.training.checkpoint import Checkpoint, read_checkpoint
from scmn.training.checkpoint_folder import CheckpointFolder
from scmn.training.optimizer import build_optimizer, restore_optimizer
from scmn.training.random_state import random_state, restore_random_state, seed_everything
from scmn.training.settings import AveragingSettings, OptimizerSettings
from scmn.weights import read_weights
from tests.conftest import REPOSITORY, build_small

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
        sample_number=4 * iteration,
        config="model: {name: stm}\n",
        random_states=[random_state(CPU)],
    )
    return replace(made, **changes)


def names(folder: CheckpointFolder) -> list[str]:
    return sorted(path.name for path in folder.folder.iterdir())


@pytest.fixture
def folder(tmp_path: Path) -> CheckpointFolder:
    return CheckpointFolder(tmp_path / "run", keep=2)


def test_everything_comes_back(folder: CheckpointFolder) -> None:
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
    assert set(content) >= {"model", "optimizer", "ema", "rng", "config", "sample_number"}


def test_the_newest_and_the_best_are_kept(folder: CheckpointFolder) -> None:
    assert folder.load_last() is None
    for iteration in (10, 20, 30, 40):
        folder.save(checkpoint(iteration), best=iteration == 20)
    assert names(folder) == ["best.pt", "iteration-00000030.pt", "iteration-00000040.pt", "last.pt"]
    assert read_checkpoint(folder.best).iteration == 20
    last = folder.load_last()
    assert last is not None
    assert last.iteration == 40
    folder.save(checkpoint(35))  # taken up again at an earlier point
    assert names(folder)[1:3] == ["iteration-00000035.pt", "iteration-00000040.pt"]
    last = folder.load_last()
    assert last is not None
    assert last.iteration == 35


def test_no_numbered_checkpoints_if_none_are_wanted(tmp_path: Path) -> None:
    folder = CheckpointFolder(tmp_path, keep=0)
    folder.save(checkpoint())
    assert names(folder) == ["last.pt"]
    with pytest.raises(InputError, match="at least 0"):
        CheckpointFolder(tmp_path, keep=-1)


def test_names_are_copies_where_there_are_no_hard_links(
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


def test_a_run_continues_bit_for_bit(folder: CheckpointFolder) -> None:
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
    saved = folder.load_last()
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


def test_a_checkpoint_is_a_file_of_weights(
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


def flip_a_bit(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def cut_short(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-1000])


def empty(path: Path) -> None:
    path.write_bytes(b"")


@pytest.mark.parametrize("damage", [flip_a_bit, cut_short, empty])
def test_damage_is_reported_with_the_newest_good_checkpoint(
    folder: CheckpointFolder, damage: Callable[[Path], None]
) -> None:
    for iteration in (1, 2):
        folder.save(checkpoint(iteration))
    damage(folder.last)  # iteration-00000002.pt is the same file
    good = folder.folder / "iteration-00000001.pt"
    with pytest.raises(InputError, match="is damaged") as caught:
        folder.load_last()
    assert f"the newest good checkpoint is {good}" in str(caught.value)
    assert "\n" not in str(caught.value)
    good.unlink()
    with pytest.raises(InputError, match="there is no good checkpoint"):
        folder.load_last()
    folder.last.unlink()
    with pytest.raises(InputError, match=r"last\.pt is missing"):
        folder.load_last()


def test_other_files_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="not found"):
        read_checkpoint(tmp_path / "none.pt")
    weights = tmp_path / "weights.pt"
    torch.save({"model": {"a": torch.ones(1)}}, weights)
    with pytest.raises(InputError, match="no training checkpoint"):
        read_checkpoint(weights)
    torch.save({"format": "scmn-checkpoint", "path": tmp_path}, weights)
    with pytest.raises(InputError, match="refused"):
        read_checkpoint(weights)
    torch.save({"format": "scmn-checkpoint", "model": {}}, weights)
    with pytest.raises(InputError, match="incomplete"):
        read_checkpoint(weights)


def test_what_would_not_load_again_is_not_written(folder: CheckpointFolder) -> None:
    with pytest.raises(TypeError, match=r"checkpoint\['best'\] is a numpy.float64"):
        folder.save(checkpoint(best=np.float64(0.5)))
    assert not folder.last.exists()


class Killed(BaseException):
    """Ends the writing at a chosen point."""


@pytest.mark.parametrize("call", [0, 1, 2])
@pytest.mark.parametrize("function", ["fsync", "link", "replace"])
def test_whatever_stops_the_writing_every_name_is_a_whole_file(
    folder: CheckpointFolder, monkeypatch: pytest.MonkeyPatch, function: str, call: int
) -> None:
    folder.save(checkpoint(1), best=True)
    home: Any = Path if function == "replace" else os
    original, calls = getattr(home, function), iter(range(1000))

    def stop(*arguments: Any) -> Any:
        if next(calls) == call:
            raise Killed
        return original(*arguments)

    with monkeypatch.context() as patch:
        patch.setattr(home, function, stop)
        if function == "fsync" and call == 2:
            folder.save(checkpoint(2), best=True)  # one for the file, one for the folder
        else:
            with pytest.raises(Killed):
                folder.save(checkpoint(2), best=True)
    last = folder.load_last()
    assert last is not None
    for path in folder.folder.iterdir():
        loaded = read_checkpoint(path)
        assert loaded.model["weight"][0] == loaded.iteration
    folder.save(checkpoint(3))
    assert read_checkpoint(folder.last).iteration == 3


KILLED_WHILE_WRITING = """
import os, signal, sys
from dataclasses import replace
from scmn.training.checkpoint import read_checkpoint
from scmn.training.checkpoint_folder import CheckpointFolder
folder = CheckpointFolder(sys.argv[1])
second = replace(read_checkpoint(folder.last), iteration=2)
os.fsync = lambda descriptor: os.kill(os.getpid(), signal.SIGKILL)
folder.save(second)
"""


def test_a_killed_process_leaves_the_old_checkpoint(folder: CheckpointFolder) -> None:
    folder.save(checkpoint(1))
    result = subprocess.run(
        [sys.executable, "-c", KILLED_WHILE_WRITING, str(folder.folder)],
        cwd=REPOSITORY,
        timeout=120,
    )
    assert result.returncode == -signal.SIGKILL
    last = folder.load_last()
    assert last is not None
    assert last.iteration == 1
    assert any(name.startswith(".last.") for name in names(folder))
    folder.prepare()
    assert names(folder) == ["iteration-00000001.pt", "last.pt"]


def test_a_full_disk_is_one_line_and_the_old_checkpoint_survives(
    folder: CheckpointFolder,
) -> None:
    folder.save(checkpoint(1))
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, hard))
    try:
        with pytest.raises(InputError, match="cannot write checkpoint") as caught:
            folder.save(checkpoint(2))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert str(caught.value) == (
        f"cannot write checkpoint {folder.last}: File too large; earlier checkpoints are untouched"
    )
    assert names(folder) == ["iteration-00000001.pt", "last.pt"]
    assert read_checkpoint(folder.last).iteration == 1


def test_an_unwritable_folder_is_known_before_the_first_step(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    folder = CheckpointFolder(tmp_path / "file" / "run")
    for attempt in (folder.prepare, lambda: folder.save(checkpoint())):
        with pytest.raises(InputError, match=r"cannot write checkpoint.*Not a directory"):
            attempt()

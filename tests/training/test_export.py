"""scripts/export_weights.py: conversion of checkpoints to weights files."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest
import torch

from scmn import InputError, build_model
from scmn.networks.base import MemoryNetwork
from scmn.program import run_program
from scmn.training.checkpoint import Checkpoint
from scmn.training.checkpoint_folder import CheckpointFolder
from tests.conftest import REPOSITORY, build_small
from tests.training.checkpoints import checkpoint

SCRIPT = REPOSITORY / "scripts" / "export_weights.py"


@pytest.fixture(scope="module")
def export() -> Callable[[Sequence[str]], None]:
    spec = importlib.util.spec_from_file_location("export_weights", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    main: Callable[[Sequence[str]], None] = module.main
    return main


@pytest.fixture(scope="module")
def network() -> MemoryNetwork:
    return build_small("stcn")


@pytest.fixture(scope="module")
def saved(network: MemoryNetwork) -> Checkpoint:
    assert network.description is not None
    averaged = {
        name: value + 1 if value.is_floating_point() else value
        for name, value in network.state_dict().items()
    }
    return checkpoint(
        model=network.state_dict(),
        description=network.description,
        average={"weights": averaged, "updates": 5},
    )


def test_export_writes_the_average_by_default(
    export: Callable[[Sequence[str]], None],
    network: MemoryNetwork,
    saved: Checkpoint,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    last = str(CheckpointFolder(tmp_path, keep=0).save(saved))
    out = tmp_path / "out.safetensors"
    own = network.state_dict()["decoder.predict.weight"]
    export([last, str(out)])
    assert "averaged weights of stcn" in capsys.readouterr().out
    loaded = build_model("stcn", weights=out)
    assert loaded.description == network.description
    assert torch.equal(loaded.state_dict()["decoder.predict.weight"], own + 1)
    # The checkpoint itself loads the average too, which is what was validated.
    assert torch.equal(
        build_model("stcn", weights=last).state_dict()["decoder.predict.weight"], own + 1
    )
    full_size = out.stat().st_size
    export([last, str(out), "--no-average", "--dtype", "fp16"])
    loaded = build_model("stcn", weights=out)
    assert torch.equal(loaded.state_dict()["decoder.predict.weight"], own.half().float())
    assert out.stat().st_size < 0.55 * full_size


def test_export_refuses_values_beyond_half_precision(
    export: Callable[[Sequence[str]], None], saved: Checkpoint, tmp_path: Path
) -> None:
    state = dict(saved.model)
    state["decoder.predict.bias"] = torch.tensor([1e6])
    last = CheckpointFolder(tmp_path, keep=0).save(replace(saved, model=state, average=None))
    out = tmp_path / "out.safetensors"
    with pytest.raises(InputError, match=r"decoder\.predict\.bias .*1e\+06"):
        export([str(last), str(out), "--dtype", "fp16"])
    assert not out.exists()


def test_export_reports_mistakes_in_one_line(
    export: Callable[[Sequence[str]], None], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    missing, out = tmp_path / "none.pt", tmp_path / "out.safetensors"
    for arguments, message in (
        ([missing, out], f"checkpoint not found: {missing}"),
        ([missing, tmp_path / "out.pt"], f"{tmp_path / 'out.pt'} must end in .safetensors"),
    ):
        with pytest.raises(SystemExit) as ended:
            run_program(partial(export, [str(argument) for argument in arguments]))
        assert ended.value.code == 2
        assert capsys.readouterr().err == f"error: {message}\n"

"""Validation during training: the best checkpoint, interruptions, processes."""

from __future__ import annotations

import os
import shutil
import signal
from pathlib import Path
from typing import Any

import pytest

from scmn import InputError
from scmn.processes import join_processes
from scmn.training.checkpoint import read_checkpoint
from scmn.training.settings import ValidationSettings
from scmn.training.stage import Stage
from scmn.training.trainer import train
from scmn.training.validation import Validation
from tests.conftest import build_small
from tests.programs import run_processes
from tests.training.runs import Killed, config, equal, killed_after, weights


def validation(davis: Path) -> list[str]:
    return [
        "training.validation.every=2",
        "training.validation.dataset=davis2017-train",
        f"training.validation.root={davis}",
        "training.validation.max_frames=4",
    ]


def test_train_keeps_the_best_validated_checkpoint(davis: Path, tmp_path: Path) -> None:
    averaging = "training.averaging.enabled=true"
    settings = config(tmp_path, davis, *validation(davis), averaging)
    train(settings, tmp_path / "run", stage="main")
    best = read_checkpoint(tmp_path / "run/best.pt")
    assert best.best is not None
    assert 0 <= best.best <= 1
    assert best.iteration in (2, 4)
    assert best.averaged_weights is not None
    # Validation does not affect training.
    quiet = config(tmp_path, davis, averaging)
    train(quiet, tmp_path / "quiet", stage="main")
    assert equal(weights(tmp_path / "run"), weights(tmp_path / "quiet"))


def test_train_makes_up_for_a_killed_validation(
    davis: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    short = ["training.stages.pretrain=null", "training.stages.main.iterations=2"]
    settings = config(tmp_path, davis, *short, *validation(davis))
    train(settings, tmp_path / "whole")

    def dying(*_: object) -> None:
        raise Killed

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Validation, "run", dying)
        with pytest.raises(Killed):
            train(settings, tmp_path / "parts")
    saved = read_checkpoint(tmp_path / "parts/last.pt")
    assert (saved.iteration, saved.validation_due, saved.best) == (2, True, None)
    shutil.copytree(tmp_path / "parts", tmp_path / "other")
    assert train(settings, tmp_path / "parts").finished
    resumed = read_checkpoint(tmp_path / "parts/best.pt")
    whole = read_checkpoint(tmp_path / "whole/best.pt")
    assert not resumed.validation_due
    assert resumed.best == whole.best
    assert equal(dict(resumed.model), dict(whole.model))
    # Whoever cannot validate continues without.
    assert train(config(tmp_path, davis, *short), tmp_path / "other").finished
    assert "step 2: validation is left out" in capsys.readouterr().out
    assert not read_checkpoint(tmp_path / "other/last.pt").validation_due


def test_train_stopped_by_a_signal_validates_when_it_is_resumed(
    davis: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    short = ["training.stages.pretrain=null", "training.stages.main.iterations=2"]
    settings = config(tmp_path, davis, *short, *validation(davis))
    step = Stage.step

    def interrupted(self: Stage) -> object:
        if self.iteration == 1:
            os.kill(os.getpid(), signal.SIGTERM)
        return step(self)

    monkeypatch.setattr(Stage, "step", interrupted)
    assert not train(settings, tmp_path / "run").finished
    assert not (tmp_path / "run/best.pt").exists()
    assert train(settings, tmp_path / "run").finished
    assert read_checkpoint(tmp_path / "run/best.pt").best is not None


@pytest.mark.parametrize("frames", [4, 3])
def test_scores_of_another_validation_are_not_compared(
    frames: int, davis: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    scores = iter([0.9, 0.1])
    monkeypatch.setattr(Validation, "run", lambda *_: {"J&F": next(scores)})
    short = ["training.stages.pretrain=null", *validation(davis)]
    killed_after(3, config(tmp_path, davis, *short), tmp_path / "run")
    other = f"training.validation.max_frames={frames}"
    train(config(tmp_path, davis, *short, other), tmp_path / "run")
    best = read_checkpoint(tmp_path / "run/best.pt")
    assert (best.iteration, best.best) == ((2, 0.9) if frames == 4 else (4, 0.1))


def validated(davis: Path) -> Any:
    """The scores that one of several processes comes to."""
    settings = ValidationSettings(every=1, dataset="davis2017-train", root=str(davis))
    validation = Validation.open(settings, {}, "fp32")
    assert validation is not None
    with join_processes("cpu") as processes:
        network = build_small("stcn")
        if not processes.first:  # statistics differ where each process trains on its own clips
            for buffer in network.buffers():
                buffer.zero_()
        return validation.run(network, processes)


def test_validation_in_two_processes_gives_the_same_scores(davis: Path) -> None:
    alone = validated(davis)
    assert run_processes(validated, davis) == [alone, alone]


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("dataset=davis", "unknown data set 'davis'"),
        ("root=/none", "/none does not exist"),
        ("sequences=[nothing]", "nothing"),
        ("max_frames=2", "no frame of davis2017-train can be scored with max_frames 2"),
        ("dataset=null", "training.validation: needs dataset and root"),
    ],
)
def test_train_checks_the_validation_before_the_first_step(
    override: str, message: str, davis: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delattr(Stage, "step")
    overrides = [*validation(davis), f"training.validation.{override}"]
    with pytest.raises(InputError, match=message):
        train(config(tmp_path, davis, *overrides), tmp_path / "run")

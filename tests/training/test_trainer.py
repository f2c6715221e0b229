"""Complete runs on tiny data: stages, workers, processes, accumulation."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from scmn import InputError, build_model
from scmn.training.checkpoint import read_checkpoint
from scmn.training.trainer import train
from tests.training.runs import (
    SAME_FOR_ANY_SPLIT,
    check_two_processes_equal_one,
    config,
    equal,
    weights,
)


@pytest.mark.parametrize("name", ["scmn", "stm", "stcn"])
def test_train_runs_two_stages_of_every_network(name: str, davis: Path, tmp_path: Path) -> None:
    outcome = train(config(tmp_path, davis, name=name), tmp_path / "run")
    assert outcome.finished
    assert outcome.iteration == 8
    checkpoint = read_checkpoint(outcome.checkpoint)
    assert (checkpoint.stage, checkpoint.stage_iteration) == ("main", 4)
    model = build_model(name, weights=outcome.checkpoint)
    assert equal(model.state_dict(), weights(tmp_path / "run"))
    fresh = build_model(name, **dict(checkpoint.description.settings))
    changed = [n for n, p in fresh.named_parameters() if not torch.equal(p, model.get_parameter(n))]
    assert len(changed) > 0.9 * len(list(fresh.parameters()))
    assert list((tmp_path / "run/tensorboard").iterdir())
    assert (tmp_path / "run/config.yaml").is_file()


def test_train_changes_only_the_given_parts(davis: Path, tmp_path: Path) -> None:
    only = ["training.norm=frozen", "training.parts=[decoder, head]"]
    outcome = train(config(tmp_path, davis, *only), tmp_path / "run", stage="main")
    checkpoint = read_checkpoint(outcome.checkpoint)
    torch.manual_seed(0)
    fresh = build_model("scmn", **dict(checkpoint.description.settings)).state_dict()
    changed = {
        n.split(".")[0] for n, old in fresh.items() if not torch.equal(old, checkpoint.model[n])
    }
    assert changed == {"decoder", "head"}


def test_train_is_independent_of_the_number_of_workers(davis: Path, tmp_path: Path) -> None:
    train(config(tmp_path, davis), tmp_path / "none", stage="main")
    train(config(tmp_path, davis, "training.workers=2"), tmp_path / "two", stage="main")
    assert equal(weights(tmp_path / "two"), weights(tmp_path / "none"))


def test_train_with_two_processes_equals_one_with_the_whole_batch(
    davis: Path, tmp_path: Path
) -> None:
    check_two_processes_equal_one(davis, tmp_path, device="auto", atol=2e-4, rtol=1e-3)


def test_train_with_accumulated_gradients_equals_the_whole_batch(
    davis: Path, tmp_path: Path
) -> None:
    train(config(tmp_path, davis, *SAME_FOR_ANY_SPLIT), tmp_path / "whole", stage="main")
    parts = [*SAME_FOR_ANY_SPLIT, "training.stages.main.clips_per_pass=1"]
    train(config(tmp_path, davis, *parts), tmp_path / "parts", stage="main")
    whole, accumulated = weights(tmp_path / "whole"), weights(tmp_path / "parts")
    for name, tensor in whole.items():
        torch.testing.assert_close(accumulated[name], tensor, atol=2e-4, rtol=1e-3, msg=name)


def test_train_starts_a_stage_from_the_weights_of_another_run(davis: Path, tmp_path: Path) -> None:
    settings = config(tmp_path, davis)
    train(settings, tmp_path / "first", stage="pretrain")
    start = tmp_path / "first/last.pt"
    outcome = train(settings, tmp_path / "second", stage="main", weights=start)
    assert outcome.iteration == 4
    with pytest.raises(InputError, match="is of stage 'pretrain', not 'main'"):
        train(settings, tmp_path / "third", stage="main", resume=start)


def test_train_adds_the_estimate_of_mask_quality_to_given_weights(
    davis: Path, tmp_path: Path
) -> None:
    settings = config(tmp_path, davis, "training.norm=frozen")
    first = train(settings, tmp_path / "first", stage="pretrain")
    alone = ["training.norm=frozen", "training.parts=[mask_quality]"]
    settings = config(tmp_path, davis, "model.switches.mask_quality=true", *alone)
    train(settings, tmp_path / "second", stage="main", weights=first.checkpoint)
    before, after = weights(tmp_path / "first"), weights(tmp_path / "second")
    assert {name.split(".")[0] for name in after.keys() - before.keys()} == {"mask_quality"}
    assert equal({name: after[name] for name in before}, before)

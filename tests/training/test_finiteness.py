"""Losses and gradients that are not finite: fp16 skips a few such steps, others stop at once."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
import torch
from torch import nn

from scmn import InputError
from scmn.data.clips.batch import ClipBatch
from scmn.training.finiteness import STEPS_BEFORE_STOP, LossCheck, with_overflow
from scmn.training.trainer import train
from tests.training.runs import config


def batch(*numbers: int) -> ClipBatch:
    nothing = torch.empty(0)
    return ClipBatch(nothing, nothing, nothing, tuple(f"clip {n}" for n in numbers), numbers)


def test_check_returns_the_scalars() -> None:
    losses = LossCheck()
    assert losses.check() == []
    losses.add(torch.tensor([1.0, 2.0]), batch(0, 1), 0)
    assert losses.check([torch.tensor(3.0), torch.tensor(4)]) == [3.0, 4.0]


@pytest.mark.parametrize("wrong", [math.nan, math.inf])
def test_check_names_the_samples_of_the_first_wrong_step(wrong: float) -> None:
    losses = LossCheck()
    losses.add(torch.tensor([1.0, 2.0]), batch(0, 1), 0)
    losses.add(torch.tensor([wrong, 2.0]), batch(2, 3), 1)
    losses.add(torch.tensor([1.0, wrong]), batch(4, 5), 1)  # a second pass of the same step
    losses.add(torch.tensor([wrong, wrong]), batch(6, 7), 2)
    with pytest.raises(InputError, match=r"at step 1; samples: 2 \(clip 2\), 5 \(clip 5\); lower"):
        losses.check([torch.tensor(0.0)])


def test_check_forgets_what_it_has_checked() -> None:
    losses = LossCheck()
    losses.add(torch.tensor([math.nan]), batch(0), 0)
    with pytest.raises(InputError):
        losses.check()
    losses.add(torch.tensor([1.0]), batch(1), 1)
    assert losses.check() == []


def test_fp16_stops_after_several_steps_in_a_row() -> None:
    losses = LossCheck(skipped=True)
    wrong = torch.tensor([math.inf])
    for _ in range(2):  # a finite step in between begins a new row
        for step in range(STEPS_BEFORE_STOP - 1):
            losses.add(wrong, batch(1), step)
            losses.add(wrong, batch(2), step)  # another pass of the same step
            losses.check()
    last = STEPS_BEFORE_STOP - 1
    losses.add(wrong, batch(5), last)
    with pytest.raises(
        InputError, match=rf"at step {last} and the {last} steps before; samples: 5"
    ):
        losses.check()


@pytest.mark.parametrize("wrong", [math.nan, math.inf])
def test_a_wrong_gradient_stops_even_if_the_loss_is_finite(wrong: float) -> None:
    losses = LossCheck()
    losses.add(torch.tensor([1.0]), batch(0), 3)
    losses.add_gradient(torch.tensor(2.0), 3)
    losses.check()
    losses.add(torch.tensor([1.0]), batch(1), 4)
    losses.add_gradient(torch.tensor(wrong), 4)
    with pytest.raises(InputError, match="the gradient is not finite at step 4, although the loss"):
        losses.check()


def test_fp16_stops_after_several_wrong_gradients_in_a_row() -> None:
    losses = LossCheck(skipped=True)
    last = STEPS_BEFORE_STOP - 1
    for step in range(STEPS_BEFORE_STOP):
        losses.check()
        losses.add(torch.tensor([1.0]), batch(step), step)
        losses.add_gradient(torch.tensor(math.inf), step)
    with pytest.raises(InputError, match=f"at step {last} and the {last} steps before, although"):
        losses.check()


@pytest.mark.parametrize("added", [0.0, math.inf, math.nan])
def test_the_scaler_skips_the_step_and_halves_its_scale(added: float) -> None:
    network = nn.Linear(2, 1, bias=False)
    before = network.weight.detach().clone()
    optimizer = torch.optim.SGD(network.parameters(), lr=0.1)
    scaler = torch.amp.GradScaler("cpu", init_scale=1024.0)
    # The gradient of the sum is finite whatever is added.
    per_clip = network(torch.eye(2)).squeeze(1) + torch.tensor([0.0, added])
    scaler.scale(with_overflow(per_clip.sum(), per_clip)).backward()
    scaler.unscale_(optimizer)
    scaler.step(optimizer)
    scaler.update()
    if added == 0:
        assert scaler.get_scale() == 1024
        torch.testing.assert_close(network.weight, before - 0.1)
    else:
        assert scaler.get_scale() == 512
        assert torch.equal(network.weight, before)


def test_train_names_the_samples_of_a_non_finite_loss(davis: Path, tmp_path: Path) -> None:
    settings = config(
        tmp_path,
        davis,
        "training.norm=frozen",
        "training.stages.main.optimizer.learning_rate=1.0e30",
    )
    with pytest.raises(InputError, match=r"not finite at step \d; samples: \d+ \(videos: .*frames"):
        train(settings, tmp_path / "run", stage="main")


def test_train_writes_no_weights_that_are_not_finite(
    davis: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The loss of the only step is finite; its update is not."""

    def overflowing_step(optimizer: torch.optim.AdamW, closure: object = None) -> None:
        optimizer.param_groups[0]["params"][0].data.fill_(torch.inf)

    monkeypatch.setattr(torch.optim.AdamW, "step", overflowing_step)
    settings = config(tmp_path, davis, "training.stages.main.iterations=1")
    with pytest.raises(InputError, match="network after step 1 has NaN or infinite numbers in"):
        train(settings, tmp_path / "run", stage="main")
    assert not list((tmp_path / "run").glob("*.pt"))


def test_train_writes_no_checkpoint_after_a_non_finite_loss(
    davis: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As on a GPU, where losses are read only when there is another reason to wait."""
    monkeypatch.setattr("scmn.training.stage._reads_are_free", lambda device: False)
    settings = config(
        tmp_path,
        davis,
        "training.norm=frozen",
        "training.log_every=100",
        "training.checkpoint_every=4",
        "training.stages.main.iterations=8",
        "training.stages.main.optimizer.learning_rate=1.0e30",
    )
    with pytest.raises(
        InputError, match=r"not finite at step [12]; samples: \d+ \(videos: .*frames"
    ):
        train(settings, tmp_path / "run", stage="main")
    assert not list((tmp_path / "run").glob("*.pt"))


def test_train_with_a_gradient_scaler_stops_after_several_non_finite_losses(
    davis: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    scaler = torch.amp.GradScaler  # as for fp16, which needs a GPU
    monkeypatch.setattr(torch.amp, "GradScaler", lambda enabled: scaler("cpu"))
    settings = config(
        tmp_path,
        davis,
        "training.norm=frozen",
        "training.stages.main.optimizer.learning_rate=1.0e30",
        "training.stages.main.iterations=30",
        "training.stages.main.batch_size=1",
    )
    message = r"not finite at step 2\d and the 19 steps before; samples: 2\d \(videos: .*frames"
    with pytest.raises(InputError, match=message):
        train(settings, tmp_path / "run", stage="main")

"""Losses that are not finite: skipped a few times in fp16, an end at once in other precisions."""

from __future__ import annotations

import math

import pytest
import torch
from torch import nn

from scmn import InputError
from scmn.training.nonfinite import STEPS_BEFORE_STOP, NonFiniteLosses, with_overflow


def test_any_precision_but_fp16_stops_at_once() -> None:
    with pytest.raises(InputError, match=r"not finite at step 7; samples: 3 \(davis: bear\); low"):
        NonFiniteLosses(skipped=False).report(7, ["3 (davis: bear)"])


def test_fp16_stops_after_several_steps_in_a_row() -> None:
    losses = NonFiniteLosses(skipped=True)
    for _ in range(2):  # a finite step in between begins a new row
        for step in range(STEPS_BEFORE_STOP - 1):
            losses.report(step, ["1"])
            losses.report(step, ["2"])  # another pass of the same step
    message = rf"at step {STEPS_BEFORE_STOP - 1} and the {STEPS_BEFORE_STOP - 1} steps before; sam"
    with pytest.raises(InputError, match=rf"{message}ples: 5 \(a\), 6 \(b\)"):
        losses.report(STEPS_BEFORE_STOP - 1, ["5 (a)", "6 (b)"])


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

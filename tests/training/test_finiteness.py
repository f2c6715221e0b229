"""Losses that are not finite stop a run, and the message names the samples."""

from __future__ import annotations

import math

import pytest
import torch

from scmn import InputError
from scmn.data.clips.batch import ClipBatch
from scmn.training.finiteness import LossCheck


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

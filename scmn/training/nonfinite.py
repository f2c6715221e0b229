"""Losses that are not finite: fp16 skips such steps, a few in a row; any other precision stops.

In fp16 an overflow may pass: ``torch.amp.GradScaler`` leaves out a step whose gradients are not
finite and halves its scale. A loss that stays that way, or any in float32 and bfloat16, whose range
it exceeds only where training has diverged, does not get better.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from scmn.errors import InputError

STEPS_BEFORE_STOP = 10
"""In fp16 the run stops at this many steps in a row whose loss is not finite."""


class NonFiniteLosses:
    """Stops a run whose losses are not finite."""

    def __init__(self, *, skipped: bool) -> None:
        """``skipped``: whether a gradient scaler leaves out the steps of such losses (fp16)."""
        self.steps_before_stop = STEPS_BEFORE_STOP if skipped else 1
        self._last: int | None = None
        self._in_a_row = 0

    def report(self, iteration: int, samples: Sequence[str]) -> None:
        """Count a step, and name the samples of this process whose loss was not finite there.

        Raises:
            InputError: it is one too many in a row.
        """
        if iteration != self._last:
            follows = self._last is not None and iteration == self._last + 1
            self._in_a_row = self._in_a_row + 1 if follows else 1
            self._last = iteration
        if self._in_a_row < self.steps_before_stop:
            return
        before = f" and the {self._in_a_row - 1} steps before" if self._in_a_row > 1 else ""
        raise InputError(
            f"the loss is not finite at step {iteration}{before}; samples: {', '.join(samples)}; "
            "lower the learning rate, clip gradients (optimizer.clip_gradient_norm) or look at "
            "these samples"
        )


def with_overflow(total: Tensor, per_clip: Tensor) -> Tensor:
    """Return the loss ``total`` so that its gradient is NaN if a clip's loss is not finite.

    An infinite loss may have finite gradients, which a gradient scaler would let through. In all
    processes: the average of gradients is NaN if one of them is. Nothing waits for the device.

    Args:
        total: the loss to minimise, a scalar.
        per_clip: the clips' losses, (B,).
    """
    return total * torch.where(torch.isfinite(per_clip.detach()).all(), 1.0, torch.nan)

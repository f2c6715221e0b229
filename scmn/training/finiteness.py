"""Losses and gradients that are not finite: fp16 skips a few such steps; other precisions stop.

In fp16 an overflow may pass: ``torch.amp.GradScaler`` leaves out a step whose gradients are not
finite and halves its scale. What stays that way, or any in float32 and bfloat16, whose range
it exceeds only where training has diverged, does not get better.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from scmn.data.clips.batch import ClipBatch
from scmn.errors import InputError

STEPS_BEFORE_STOP = 20
"""In fp16 the run stops at this many steps in a row whose loss or gradient is not finite. By then
the scaler has halved its initial scale of 65536 to 1/16."""


class LossCheck:
    """Stops a run whose losses or gradients are not finite.

    Reading a loss waits for the GPU, so that losses stay there until there is another reason to
    wait: scalars are logged, or a checkpoint is written. The steps since then are lost anyway.
    """

    def __init__(self, *, skipped: bool = False) -> None:
        """``skipped``: whether a gradient scaler leaves out the steps of such losses (fp16)."""
        self._steps_before_stop = STEPS_BEFORE_STOP if skipped else 1
        self._last: int | None = None
        self._in_a_row = 0
        self._steps: list[int] = []
        self._samples: list[str] = []
        self._losses: list[Tensor] = []

    def add(self, per_clip: Tensor, batch: ClipBatch, iteration: int) -> None:
        """Note the losses (B,) of a batch at a step of the stage."""
        self._losses.append(per_clip)
        for number, source in zip(batch.numbers, batch.sources, strict=True):
            self._steps.append(iteration)
            self._samples.append(f"{number} ({source})")

    def add_gradient(self, norm: Tensor, iteration: int) -> None:
        """Note the norm (a scalar) of a step's gradients."""
        self._losses.append(norm.reshape(1))
        self._steps.append(iteration)
        self._samples.append("")

    def check(self, scalars: Sequence[Tensor] = ()) -> list[float]:
        """Check all losses and gradients since the last call.

        Args:
            scalars: further tensors of one number, which are downloaded together with the losses.

        Returns:
            The numbers of ``scalars``.

        Raises:
            InputError: too many steps in a row had a loss or gradient that is not finite; the
                samples of the last loss are named.
        """
        tensors = [scalar.reshape(1) for scalar in scalars] + self._losses
        numbers = torch.cat(tensors).tolist() if tensors else []
        losses, steps, samples = numbers[len(scalars) :], self._steps, self._samples
        self._steps, self._samples, self._losses = [], [], []
        wrong = [i for i, loss in enumerate(losses) if not math.isfinite(loss)]
        for step in dict.fromkeys(steps[i] for i in wrong):
            self._count(step, [samples[i] for i in wrong if steps[i] == step])
        return numbers[: len(scalars)]

    def _count(self, step: int, samples: Sequence[str]) -> None:
        if step != self._last:  # otherwise it is another pass of the same step
            follows = self._last is not None and step == self._last + 1
            self._in_a_row = self._in_a_row + 1 if follows else 1
            self._last = step
        if self._in_a_row < self._steps_before_stop:
            return
        samples = [sample for sample in samples if sample]
        before = f" and the {self._in_a_row - 1} steps before" if self._in_a_row > 1 else ""
        if not samples:
            raise InputError(
                f"the gradient is not finite at step {step}{before}, although the loss is; lower "
                "the learning rate, or train with precision fp32"
            )
        raise InputError(
            f"the loss is not finite at step {step}{before}; samples: {', '.join(samples)}; "
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

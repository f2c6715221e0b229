"""The check that a run's losses are finite."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from scmn.data.clips.batch import ClipBatch
from scmn.training.nonfinite import NonFiniteLosses


class LossCheck:
    """Stops a run whose losses are not finite.

    Reading a loss waits for the GPU, so that losses stay there until there is another reason to
    wait: scalars are logged, or a checkpoint is written. The steps since then are lost anyway.
    """

    def __init__(self, *, skipped: bool = False) -> None:
        """``skipped``: whether a gradient scaler leaves out the steps of such losses (fp16)."""
        self._non_finite = NonFiniteLosses(skipped=skipped)
        self._steps: list[int] = []
        self._samples: list[str] = []
        self._losses: list[Tensor] = []

    def add(self, per_clip: Tensor, batch: ClipBatch, iteration: int) -> None:
        """Note the losses (B,) of a batch at a step of the stage."""
        self._losses.append(per_clip)
        for number, source in zip(batch.numbers, batch.sources, strict=True):
            self._steps.append(iteration)
            self._samples.append(f"{number} ({source})")

    def check(self, scalars: Sequence[Tensor] = ()) -> list[float]:
        """Check all losses since the last call.

        Args:
            scalars: further tensors of one number, which are downloaded together with the losses.

        Returns:
            The numbers of ``scalars``.

        Raises:
            InputError: as :meth:`NonFiniteLosses.report`.
        """
        tensors = [scalar.reshape(1) for scalar in scalars] + self._losses
        numbers = torch.cat(tensors).tolist() if tensors else []
        losses, steps, samples = numbers[len(scalars) :], self._steps, self._samples
        self._steps, self._samples, self._losses = [], [], []
        wrong = [i for i, loss in enumerate(losses) if not math.isfinite(loss)]
        for step in dict.fromkeys(steps[i] for i in wrong):
            self._non_finite.report(step, [samples[i] for i in wrong if steps[i] == step])
        return numbers[: len(scalars)]

"""Exponential moving average of the weights (Polyak averaging)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from scmn.errors import InputError
from scmn.training.settings import AveragingSettings


class WeightAverage:
    """A shadow of a network's parameters and buffers that follows them slowly.

    Give it the bare network, not one that ``torch.compile`` or DistributedDataParallel wraps: the
    names of the tensors are those of the network's own files.
    """

    def __init__(self, network: nn.Module, settings: AveragingSettings) -> None:
        """Start from the weights that ``network`` has now.

        Raises:
            InputError: a decay outside [0, 1).
        """
        if not 0 <= settings.decay < 1:
            raise InputError(f"averaging.decay lies in [0, 1), not at {settings.decay}")
        self.settings = settings
        self.updates = 0
        self.weights = _copied(network.state_dict())

    def decay(self) -> float:
        """Return the decay of the next update: (1 + n) / (10 + n) after n, until the set one."""
        if not self.settings.warm_up:
            return self.settings.decay
        return min(self.settings.decay, (1 + self.updates) / (10 + self.updates))

    @torch.no_grad()
    def update(self, network: nn.Module) -> None:
        """Move a step towards the network's weights; call it after every optimizer step."""
        weight = 1 - self.decay()
        for name, value in network.state_dict().items():
            shadow = self.weights[name]
            if shadow.is_floating_point():
                shadow.lerp_(value, weight)
            else:
                shadow.copy_(value)
        self.updates += 1

    def state_dict(self) -> dict[str, Any]:
        """Return what a checkpoint keeps."""
        return {"weights": dict(self.weights), "updates": self.updates}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Continue from a checkpoint.

        Raises:
            InputError: the average is of another network.
        """
        theirs = {name: value.shape for name, value in state["weights"].items()}
        if theirs != {name: value.shape for name, value in self.weights.items()}:
            raise InputError("the checkpoint's weight average is of another network")
        for name, value in state["weights"].items():
            self.weights[name].copy_(value)
        self.updates = int(state["updates"])


def _copied(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {name: value.detach().clone() for name, value in state.items()}

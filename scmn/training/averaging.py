"""Exponential moving average of the weights (Polyak averaging)."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any, TypeVar

from torch import nn
from torch.optim.swa_utils import get_ema_multi_avg_fn

from scmn.errors import InputError
from scmn.training.settings import AveragingSettings

Network = TypeVar("Network", bound=nn.Module)


class WeightAverage:
    """The moving average of a network's parameters and buffers.

    Of ``torch.optim.swa_utils`` only the update fits: ``AveragedModel`` starts with a copy instead
    of a decay, averages integer buffers, and wraps a second network under other tensor names than
    those of the network's files.
    """

    def __init__(self, network: nn.Module, settings: AveragingSettings) -> None:
        """Start from the weights that ``network`` has now."""
        self.settings = settings
        self.updates = 0
        self.weights = {name: value.clone() for name, value in network.state_dict().items()}

    def decay(self) -> float:
        """Return the decay of the next update; with warm-up at most (1 + n) / (10 + n) after n."""
        if not self.settings.warm_up:
            return self.settings.decay
        return min(self.settings.decay, (1 + self.updates) / (10 + self.updates))

    def update(self, network: nn.Module) -> None:
        """Move a step towards the network's weights; call it after every optimizer step."""
        averages, values = [], []
        for name, value in network.state_dict().items():
            average = self.weights[name]
            if average.is_floating_point():
                averages.append(average)
                values.append(value)
            else:
                average.copy_(value)
        get_ema_multi_avg_fn(self.decay())(averages, values, self.updates)
        self.updates += 1

    def applied_to(self, network: Network) -> Network:
        """Return a copy of the network with the averaged weights."""
        averaged = copy.deepcopy(network)
        averaged.load_state_dict(self.weights)
        return averaged

    def state_dict(self) -> dict[str, Any]:
        """Return the state for a checkpoint."""
        return {"weights": dict(self.weights), "updates": self.updates}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Continue from a checkpoint.

        Raises:
            InputError: the average is of another network.
        """
        saved = {name: value.shape for name, value in state["weights"].items()}
        if saved != {name: value.shape for name, value in self.weights.items()}:
            raise InputError("the checkpoint's weight average is of another network")
        for name, value in state["weights"].items():
            self.weights[name].copy_(value)
        self.updates = int(state["updates"])

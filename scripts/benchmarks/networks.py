"""The networks that benchmarks run: with given or bundled weights, otherwise with random ones."""

from __future__ import annotations

import torch
from torch import nn

from scmn import build_model
from scmn.config import Config
from scmn.networks.base import MemoryNetwork
from scmn.training.preparation import prepare_network

SMALL = "scmn_small"
GAINS = {"decoder.predict": 3.0, "_stem": 1e5, ".key": 1.0, "key_projection": 1.0}
"""Variances of random weights by the end of the module's path, chosen so that masks are not flat,
objects differ, and the memory read does not choose between equal positions."""


def build(network: str) -> MemoryNetwork:
    """Build ``NAME`` or ``NAME=WEIGHTS``, with the same weights every time.

    Raises:
        InputError: no such network, or weights that do not fit.
    """
    name, _, weights = network.partition("=")
    if weights or name == SMALL:
        return build_model(name, weights=weights or "default")
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = build_model(name)
    generator = torch.Generator().manual_seed(0)
    for path, module in model.named_modules():
        if isinstance(module, nn.Conv2d | nn.Linear):
            gain = next((gain for end, gain in GAINS.items() if path.endswith(end)), 1.5)
            fan_in = module.weight[0].numel()
            module.weight.data.normal_(0, (gain / fan_in) ** 0.5, generator=generator)
        elif isinstance(module, nn.BatchNorm2d):
            module.weight.data.fill_(0.5)
    assert model.decoder.predict.bias is not None
    model.decoder.predict.bias.data.zero_()
    return model


def build_for_training(config: Config, device: torch.device) -> MemoryNetwork:
    """Build the network of a run as training starts with it."""
    model = config.model
    network = build_model(model.name, backbone=model.backbone, **model.switches)
    return prepare_network(network, config.training, device)


def title(network: str) -> str:
    """Return the text of ``NAME`` or ``NAME=WEIGHTS`` for a table; the command names the file."""
    name, trained, _ = network.partition("=")
    return f"{name}, trained" if trained else name

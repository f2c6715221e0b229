"""SCMN trains all its parameters with its switches in every combination of three."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from scmn import build_model
from scmn.data.clips.batch import ClipBatch, assemble_clip, collate_clips
from scmn.data.clips.clip import DrawnClip
from scmn.networks.backbones import BACKBONES, Backbone, Features, Trunk
from scmn.networks.base import MemoryNetwork
from scmn.processes import Processes, join_processes
from scmn.training.losses import VideoLoss
from scmn.training.preparation import freeze_others
from scmn.training.settings import LossSettings, UnrollMemorySettings
from scmn.training.unroll import PassResult, TrainingPass
from tests.programs import run_processes

PARTS: dict[str, list[dict[str, Any]]] = {
    # The choices about a part that is left out do not matter.
    "spatial_constraint": [
        {},
        {"spatial_constraint": False},
        {"constraint_embedding": "direction"},
    ],
    "refinement": [{}, {"refinement": False}, {"refinement_input": "logits"}],
}
CHOICES: dict[str, list[dict[str, Any]]] = {
    name: [{}, {name: other}]
    for name, other in {
        "head": False,
        "read_concat": "value",
        "decoder": "stm",
        "other_masks": False,
        "memory_key": "frame",
        "similarity": "l2",
    }.items()
}
SMALL = {"key_dim": 4, "value_dim": 4, "hidden_dim": 4, "refinement_dim": 2}
STEPS = 2
"""DistributedDataParallel notices in the second one that the first left a parameter out."""


class Strides(Trunk):
    def __init__(self, backbone: str, network: Any, channels: tuple[int, int, int]) -> None:
        super().__init__(backbone, channels)
        self.network = network

    @property
    def first_convolution(self) -> nn.Conv2d:
        convolution: nn.Conv2d = self.network[0]
        return convolution

    def stages(self, first_response: Tensor) -> Features:
        x, maps = first_response, []
        for layer in self.network[1:]:
            x = layer(x.relu())
            maps.append(x)
        return Features(*maps)


def strides() -> nn.Module:
    widths = itertools.pairwise((3, 4, 4, 4, 4))
    return nn.Sequential(*(nn.Conv2d(a, b, 3, stride=2, padding=1) for a, b in widths))


STRIDES = Backbone(strides, (4, 4, 4), Strides)


def clip(number: int) -> ClipBatch:
    random = np.random.default_rng(number)
    images = list(random.integers(0, 256, (2, 32, 32, 3), dtype=np.uint8))
    labels = list(random.integers(0, 3, (2, 32, 32), dtype=np.uint8))
    drawn = DrawnClip(images, labels, 2, "noise")
    return collate_clips([assemble_clip(drawn, max_objects=2, number=number)])


def build(**switches: Any) -> MemoryNetwork:
    return build_model("scmn", backbone="strides", **SMALL, **switches)


def combinations() -> Iterator[dict[str, Any]]:
    """Combine the parts in every way, and of the choices any three in every way."""
    for parts in itertools.product(*PARTS.values()):
        for a, b, c, d in itertools.product((0, 1), repeat=4):
            numbers = (a, b, c, d, a ^ b ^ c, b ^ c ^ d)  # a fractional factorial design
            chosen = (of[n] for of, n in zip(CHOICES.values(), numbers, strict=True))
            yield dict(itertools.chain(*(choice.items() for choice in (*parts, *chosen))))


def one_changed() -> list[dict[str, Any]]:
    """The default and each other choice alone, and mask quality, which none of them concerns."""
    others = (choice for choices in (PARTS | CHOICES).values() for choice in choices if choice)
    return [{}, *others, {"mask_quality": True}]


class Passes(nn.ModuleList):
    """Trained together: processes would wait for each other longer than they compute."""

    def __init__(self, *networks: MemoryNetwork, **weights: float) -> None:
        memory, loss = UnrollMemorySettings(), LossSettings(**weights)
        super().__init__(
            TrainingPass(n.train(), VideoLoss(loss, n.aggregate), memory) for n in networks
        )

    def forward(self, batch: ClipBatch, step: int) -> list[PassResult]:
        return [training_pass(batch, step) for training_pass in self]


def total_loss(results: list[PassResult]) -> torch.Tensor:
    return torch.stack([result.loss.total for result in results]).sum()


def train(processes: Processes, *networks: MemoryNetwork, **weights: float) -> list[float]:
    """Train in several processes and return a number that tells the weights of each network.

    With ``weights`` of the loss terms, some parameters get no gradient.
    """
    passes = processes.wrap(Passes(*networks, **weights), trains_all=not weights)
    optimizer = torch.optim.SGD(passes.parameters(), lr=0.1)
    for step in range(STEPS):
        optimizer.zero_grad()
        total_loss(passes(clip(2 * step + processes.rank), step)).backward()
        optimizer.step()
    return [sum(float(p.detach().double().sum()) for p in n.parameters()) for n in networks]


def with_an_unused_projection() -> MemoryNetwork:
    """As SCMN once was."""
    network = build()
    projection: Any = network.query_projection
    projection.value = nn.Conv2d(4, 4, kernel_size=1)
    projection.forward = lambda x: 2 * (projection.key(x),)
    return network


def train_every_switch() -> dict[str, Any]:
    """What each of two processes comes to."""
    BACKBONES["strides"] = STRIDES
    with join_processes("cpu") as processes:
        torch.manual_seed(processes.rank)
        trained = train(processes, *(build(**switches) for switches in one_changed()))
        trained += train(processes, build(mask_quality=True), mask_quality=0)
        partly = build(mask_quality=True)
        freeze_others(partly, ["mask_quality"])
        trained += train(processes, partly)
        try:
            train(processes, with_an_unused_projection())
            error = ""
        except RuntimeError as failure:
            error = str(failure)
    return {"trained": trained, "error": error}


def unused(network: MemoryNetwork) -> list[str]:
    total_loss(Passes(network)(clip(0), 0)).backward()
    return [name for name, parameter in network.named_parameters() if parameter.grad is None]


def test_combinations_combine_any_three_choices_in_every_way() -> None:
    for three in itertools.combinations(CHOICES, 3):
        ways = {tuple(name in switches for name in three) for switches in combinations()}
        assert len(ways) == 2**3


def test_combinations_of_switches_train_all_parameters(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(BACKBONES, "strides", STRIDES)
    with torch.backends.mkldnn.flags(enabled=False):  # it is slow for maps of a few pixels
        wrong = {str(switches): unused(build(**switches)) for switches in combinations()}
        control = unused(with_an_unused_projection())
    assert len(wrong) == 3 * 3 * 2**4
    assert {switches: names for switches, names in wrong.items() if names} == {}
    assert control == ["query_projection.value.weight", "query_projection.value.bias"]


def test_two_processes_train_every_switch() -> None:
    first, second = run_processes(train_every_switch)
    assert len(first["trained"]) == 1 + 2 + 2 + 6 + 3
    assert first["trained"] == second["trained"]
    assert "Expected to have finished reduction" in first["error"]

"""Two processes train SCMN with every combination of its switches."""

from __future__ import annotations

import json

from tests.programs import run_processes

PROGRAM = """
import itertools, json
import numpy as np
import torch
from torch import nn
from scmn import build_model
from scmn.data.clips.batch import assemble_clip, collate_clips
from scmn.data.clips.clip import DrawnClip
from scmn.networks.backbones import BACKBONES, Backbone, Features, Trunk
from scmn.processes import join_processes
from scmn.training.losses import VideoLoss
from scmn.training.settings import LossSettings, UnrollMemorySettings
from scmn.training.unroll import TrainingPass

STEPS = 3
PARTS = {  # the choices about a part that is left out do not matter
    "spatial_constraint": [{"spatial_constraint": False}]
    + [{"constraint_embedding": choice} for choice in ("raw", "direction")],
    "refinement": [{"refinement": False}]
    + [{"refinement_input": choice} for choice in ("features", "logits")],
}
CHOICES = {
    "head": (True, False),
    "read_concat": ("key", "value"),
    "decoder": ("basnet", "stm"),
    "other_masks": (True, False),
    "memory_key": ("object", "frame"),
    "similarity": ("dot", "l2"),
}
SMALL = {"key_dim": 4, "value_dim": 4, "hidden_dim": 4, "refinement_dim": 2}


class Strides(Trunk):
    def __init__(self, backbone, network, channels):
        super().__init__(backbone, channels)
        self.network = network

    @property
    def first_convolution(self):
        return self.network[0]

    def stages(self, x):
        maps = []
        for layer in self.network[1:]:
            x = layer(x.relu())
            maps.append(x)
        return Features(*maps)


def strides():
    widths = itertools.pairwise((3, 4, 4, 4, 4))
    return nn.Sequential(*(nn.Conv2d(a, b, 3, stride=2, padding=1) for a, b in widths))


def clip(number):
    random = np.random.default_rng(number)
    images = list(random.integers(0, 256, (2, 32, 32, 3), dtype=np.uint8))
    labels = list(random.integers(0, 3, (2, 32, 32), dtype=np.uint8))
    return assemble_clip(DrawnClip(images, labels, 2, "noise"), max_objects=2, number=number)


class Passes(nn.ModuleList):
    def __init__(self, networks):
        losses = [VideoLoss(LossSettings(), network.aggregate) for network in networks]
        memory = UnrollMemorySettings()
        super().__init__(TrainingPass(n.train(), loss, memory) for n, loss in zip(networks, losses))

    def forward(self, batch, step):
        return sum(training_pass(batch, step).loss.total for training_pass in self)


def train(*networks):
    passes = processes.wrap(Passes(networks))
    optimizer = torch.optim.SGD(passes.parameters(), lr=0.1)
    for step in range(STEPS):
        optimizer.zero_grad()
        passes(collate_clips([clip(2 * step + processes.rank)]), step).backward()
        optimizer.step()
    return [sum(float(p.detach().double().sum()) for p in n.parameters()) for n in networks]


def build(**switches):
    return build_model("scmn", backbone="strides", **SMALL, **switches)


BACKBONES["strides"] = Backbone(strides, (4, 4, 4), Strides)
torch.backends.mkldnn.enabled = False  # it is slow for maps of a few pixels
trained = []
with join_processes("cpu") as processes:
    torch.manual_seed(processes.rank)
    for constraint, refinement in itertools.product(*PARTS.values()):
        combinations = [dict(zip(CHOICES, v)) for v in itertools.product(*CHOICES.values())]
        # Together: the processes would wait for each other longer than they compute.
        parts = {**constraint, **refinement}
        trained += train(*(build(**parts, **choices) for choices in combinations))
    control = build()
    control.query_projection.value = nn.Conv2d(4, 4, kernel_size=1)
    control.query_projection.forward = lambda x: 2 * (control.query_projection.key(x),)
    try:
        train(control)
        error = ""
    except RuntimeError as failure:
        error = str(failure)
print(json.dumps({"trained": trained, "error": error}))
"""
COMBINATIONS = 3 * 3 * 2**6


def test_two_processes_train_every_combination_of_switches() -> None:
    first, second = (json.loads(printed) for printed in run_processes(PROGRAM))
    assert len(first["trained"]) == COMBINATIONS
    assert first["trained"] == second["trained"]
    # The control: a projection that nothing uses, as SCMN once had.
    assert "Expected to have finished reduction" in first["error"]

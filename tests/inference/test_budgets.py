"""How many objects are decoded together follows from the memory that a GPU has left."""

from __future__ import annotations

import pytest
import torch

from scmn.inference.acceleration.budgets import fitting_objects
from tests.conftest import build_small

CUDA = torch.device("cuda", 0)


def test_fitting_objects_follows_free_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    network = build_small("stm")

    def fitting(*, free: int, reserved: int, allocated: int) -> int:
        monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device: (free << 20, 80 << 30))
        monkeypatch.setattr(torch.cuda, "memory_reserved", lambda device: reserved << 20)
        monkeypatch.setattr(torch.cuda, "memory_allocated", lambda device: allocated << 20)
        return fitting_objects(network, (480, 864), CUDA, torch.bfloat16)

    roomy = fitting(free=8192, reserved=0, allocated=0)
    assert roomy > 10
    # What torch keeps for itself counts, whatever else is on a GPU of 80 GiB.
    assert fitting(free=4096, reserved=6144, allocated=2048) == roomy
    assert fitting(free=4096, reserved=0, allocated=0) == pytest.approx(roomy / 2, abs=1)
    assert fitting(free=1, reserved=100, allocated=100) == 1

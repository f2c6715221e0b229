"""Activation checkpointing: the same step from fewer kept activations."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from scmn.networks.base import MemoryNetwork
from scmn.training.preparation import prepare_network
from scmn.training.settings import TrainingSettings
from scmn.training.unroll import unroll
from tests.conftest import build_small

CPU = torch.device("cpu")


def step(network: MemoryNetwork) -> tuple[Tensor, int]:
    """Return the loss of a clip and the bytes kept for the backward pass, which is done."""
    torch.manual_seed(1)
    frames = torch.rand(2, 3, 3, 32, 48)
    masks = (torch.rand(2, 2, 32, 48) > 0.5).float()
    kept: dict[int, int] = {}

    def pack(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        kept[storage.data_ptr()] = storage.nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        segmentations = unroll(network, frames, masks, torch.ones(2, 2, dtype=torch.bool))
        loss = sum(s.logits.square().mean() for s in segmentations)
    assert isinstance(loss, Tensor)
    loss.backward()
    return loss.detach(), sum(kept.values())


@pytest.mark.parametrize("norm", ["frozen", "batch"])
@pytest.mark.parametrize("name", ["scmn", "stcn"])
def test_loss_gradients_and_statistics_are_the_same(name: str, norm: str) -> None:
    def prepared(**settings: Any) -> MemoryNetwork:
        return prepare_network(build_small(name), TrainingSettings(norm=norm, **settings), CPU)

    usual, saving = prepared(), prepared(activation_checkpointing=True)
    (loss, kept), (same_loss, less_kept) = step(usual), step(saving)
    assert torch.equal(same_loss, loss)
    assert less_kept < 0.5 * kept
    for encoder in (usual.query_encoder, usual.memory_encoder):
        assert all(parameter.grad is not None for parameter in encoder.parameters())
    gradients = {key: p.grad for key, p in saving.named_parameters() if p.grad is not None}
    for key, parameter in usual.named_parameters():
        if parameter.grad is not None:
            assert torch.equal(gradients.pop(key), parameter.grad), key
    assert not gradients
    state = saving.state_dict()
    assert all(torch.equal(state[key], value) for key, value in usual.state_dict().items())

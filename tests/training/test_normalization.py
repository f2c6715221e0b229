"""Frozen norms stay frozen, learning ones learn, and split attention is warned of in time."""

from __future__ import annotations

import logging

import pytest
import torch
from torch import Tensor, nn

from scmn import InputError
from scmn.inference.acceleration.network import accelerate
from scmn.networks.backbones import Trunk, build_trunk
from scmn.training.normalization import (
    check_images_per_pass,
    set_normalization,
    synchronize_norms,
)
from tests.conftest import build_small


@pytest.fixture(scope="module")
def split_attention() -> Trunk:
    torch.manual_seed(0)
    return build_trunk("resnest14")


def statistics(network: nn.Module) -> dict[str, Tensor]:
    return {n: b.clone() for n, b in network.named_buffers() if "running" in n or "tracked" in n}


def step(network: nn.Module, images: int) -> None:
    network.train()
    features = network(torch.rand(images, 3, 32, 32))
    features.stride16.square().sum().backward()


def test_frozen_statistics_do_not_move_and_a_batch_of_one_works(split_attention: Trunk) -> None:
    set_normalization(split_attention, "frozen")
    before = statistics(split_attention)
    assert before
    step(split_attention, images=1)
    after = statistics(split_attention)
    assert all(torch.equal(after[name], before[name]) for name in before)
    assert split_attention.training
    assert split_attention.bn1.weight.grad is not None


def test_learning_statistics_move_and_a_batch_of_one_is_refused(split_attention: Trunk) -> None:
    set_normalization(split_attention, "batch")
    with pytest.raises(ValueError, match="Expected more than 1 value per channel"):
        step(split_attention, images=1)
    with pytest.raises(InputError, match="at least 2 clips"):
        check_images_per_pass(split_attention, 1)
    check_images_per_pass(split_attention, 2)
    before = statistics(split_attention)
    step(split_attention, images=2)
    after = statistics(split_attention)
    assert all(not torch.equal(after[name], before[name]) for name in before)


def test_one_image_is_enough_without_split_attention_or_with_frozen_norms(
    split_attention: Trunk,
) -> None:
    check_images_per_pass(set_normalization(split_attention, "frozen"), 1)
    check_images_per_pass(set_normalization(build_trunk("resnet18"), "batch"), 1)


def test_norms_are_synchronised_on_gpus(caplog: pytest.LogCaptureFixture) -> None:
    network = set_normalization(build_small("scmn", backbone="resnest14"), "batch")
    tensors = {name: value.data_ptr() for name, value in network.state_dict().items()}
    image = torch.rand(1, 3, 32, 32)
    expected = network.encode_query(image).key
    assert synchronize_norms(network, torch.device("cpu")) is network
    assert "each normalises with its own clips" in caplog.text
    with pytest.raises(InputError, match="at least 2 clips"):
        check_images_per_pass(network, 1)
    assert synchronize_norms(network, torch.device("cuda")) is network
    assert not any(type(module) is nn.BatchNorm2d for module in network.modules())
    assert any(isinstance(module, nn.SyncBatchNorm) for module in network.modules())
    check_images_per_pass(network, 1)
    assert {n: v.data_ptr() for n, v in network.state_dict().items()} == tensors
    assert torch.equal(network.encode_query(image).key, expected)
    validated = accelerate(network, torch.device("cpu"), None)
    assert not any(isinstance(module, nn.SyncBatchNorm) for module in validated.modules())


@pytest.mark.parametrize("train_affine", [True, False])
def test_scale_and_shift_of_frozen_norms(train_affine: bool) -> None:
    network = set_normalization(build_small("stm"), "frozen", train_affine=train_affine)
    norms = [m for m in network.modules() if isinstance(m, nn.BatchNorm2d)]
    assert {p.requires_grad for norm in norms for p in norm.parameters()} == {train_affine}
    assert network.query_encoder.trunk.conv1.weight.requires_grad
    set_normalization(network, "batch", train_affine=train_affine)
    assert all(p.requires_grad for p in network.parameters())
    assert all(type(m) is nn.BatchNorm2d for m in network.modules() if "Norm" in type(m).__name__)


def test_files_and_outputs_are_the_same_either_way() -> None:
    network = build_small("stcn")
    tensors = {name: value.data_ptr() for name, value in network.state_dict().items()}
    image = torch.rand(1, 3, 32, 32)
    expected = network.encode_query(image).key
    set_normalization(network, "frozen").train()
    assert {n: v.data_ptr() for n, v in network.state_dict().items()} == tensors
    assert torch.equal(network.encode_query(image).key, expected)


def test_freezing_what_never_saw_data_is_reported(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        norm = nn.Sequential(nn.BatchNorm2d(2))
        norm[0].running_mean.fill_(0.5)
        set_normalization(norm, "frozen")
        assert not caplog.records
        set_normalization(nn.Sequential(nn.BatchNorm2d(2)), "frozen")
    assert "never seen data" in caplog.text

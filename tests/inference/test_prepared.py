"""A network made ready for inference computes what the network computes."""

from __future__ import annotations

import shutil

import pytest
import torch
from torch import nn

from scmn import VideoSegmenter
from scmn.inference.prepared import prepare
from scmn.networks.backbones import BACKBONES
from scmn.networks.base import MemoryNetwork
from scmn.networks.scmn import SCMN
from tests.conftest import build_small
from tests.inference.clips import TWO, video

CPU = torch.device("cpu")


def with_statistics(network: MemoryNetwork) -> MemoryNetwork:
    """Give every norm statistics and weights that folding must not lose."""
    generator = torch.Generator().manual_seed(0)
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            for tensor in (module.running_var, module.weight, module.running_mean, module.bias):
                assert tensor is not None
                tensor.data.uniform_(0.5, 1.5, generator=generator)
    return network.eval()


def segmented(network: MemoryNetwork) -> torch.Tensor:
    generator = torch.Generator().manual_seed(1)
    images = torch.rand(2, 1, 3, 48, 64, generator=generator)
    masks = torch.rand(1, 2, 48, 64, generator=generator)
    with torch.inference_mode():
        memory = network.encode_memory(images[0], masks)
        query = network.encode_query(images[1])
        return network.segment(query, memory, masks).logits


@pytest.mark.parametrize("name", ["scmn", "stm", "stcn"])
def test_every_network_keeps_its_numbers(name: str) -> None:
    network = with_statistics(build_small(name))
    prepared = prepare(network, CPU, None)
    torch.testing.assert_close(segmented(prepared), segmented(network), atol=1e-3, rtol=1e-4)
    assert not any(isinstance(module, nn.BatchNorm2d) for module in prepared.modules())


@pytest.mark.parametrize("backbone", sorted(BACKBONES))
def test_every_backbone_keeps_its_numbers(backbone: str) -> None:
    torch.manual_seed(0)
    network = SCMN(backbone, key_dim=8, value_dim=16, hidden_dim=16, refinement_dim=4)
    prepared = prepare(with_statistics(network), CPU, None)
    torch.testing.assert_close(segmented(prepared), segmented(network), atol=1e-3, rtol=1e-4)
    assert not any(isinstance(module, nn.BatchNorm2d) for module in prepared.modules())


def test_the_network_stays_as_it_is() -> None:
    network = build_small("scmn").train()
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    prepared = prepare(network, CPU, torch.bfloat16)
    assert network.training
    assert all(parameter.requires_grad for parameter in network.parameters())
    after = network.state_dict()
    assert all(torch.equal(after[name], tensor) for name, tensor in before.items())
    assert prepared.decoder.predict.weight.dtype == torch.bfloat16


@pytest.mark.skipif(shutil.which("g++") is None, reason="compiling for the CPU needs a compiler")
def test_a_compiled_network_keeps_its_numbers() -> None:
    model = build_small("stm", backbone="resnet10_half")
    plain, compiled = (
        list(VideoSegmenter(model, compile=switch).run(video(3), TWO)) for switch in (False, True)
    )
    for one, other in zip(plain, compiled, strict=True):
        torch.testing.assert_close(one.probabilities, other.probabilities, atol=1e-5, rtol=1e-4)


def test_what_is_prepared_is_prepared_once() -> None:
    prepared = prepare(build_small("stm"), CPU, None)
    assert prepare(prepared, CPU, None) is prepared
    assert prepare(prepared, CPU, torch.bfloat16) is not prepared

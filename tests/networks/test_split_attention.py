"""Split attention equals the library's in output, gradients and state dict."""

from __future__ import annotations

import copy

import pytest
import torch
from resnest.torch.splat import SplAtConv2d
from torch import nn

from scmn.networks.split_attention import SplitAttention, use_lean_split_attention


def library(**settings: object) -> SplAtConv2d:
    torch.manual_seed(0)
    options = {"kernel_size": 3, "padding": 1, "bias": False, "norm_layer": nn.BatchNorm2d}
    return SplAtConv2d(16, 16, **{**options, **settings})


@pytest.mark.parametrize("training", [True, False])
def test_split_attention_equals_the_library(training: bool) -> None:
    theirs = library().double().train(training)
    ours = SplitAttention(copy.deepcopy(theirs)).train(training)
    x = torch.randn(4, 16, 7, 9, dtype=torch.float64)
    torch.testing.assert_close(ours(x), theirs(x))
    ours(x).square().sum().backward()
    theirs(x).square().sum().backward()
    gradients = {name: weight.grad for name, weight in theirs.named_parameters()}
    assert {name for name, _ in ours.named_parameters()} == set(gradients)
    for name, weight in ours.named_parameters():
        torch.testing.assert_close(weight.grad, gradients[name], msg=name)


@torch.no_grad()
def test_split_attention_keeps_channels_last() -> None:
    module = SplitAttention(library()).eval().to(memory_format=torch.channels_last)
    x = torch.randn(2, 16, 7, 9).contiguous(memory_format=torch.channels_last)
    assert module(x).is_contiguous(memory_format=torch.channels_last)


def test_replacement_keeps_the_state_dict_names() -> None:
    network = nn.Sequential(library(), nn.Sequential(library()))
    names = network.state_dict().keys()
    use_lean_split_attention(network)
    assert network.state_dict().keys() == names
    assert not any(isinstance(module, SplAtConv2d) for module in network.modules())


@pytest.mark.parametrize("settings", [{"radix": 1}, {"radix": 4}, {"groups": 2}])
def test_split_attention_rejects_other_kinds(settings: dict[str, object]) -> None:
    with pytest.raises(ValueError, match="two splits"):
        SplitAttention(library(**settings))

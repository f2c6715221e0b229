"""An accelerated network computes what the network computes."""

from __future__ import annotations

import copy
import shutil

import pytest
import torch
from torch import nn
from torchvision.models.mobilenetv2 import InvertedResidual
from torchvision.ops import Conv2dNormActivation

from scmn import VideoSegmenter
from scmn.errors import InputError
from scmn.inference.acceleration import inverted_residual
from scmn.inference.acceleration.fused_relu6 import FusedConvolutionReLU6, use_fused_relu6
from scmn.inference.acceleration.network import accelerate, compile_parts
from scmn.inference.acceleration.resampling import (
    FewChannelMaxPool2d,
    FewChannelUpsample,
    use_few_channel_resampling,
)
from scmn.networks.backbones import BACKBONES
from scmn.networks.base import MemoryNetwork
from scmn.networks.decoder import bilinear_upsampling
from scmn.networks.scmn import SCMN
from tests.conftest import build_small
from tests.inference.clips import TWO, video

CPU = torch.device("cpu")


def with_statistics(network: MemoryNetwork) -> MemoryNetwork:
    """Give every norm statistics and weights that are not neutral."""
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
        # The aggregated logits would be ill-conditioned where a probability is close to 0 or 1.
        return network.segment(query, memory, masks).auxiliary.logits


@pytest.mark.parametrize("name", ["scmn", "stm", "stcn"])
def test_accelerate_keeps_the_output_of_every_network(name: str) -> None:
    network = with_statistics(build_small(name))
    accelerated = accelerate(network, CPU, None)
    torch.testing.assert_close(segmented(accelerated), segmented(network), atol=1e-3, rtol=1e-4)
    assert not any(isinstance(module, nn.BatchNorm2d) for module in accelerated.modules())


@pytest.mark.parametrize("backbone", sorted(BACKBONES))
def test_accelerate_keeps_the_output_of_every_backbone(backbone: str) -> None:
    torch.manual_seed(0)
    network = SCMN(backbone, key_dim=8, value_dim=16, hidden_dim=16, refinement_dim=4)
    accelerated = accelerate(with_statistics(network), CPU, None)
    torch.testing.assert_close(segmented(accelerated), segmented(network), atol=1e-3, rtol=1e-4)
    assert not any(isinstance(module, nn.BatchNorm2d) for module in accelerated.modules())


@pytest.mark.parametrize("decoder", ["basnet", "stm"])
@pytest.mark.parametrize("refinement_input", ["features", "logits"])
def test_accelerate_keeps_the_output_of_every_form_of_scmn(
    decoder: str, refinement_input: str
) -> None:
    switches = {"decoder": decoder, "refinement_input": refinement_input, "other_masks": False}
    network = with_statistics(build_small("scmn", backbone="mobilenet_v2", **switches))
    accelerated = accelerate(network, CPU, None)
    torch.testing.assert_close(segmented(accelerated), segmented(network), atol=1e-3, rtol=1e-4)


def test_accelerate_does_not_change_the_network() -> None:
    network = build_small("scmn").train()
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    accelerated = accelerate(network, CPU, torch.bfloat16)
    assert network.training
    assert all(parameter.requires_grad for parameter in network.parameters())
    after = network.state_dict()
    assert all(torch.equal(after[name], tensor) for name, tensor in before.items())
    assert accelerated.decoder.predict.weight.dtype == torch.bfloat16


@pytest.mark.skipif(shutil.which("g++") is None, reason="compiling for the CPU needs a compiler")
def test_compiling_keeps_the_output() -> None:
    model = build_small("stm", backbone="resnet10_half")
    plain, compiled = (
        list(VideoSegmenter(model, compile=switch).run(video(3), TWO)) for switch in (False, True)
    )
    for one, other in zip(plain, compiled, strict=True):
        torch.testing.assert_close(one.probabilities, other.probabilities, atol=1e-5, rtol=1e-4)


def test_accelerate_takes_its_own_copies_for_the_same_purpose_alone() -> None:
    accelerated = accelerate(build_small("stm"), CPU, None)
    assert accelerate(accelerated, CPU, None) is accelerated
    with pytest.raises(InputError, match="give the network that the copy was made of"):
        accelerate(accelerated, CPU, torch.bfloat16)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_few_channel_resampling_equals_the_library(dtype: torch.dtype) -> None:
    modules = nn.Sequential(bilinear_upsampling(2), nn.MaxPool2d(2))
    maps = torch.rand(2, 3, 6, 10).to(dtype)
    expected = modules(maps)
    use_few_channel_resampling(modules)
    assert [type(module) for module in modules] == [FewChannelUpsample, FewChannelMaxPool2d]
    torch.testing.assert_close(modules(maps), expected)


@pytest.mark.skipif(not torch.backends.mkldnn.is_available(), reason="oneDNN fuses the two")
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_fused_relu6_equals_the_two_modules(dtype: torch.dtype) -> None:
    torch.manual_seed(0)
    separate = nn.Sequential()
    for channels, groups, stride in ((8, 1, 1), (16, 16, 2), (16, 16, 1)):
        inputs = 16 if groups > 1 else channels
        block = Conv2dNormActivation(
            inputs, 16, stride=stride, groups=groups, activation_layer=nn.ReLU6
        )
        block[0].bias = nn.Parameter(8 * torch.rand(16))
        block[1] = nn.Identity()
        separate.append(block)
    separate.to(dtype)
    fused = copy.deepcopy(separate)
    use_fused_relu6(fused)
    assert all(isinstance(block, FusedConvolutionReLU6) for block in fused)
    x = 4 * torch.randn(2, 8, 24, 40, dtype=dtype)
    with torch.inference_mode():
        assert torch.equal(fused(x), separate(x.clone()))
        assert fused(100 * x).amax() == 6


def test_compilation_survives_many_object_counts_and_sizes() -> None:
    """Torch compiles a part for at most eight of them; then it would silently run it as it is."""
    plain, compiled = (build_small("scmn", backbone="resnet10") for _ in range(2))
    compile_parts(compiled, backend="eager")
    torch._dynamo.reset()
    with torch.no_grad(), torch._dynamo.config.patch(fail_on_recompile_limit_hit=True):
        for objects in range(1, 11):
            image = torch.rand(1, 3, 32, 16 * objects + 16)
            masks = torch.rand(1, objects, *image.shape[-2:])
            results = []
            for network in (plain, compiled):
                query = network.encode_query(image)
                memory = network.encode_memory(image, masks, query)
                results.append(network.segment(query, memory, masks).probabilities)
            torch.testing.assert_close(*results)
    torch._dynamo.reset()


@torch.no_grad()
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
@pytest.mark.parametrize("lines", [1, 3, 100])
@pytest.mark.parametrize(("stride", "height"), [(1, 10), (2, 10), (2, 9)])
def test_banded_inverted_residual_equals_the_whole_map(
    stride: int, height: int, lines: int, dtype: torch.dtype, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(inverted_residual, "WHOLE_BYTES", 0)
    monkeypatch.setattr(inverted_residual, "BAND_BYTES", 1)
    monkeypatch.setattr(inverted_residual, "MIN_LINES", lines)
    torch.manual_seed(0)
    block = InvertedResidual(8, 8, stride=stride, expand_ratio=6).eval().to(dtype)
    x = torch.randn(2, 8, height, 7, dtype=dtype)
    expected = block(x)
    inverted_residual.use_banded_inverted_residuals(block)
    assert isinstance(block, inverted_residual.BandedInvertedResidual)
    torch.testing.assert_close(block(x), expected)

"""The blocks that the networks are made of."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from resnest.torch.resnet import Bottleneck
from torch import Tensor, nn

from scmn.networks.aggregation import soft_aggregation
from scmn.networks.backbones import BACKBONES, IMAGENET_MEAN, IMAGENET_STD, build_trunk
from scmn.networks.decoder import (
    ConcatenationBlock,
    Decoder,
    DecoderKind,
    RefineBlock,
    ResidualBlock,
    bilinear_upsampling,
)
from scmn.networks.encoders import KeyValueProjection, MemoryEncoder
from scmn.networks.refinement import Refinement
from scmn.networks.segmentation_head import SegmentationHead
from scmn.networks.spatial_constraint import ConstraintEmbedding, SpatialConstraint
from scmn.networks.split_attention import SplitAttention
from scmn.networks.stcn import FeatureFusion


@torch.no_grad()
@pytest.mark.parametrize("backbone", BACKBONES)
def test_trunk_has_the_listed_strides_and_channels(backbone: str) -> None:
    trunk = build_trunk(backbone).eval()
    features = trunk(torch.rand(1, 3, 64, 96))
    maps = (features.stride4, features.stride8, features.stride16)
    assert tuple(m.shape[1] for m in maps) == BACKBONES[backbone].channels
    assert [tuple(m.shape[-2:]) for m in maps] == [(16, 24), (8, 12), (4, 6)]


@pytest.mark.parametrize("backbone", ["resnest14", "resnest50"])
def test_resnest_uses_split_attention(backbone: str) -> None:
    blocks = [
        module for module in build_trunk(backbone).modules() if isinstance(module, Bottleneck)
    ]
    assert blocks
    assert all(isinstance(block.conv2, SplitAttention) for block in blocks)


def test_build_trunk_rejects_unknown_backbones() -> None:
    with pytest.raises(ValueError, match="resnet51"):
        build_trunk("resnet51")


def test_trunk_names_are_those_of_the_classification_network() -> None:
    network = BACKBONES["resnet18"].build()
    assert set(build_trunk("resnet18").state_dict()) <= set(network.state_dict())


@torch.no_grad()
@pytest.mark.parametrize("backbone", ["resnet18", "resnest14"])
def test_memory_encoder_equals_a_convolution_of_five_channels(backbone: str) -> None:
    torch.manual_seed(0)
    encoder = MemoryEncoder(backbone).eval()
    image = torch.rand(1, 3, 32, 48)
    mask, others = torch.rand(1, 2, 32, 48), torch.rand(1, 2, 32, 48)
    features = encoder(image, mask, others)

    first = encoder.trunk.first_convolution
    joined = nn.Conv2d(5, first.out_channels, first.kernel_size, first.stride, first.padding)
    stems = (first.weight, encoder.object_stem.weight, encoder.others_stem.weight)
    joined.weight.copy_(torch.cat(stems, dim=1))
    joined.bias.zero_()
    mean, std = (torch.tensor(x).view(3, 1, 1) for x in (IMAGENET_MEAN, IMAGENET_STD))
    normalised = (image - mean) / std
    for n in range(2):
        stacked = torch.cat([normalised, mask[:, n : n + 1], others[:, n : n + 1]], dim=1)
        expected = encoder.trunk.stages(joined(stacked)).stride16
        torch.testing.assert_close(features[n : n + 1], expected, atol=1e-4, rtol=1e-4)


@torch.no_grad()
def test_memory_encoder_with_empty_masks_equals_the_trunk() -> None:
    encoder = MemoryEncoder("resnet18").eval()
    image, empty = torch.rand(1, 3, 32, 32), torch.zeros(1, 1, 32, 32)
    features = encoder(image, empty, empty)
    torch.testing.assert_close(features, encoder.trunk(image).stride16)


def test_key_value_projection_has_key_and_value_channels() -> None:
    key, value = KeyValueProjection(12, 4, 8)(torch.rand(2, 12, 3, 5))
    assert key.shape == (2, 4, 3, 5)
    assert value.shape == (2, 8, 3, 5)


def test_segmentation_head_has_dilations_2_4_8() -> None:
    head = SegmentationHead(12, 6)
    convolutions = [m for m in head.branches if isinstance(m, nn.Conv2d)]
    assert [c.dilation for c in convolutions] == [(2, 2), (4, 4), (8, 8)]
    assert [c.padding for c in convolutions] == [(2, 2), (4, 4), (8, 8)]
    assert all(c.kernel_size == (3, 3) for c in convolutions)
    assert head.projection.kernel_size == (1, 1)
    assert head(torch.rand(2, 12, 5, 7)).shape == (2, 6, 5, 7)


@pytest.mark.parametrize("seen", ["raw", "direction"])
def test_spatial_constraint_gates_by_its_prior(seen: ConstraintEmbedding) -> None:
    torch.manual_seed(0)
    module = SpatialConstraint(6, embedding=seen)
    embedding, previous = torch.randn(2, 6, 4, 5), torch.rand(2, 1, 4, 5)
    gated, prior = module(embedding, previous)
    assert prior.shape == (2, 1, 4, 5)
    assert bool(((prior > 0) & (prior < 1)).all())
    torch.testing.assert_close(gated, embedding * prior)
    _, prior_elsewhere = module(embedding, 1 - previous)
    assert not torch.allclose(prior, prior_elsewhere)


@pytest.mark.parametrize(
    ("seen", "magnitude"),
    [("direction", 0.01), ("direction", 1.0), ("direction", 1000.0), ("raw", 1.0), ("raw", 10.0)],
)
def test_untrained_spatial_prior_is_open_and_follows_the_mask(
    seen: ConstraintEmbedding, magnitude: float
) -> None:
    torch.manual_seed(0)
    module = SpatialConstraint(64, embedding=seen)
    mask = torch.zeros(1, 1, 12, 12)
    mask[..., 3:7, 3:7] = 1
    _, prior = module(magnitude * torch.randn(1, 64, 12, 12), mask)
    assert bool((prior[mask > 0] > 0.97).all())
    assert 0.85 < prior[..., 8:, 8:].mean().item() < 0.95


def test_raw_spatial_constraint_is_the_described_convolution() -> None:
    torch.manual_seed(0)
    module = SpatialConstraint(6, embedding="raw")
    embedding, previous = 5 * torch.randn(2, 6, 4, 5), torch.rand(2, 1, 4, 5)
    joined = torch.cat([previous, embedding / 54**0.5], dim=1)  # 54 taps see the embedding
    expected = nn.functional.conv2d(
        joined, module.convolution.weight, module.convolution.bias, padding=1
    )
    assert module.convolution.kernel_size == (3, 3)
    torch.testing.assert_close(module(embedding, previous)[1], expected.sigmoid())


@pytest.mark.parametrize("seen", ["raw", "direction"])
def test_first_steps_do_not_close_the_spatial_prior(seen: ConstraintEmbedding) -> None:
    torch.manual_seed(0)
    module = SpatialConstraint(96, embedding=seen)
    optimizer = torch.optim.AdamW(module.parameters(), 5e-4)
    for _ in range(50):  # as if everything were background
        embedding = torch.randn(4, 96, 12, 12).relu()
        gated, prior = module(embedding, torch.zeros(4, 1, 12, 12))
        optimizer.zero_grad()
        gated.mean().backward()
        optimizer.step()
    assert prior.mean().item() > 0.5


def test_residual_block_with_zero_weights_is_its_shortcut() -> None:
    block = ResidualBlock(4, 4)
    for parameter in block.parameters():
        nn.init.zeros_(parameter)
    x = torch.randn(1, 4, 5, 5)
    torch.testing.assert_close(block(x), x)
    assert ResidualBlock(4, 8)(x).shape == (1, 8, 5, 5)


@pytest.mark.parametrize("residual_skip", [True, False])
def test_refine_block_shares_the_skip_over_objects(residual_skip: bool) -> None:
    torch.manual_seed(0)
    block = RefineBlock(6, 4, 3, residual_skip=residual_skip)
    x, features = torch.randn(2 * 3, 4, 4, 5), torch.randn(2, 6, 8, 10)
    refined = block(x, block.skip(features))
    assert refined.shape == (6, 3, 8, 10)
    for clip in range(2):
        for n in range(3):
            alone = block(x[3 * clip + n][None], block.skip(features[clip][None]))
            torch.testing.assert_close(refined[3 * clip + n][None], alone, atol=1e-5, rtol=1e-4)


def test_concatenation_block_convolves_the_map_and_the_skip_of_every_object() -> None:
    torch.manual_seed(0)
    block = ConcatenationBlock(6, 4, 3)
    x, features = torch.randn(2 * 3, 4, 4, 5), torch.randn(2, 6, 8, 10)
    first = nn.Conv2d(4 + 6, 4, kernel_size=3, padding=1)
    weights = (block.conv1.weight, block.skip_projection.weight)
    first.load_state_dict(
        {"weight": torch.cat(weights, dim=1), "bias": block.skip_projection.bias.data}
    )
    joined = torch.cat([bilinear_upsampling(2)(x), features.repeat_interleave(3, dim=0)], dim=1)
    expected = joined
    for convolution in (first, block.conv2, block.conv3):
        expected = convolution(expected).relu()
    assert expected.shape == (6, 3, 8, 10)
    torch.testing.assert_close(block(x, block.skip(features)), expected, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize(("kind", "logits"), [("stm", 2), ("stcn", 1), ("basnet", 2)])
def test_decoder_reaches_full_resolution(kind: DecoderKind, logits: int) -> None:
    decoder = Decoder(8, (8, 6, 4), (10, 5), kind=kind, logits=logits)
    skips = decoder.skips(torch.rand(1, 10, 4, 6), torch.rand(1, 5, 8, 12))
    decoded = decoder(torch.rand(3, 8, 2, 3), skips)
    assert decoded.logits.shape == (3, logits, 32, 48)
    assert decoded.features.shape == (3, 4, 8, 12)
    predicted = decoder.upsample(decoder.predict(decoded.features))
    torch.testing.assert_close(decoded.logits, predicted)


@pytest.mark.parametrize("features", [None, 6])
def test_refinement_adds_to_the_logits(features: int | None) -> None:
    module = Refinement(4, logits=2, features=features)
    logits, maps = torch.randn(3, 2, 32, 48), torch.randn(3, 6, 8, 12)
    assert module(logits, maps).shape == logits.shape
    assert not torch.allclose(module(logits, maps), logits)
    nn.init.zeros_(module.exit.weight)
    assert module.exit.bias is not None
    nn.init.zeros_(module.exit.bias)
    torch.testing.assert_close(module(logits, maps), logits)


def test_feature_fusion_repeats_the_image_for_its_objects() -> None:
    torch.manual_seed(0)
    fusion = FeatureFusion(3 + 5, 32)
    objects, image = torch.randn(2 * 2, 3, 4, 4), torch.randn(2, 5, 4, 4)
    fused = fusion(objects, image)
    assert fused.shape == (4, 32, 4, 4)
    torch.testing.assert_close(fused[3:], fusion(objects[3:], image[1:]), atol=1e-5, rtol=1e-4)


@settings(max_examples=50, deadline=None)
@given(st.lists(st.floats(0, 1, width=32), min_size=1, max_size=6))
def test_soft_aggregation_keeps_the_objects_order(
    values: list[float],
) -> None:
    objects = torch.tensor(values).view(1, -1, 1, 1)
    probabilities, logits = soft_aggregation(objects)
    assert probabilities.shape == logits.shape == (1, len(values) + 1, 1, 1)
    assert torch.isfinite(logits).all()
    torch.testing.assert_close(probabilities.sum(), torch.tensor(1.0))
    order = probabilities[0, 1:, 0, 0]
    for i, first in enumerate(values):
        for j, second in enumerate(values):
            if first > second:
                assert order[i] >= order[j]


def test_soft_aggregation_equals_the_formula() -> None:
    def odds(p: float) -> float:
        return p / (1 - p)

    probabilities, _ = soft_aggregation(torch.tensor([[[[0.8]], [[0.3]]]]))
    background = (1 - 0.8) * (1 - 0.3)
    weights = torch.tensor([odds(background), odds(0.8), odds(0.3)])
    torch.testing.assert_close(probabilities[0, :, 0, 0], weights / weights.sum())


def test_soft_aggregation_is_float32_and_differentiable() -> None:
    objects = torch.full((1, 2, 2, 2), 0.5, dtype=torch.bfloat16, requires_grad=True)
    probabilities, logits = soft_aggregation(objects)
    assert probabilities.dtype == logits.dtype == torch.float32
    probabilities[:, 1].sum().backward()
    gradient: Tensor | None = objects.grad
    assert gradient is not None
    assert torch.isfinite(gradient).all()

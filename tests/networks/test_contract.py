"""Shapes and invariants of every network, for any grouping of objects."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from scmn.networks.base import MemoryNetwork
from scmn.networks.features import MemoryFrames, Segmentation
from tests.conftest import build_small

HEIGHT, WIDTH = 48, 64


def clip(batch: int = 1, objects: int = 3) -> tuple[Tensor, Tensor]:
    """Return an image (B, 3, H, W) and soft masks (B, N, H, W) that sum to at most 1."""
    generator = torch.Generator().manual_seed(1)
    image = torch.rand(batch, 3, HEIGHT, WIDTH, generator=generator)
    masks = torch.rand(batch, objects + 1, HEIGHT, WIDTH, generator=generator).softmax(dim=1)
    return image, masks[:, 1:]


def segment(model: MemoryNetwork, image: Tensor, masks: Tensor, **settings: object) -> Segmentation:
    query = model.encode_query(image)
    memory = model.encode_memory(image, masks, query)
    return model.segment(query, memory, masks, **settings)  # type: ignore[arg-type]


@torch.no_grad()
def test_networks_have_the_documented_shapes(small_model: MemoryNetwork) -> None:
    image, masks = clip(batch=2)
    query = small_model.encode_query(image)
    assert query.key.shape == (2, small_model.key_dim, 3, 4)
    assert query.value.shape[::2] == (2, 3)
    assert [f.shape[-1] for f in (query.stride16, query.stride8, query.stride4)] == [4, 8, 16]

    memory = small_model.encode_memory(image, masks, query)
    keys = 1 if small_model.shared_key else 3
    assert memory.key.shape == (2, keys, small_model.key_dim, 1, 3, 4)
    assert memory.value.shape == (2, 3, small_model.value_dim, 1, 3, 4)
    assert small_model.read(query, memory)[0].shape == (2, 3, small_model.value_dim, 3, 4)

    segmentation = small_model.segment(query, memory, masks)
    assert segmentation.probabilities.shape == (2, 4, HEIGHT, WIDTH)
    assert segmentation.logits.shape == (2, 4, HEIGHT, WIDTH)
    assert segmentation.auxiliary.logits.shape[:2] == (2, 3)


@torch.no_grad()
def test_probabilities_are_the_softmax_of_the_logits(small_model: MemoryNetwork) -> None:
    segmentation = segment(small_model, *clip())
    torch.testing.assert_close(segmentation.logits.softmax(dim=1), segmentation.probabilities)
    ones = torch.ones(1, HEIGHT, WIDTH)
    torch.testing.assert_close(segmentation.probabilities.sum(dim=1), ones)


@torch.no_grad()
def test_objects_per_batch_does_not_change_the_result(small_model: MemoryNetwork) -> None:
    image, masks = clip(objects=5)
    whole = segment(small_model, image, masks).probabilities
    chunked = segment(small_model, image, masks, objects_per_batch=2).probabilities
    torch.testing.assert_close(chunked, whole, atol=1e-5, rtol=1e-5)
    parts = small_model.encode_memory(image, masks, objects_per_batch=2)
    at_once = small_model.encode_memory(image, masks)
    torch.testing.assert_close(parts.value, at_once.value, atol=1e-5, rtol=1e-4)


@torch.no_grad()
def test_groups_of_objects_do_not_change_the_result(small_model: MemoryNetwork) -> None:
    image, masks = clip(objects=4)
    query = small_model.encode_query(image)
    memory = small_model.encode_memory(image, masks, query)
    groups = [memory.objects(slice(0, 1)), memory.objects(slice(1, 4))]
    whole = small_model.segment(query, memory, masks).probabilities
    grouped = small_model.segment(query, groups, masks).probabilities
    torch.testing.assert_close(grouped, whole, atol=1e-5, rtol=1e-5)


@torch.no_grad()
def test_result_does_not_depend_on_the_order_of_objects(small_model: MemoryNetwork) -> None:
    image, masks = clip(objects=3)
    order = [2, 0, 1]
    expected = segment(small_model, image, masks).probabilities[:, [0, *(i + 1 for i in order)]]
    permuted = segment(small_model, image, masks[:, order]).probabilities
    torch.testing.assert_close(permuted, expected, atol=1e-5, rtol=1e-4)


@torch.no_grad()
def test_clips_of_a_batch_are_independent(small_model: MemoryNetwork) -> None:
    image, masks = clip(batch=2)
    both = segment(small_model, image, masks).probabilities
    second = segment(small_model, image[1:], masks[1:]).probabilities
    torch.testing.assert_close(both[1:], second, atol=1e-5, rtol=1e-4)


@torch.no_grad()
def test_absent_objects_do_not_affect_their_clip(small_model: MemoryNetwork) -> None:
    image, masks = clip(batch=2)
    masks[1, 2] = 0
    valid = torch.tensor([[True, True, True], [True, True, False]])
    both = segment(small_model, image, masks, valid_objects=valid)
    alone = segment(small_model, image[1:], masks[1:, :2])
    probabilities = both.probabilities[1:]
    torch.testing.assert_close(probabilities[:, :3], alone.probabilities, atol=1e-5, rtol=1e-4)
    assert not probabilities[:, 3].any()
    assert bool((both.logits[1, 3] == -torch.inf).all())
    every = segment(small_model, image, masks, valid_objects=torch.ones_like(valid))
    assert torch.equal(every.probabilities, segment(small_model, image, masks).probabilities)


@torch.no_grad()
def test_read_of_a_duplicated_memory_is_unchanged(small_model: MemoryNetwork) -> None:
    image, masks = clip()
    query = small_model.encode_query(image)
    frame = small_model.encode_memory(image, masks, query)
    joined = MemoryFrames.join([frame, frame])
    assert joined.key.shape[3] == 2
    # Every position occurs twice, and each has half the weight.
    torch.testing.assert_close(
        small_model.read(query, joined)[0], small_model.read(query, frame)[0], atol=1e-5, rtol=1e-4
    )


def test_gradient_reaches_every_parameter(small_model: MemoryNetwork) -> None:
    image, masks = clip()
    query = small_model.encode_query(image)
    memory = small_model.encode_memory(image, masks, query)
    previous = small_model.segment(query, memory, masks).probabilities[:, 1:]
    memory = MemoryFrames.join([memory, small_model.encode_memory(image, previous, query)])
    segmentation = small_model.segment(query, memory, previous)
    segmentation.logits.square().mean().backward()
    without = [
        name
        for name, parameter in small_model.named_parameters()
        if parameter.grad is None or not parameter.grad.abs().sum() > 0
    ]
    assert without == []


def test_scmn_requires_the_previous_masks() -> None:
    model = build_small("scmn")
    image, masks = clip()
    query = model.encode_query(image)
    memory = model.encode_memory(image, masks, query)
    with pytest.raises(ValueError, match="previous"):
        model.segment(query, memory)

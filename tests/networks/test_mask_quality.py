"""SCMN's estimate of the IoU of its masks: what it depends on, and that nothing depends on it."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import Tensor

from scmn.networks.base import MemoryNetwork
from scmn.networks.features import QueryFeatures
from tests.conftest import build_small
from tests.networks.test_contract import clip, segment


@pytest.fixture
def network() -> MemoryNetwork:
    return build_small("scmn", mask_quality=True)


def quality(network: MemoryNetwork, image: Tensor, masks: Tensor, **settings: object) -> Tensor:
    estimate = segment(network, image, masks, **settings).quality
    assert estimate is not None
    return estimate


@torch.no_grad()
def test_quality_is_a_number_for_each_object(network: MemoryNetwork) -> None:
    estimate = quality(network, *clip(batch=2))
    assert network.estimates_quality
    assert estimate.shape == (2, 3)
    assert estimate.dtype == torch.float32
    assert ((estimate > 0) & (estimate < 1)).all()
    assert estimate.unique().numel() == 6


@torch.no_grad()
def test_masks_do_not_depend_on_the_switch(network: MemoryNetwork) -> None:
    """Neither do the initial weights of the other parts."""
    without = build_small("scmn")
    states = [m.state_dict() for m in (network, without)]
    assert all(torch.equal(states[0][name], tensor) for name, tensor in states[1].items())
    ours, theirs = segment(network, *clip()), segment(without, *clip())
    assert theirs.quality is None
    assert torch.equal(ours.probabilities, theirs.probabilities)
    assert torch.equal(ours.logits, theirs.logits)


def test_gradients_stay_in_the_estimate(network: MemoryNetwork) -> None:
    quality(network, *clip()).sum().backward()
    reached = {name for name, p in network.named_parameters() if p.grad is not None}
    own = {name for name, _ in network.named_parameters() if name.startswith("mask_quality.")}
    assert reached == own
    changing = {name for name in own if network.get_parameter(name).grad.any()}
    assert changing == own


@torch.no_grad()
def test_quality_does_not_depend_on_how_objects_are_batched(network: MemoryNetwork) -> None:
    image, masks = clip(batch=2, objects=4)
    expected = quality(network, image, masks)
    chunked = quality(network, image, masks, objects_per_batch=3)
    torch.testing.assert_close(chunked, expected, atol=1e-5, rtol=0)
    query = network.encode_query(image)
    memory = network.encode_memory(image, masks, query)
    groups = [memory.objects(slice(0, 1)), memory.objects(slice(1, 4))]
    grouped = network.segment(query, groups, masks).quality
    torch.testing.assert_close(grouped, expected, atol=1e-5, rtol=0)
    order = [2, 0, 3, 1]
    torch.testing.assert_close(
        quality(network, image, masks[:, order]), expected[:, order], atol=1e-5, rtol=0
    )
    second = quality(network, image[1:], masks[1:])
    torch.testing.assert_close(second, expected[1:], atol=1e-5, rtol=0)


@torch.no_grad()
def test_quality_is_unaffected_by_absent_objects(network: MemoryNetwork) -> None:
    image, masks = clip()
    masks[:, 2] = 0
    valid = torch.tensor([[True, True, False]])
    beside = quality(network, image, masks, valid_objects=valid)
    alone = quality(network, image, masks[:, :2])
    torch.testing.assert_close(beside[:, :2], alone, atol=1e-5, rtol=0)


@torch.no_grad()
@pytest.mark.parametrize("changed", ["stride4", "value", "readout", "mask", "others"])
def test_quality_sees_the_frame_the_memory_and_the_masks(
    network: MemoryNetwork, changed: str
) -> None:
    image, masks = clip()
    query = network.encode_query(image)
    readout = torch.rand(1, 3, 32, 3, 4)
    probabilities = torch.cat([1 - masks.sum(dim=1, keepdim=True), masks], dim=1)

    def estimate(query: QueryFeatures, readout: Tensor, probabilities: Tensor) -> Tensor:
        result = network.estimate_quality(query, [readout], probabilities)
        assert result is not None
        return result[0, 0]

    before = estimate(query, readout, probabilities)
    if changed in ("stride4", "value"):
        query = replace(query, **{changed: getattr(query, changed) + 1})
    elif changed == "readout":
        readout = readout + 1
    elif changed == "mask":
        probabilities[:, 0] += 0.9 * probabilities[:, 1]
        probabilities[:, 1] *= 0.1
    else:  # the background's share goes to the second object
        probabilities[:, 2] += probabilities[:, 0]
        probabilities[:, 0] = 0
    assert not torch.allclose(estimate(query, readout, probabilities), before, atol=1e-4)


@torch.no_grad()
def test_quality_of_an_empty_mask_is_finite(network: MemoryNetwork) -> None:
    image, _ = clip()
    query = network.encode_query(image)
    probabilities = torch.zeros(1, 4, *image.shape[-2:])
    probabilities[:, 0] = 1
    estimate = network.estimate_quality(query, [torch.zeros(1, 3, 32, 3, 4)], probabilities)
    assert estimate is not None
    assert ((estimate > 0) & (estimate < 1)).all()


@torch.no_grad()
def test_quality_in_bfloat16_is_close(network: MemoryNetwork) -> None:
    expected = quality(network, *clip())
    with torch.autocast("cpu", torch.bfloat16):
        obtained = quality(network, *clip())
    assert obtained.dtype == torch.float32
    torch.testing.assert_close(obtained, expected, atol=0.02, rtol=0)

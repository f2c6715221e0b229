"""SCMN as described, its switches, and that it is STM with all of them at STM's setting."""

from __future__ import annotations

import pytest
import torch

from scmn import InputError, build_model
from tests.conftest import build_small
from tests.networks.test_contract import clip, segment

PARTS = {"head": False, "spatial_constraint": False, "refinement": False}
AS_STM = {**PARTS, "read_concat": "value", "decoder": "stm"}
CHOICES = {
    "read_concat": "value",
    "decoder": "stm",
    "refinement_input": "logits",
    "constraint_embedding": "direction",
    "memory_key": "frame",
    "similarity": "l2",
}


@torch.no_grad()
@pytest.mark.parametrize("unused", [{}, {**CHOICES, "memory_key": "object", "similarity": "dot"}])
def test_scmn_at_the_setting_of_stm_is_stm(unused: dict[str, str]) -> None:
    """At full size, with ResNet-50 trunks: the same state-dict names and the same output.

    Choices about parts that are off do not matter.
    """
    stm = build_model("stm")
    scmn = build_model("scmn", backbone="resnet50", **{**unused, **AS_STM})
    scmn.load_state_dict(stm.state_dict())
    assert not scmn.uses_previous_masks
    image, masks = clip()
    expected = segment(stm, image, masks)
    obtained = segment(scmn, image, masks)
    assert torch.equal(obtained.probabilities, expected.probabilities)


def test_scmn_is_built_as_described() -> None:
    """docs/scmn.md says for each sentence of the description which of these it asks for."""
    scmn = build_model("scmn")
    assert scmn.query_encoder.trunk.backbone == scmn.memory_encoder.trunk.backbone == "resnest50"
    shapes = {name: tuple(p.shape[:2]) for name, p in scmn.named_parameters() if p.dim() == 4}
    assert not any(name.startswith("query_projection.value") for name in shapes)
    for branch in range(3):
        assert shapes[f"head.branches.{branch}.weight"] == (256, 512 + 128)
    assert shapes["spatial_constraint.convolution.weight"] == (1, 256 + 1)
    for stage, skip in (("refine8", 512), ("refine4", 256)):
        assert shapes[f"decoder.{stage}.skip_projection.weight"] == (256, skip)
        assert [shapes[f"decoder.{stage}.conv{n}.weight"] for n in (1, 2, 3)] == 3 * [(256, 256)]
    assert shapes["decoder.predict.weight"] == (2, 256)
    assert shapes["refinement.feature_entry.convolution.weight"] == (64, 256)
    assert "decoder.residual.conv1.weight" not in shapes
    assert not scmn.shared_key
    assert scmn.similarity == "dot"


@torch.no_grad()
@pytest.mark.parametrize("name", ["stm", "scmn"])
def test_decoder_dim_narrows_the_decoder(name: str) -> None:
    image, masks = clip()
    switches = {"decoder": "stm"} if name == "scmn" else {}
    narrow = build_small(name, hidden_dim=16, decoder_dim=8, **switches)
    widths = {n: w.shape[:2] for n, w in narrow.decoder.named_parameters() if w.dim() == 4}
    assert widths["residual.conv1.weight"] == (16, 16)
    assert widths["refine8.residual.conv1.weight"] == (8, 16)
    assert widths["refine4.skip_residual.conv1.weight"] == (8, 8)
    assert segment(narrow, image, masks).probabilities.shape == (1, 4, 48, 64)


@torch.no_grad()
@pytest.mark.parametrize("switch", PARTS)
def test_switch_removes_its_part(switch: str) -> None:
    image, masks = clip()
    full, without = build_small("scmn"), build_small("scmn", **{switch: False})
    assert len(without.state_dict()) < len(full.state_dict())
    maps = segment(without, image, masks).auxiliary
    assert (maps.spatial_prior is None) == (switch == "spatial_constraint")
    assert (maps.coarse_logits is None) == (switch == "refinement")


@torch.no_grad()
def test_spatial_prior_depends_on_the_previous_mask() -> None:
    model = build_small("scmn")
    image, masks = clip(objects=2)
    query = model.encode_query(image)
    memory = model.encode_memory(image, masks, query)
    here = model.segment(query, memory, masks).auxiliary.spatial_prior
    elsewhere = model.segment(query, memory, masks.flip(-1)).auxiliary.spatial_prior
    assert here is not None
    assert elsewhere is not None
    assert here.shape == (1, 2, 1, 3, 4)
    assert not torch.allclose(here, elsewhere)


@torch.no_grad()
@pytest.mark.parametrize("head", [True, False])
def test_read_concat_joins_the_readout_with_the_query_key(head: bool) -> None:
    image, masks = clip()
    value = build_small("scmn", head=head, read_concat="value")
    key = build_small("scmn", head=head)
    query = key.encode_query(image)
    assert query.value is query.key
    assert segment(key, image, masks).probabilities.shape == (1, 4, 48, 64)
    sizes = [sum(p.numel() for p in m.head.parameters()) for m in (key, value)]
    assert sizes[0] < sizes[1]


@torch.no_grad()
@pytest.mark.parametrize("switch", ["decoder", "refinement_input", "constraint_embedding"])
def test_choices_change_the_masks(switch: str) -> None:
    image, masks = clip()
    described, other = build_small("scmn"), build_small("scmn", **{switch: CHOICES[switch]})
    ours, theirs = described.state_dict(), other.state_dict()
    other.load_state_dict({n: w for n, w in ours.items() if n in theirs}, strict=False)
    changed = segment(other, image, masks).probabilities
    assert not torch.allclose(changed, segment(described, image, masks).probabilities)


@torch.no_grad()
def test_features_of_the_decoder_reach_the_refinement() -> None:
    image, masks = clip()
    model = build_small("scmn")
    before = segment(model, image, masks).auxiliary
    model.get_parameter("refinement.feature_entry.convolution.weight").zero_()
    after = segment(model, image, masks).auxiliary
    assert before.coarse_logits is not None
    assert after.coarse_logits is not None
    assert torch.equal(before.coarse_logits, after.coarse_logits)
    assert not torch.allclose(before.logits, after.logits)


@torch.no_grad()
@pytest.mark.parametrize("other_masks", [True, False])
def test_other_masks_are_seen_by_the_memory_encoder(other_masks: bool) -> None:
    image, masks = clip(objects=2)
    model = build_small("scmn", other_masks=other_masks)
    both = model.encode_memory(image, masks).value[:, 0]
    alone = model.encode_memory(image, masks[:, :1]).value[:, 0]
    assert torch.allclose(both, alone, atol=1e-5) != other_masks


@pytest.mark.parametrize("switch", CHOICES)
def test_choices_reject_unknown_values(switch: str) -> None:
    with pytest.raises(InputError, match=switch):
        build_small("scmn", **{switch: "both"})


@torch.no_grad()
def test_memory_key_frame_shares_the_key_of_the_frame() -> None:
    model = build_small("scmn", memory_key="frame", similarity="l2")
    image, masks = clip()
    query = model.encode_query(image)
    memory = model.encode_memory(image, masks, query)
    assert torch.equal(memory.key[:, 0, :, 0], query.key)
    assert memory.value.shape[1] == masks.shape[1]
    assert not any("memory_projection.key" in name for name in model.state_dict())
    chunked = segment(model, image, masks, objects_per_batch=2).probabilities
    torch.testing.assert_close(chunked, segment(model, image, masks).probabilities)

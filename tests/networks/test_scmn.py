"""SCMN's switches; with all of them off it is STM."""

from __future__ import annotations

import pytest
import torch

from scmn import InputError, build_model
from tests.conftest import build_small
from tests.networks.test_contract import clip, segment

OFF = {"head": False, "spatial_constraint": False, "refinement": False}


@torch.no_grad()
def test_scmn_without_its_parts_is_stm() -> None:
    """At full size, with ResNet-50 trunks: the same state-dict names and the same output."""
    stm = build_model("stm")
    scmn = build_model("scmn", backbone="resnet50", **OFF)
    scmn.load_state_dict(stm.state_dict())
    assert not scmn.uses_previous_masks
    image, masks = clip()
    expected = segment(stm, image, masks)
    obtained = segment(scmn, image, masks)
    assert torch.equal(obtained.probabilities, expected.probabilities)


@torch.no_grad()
@pytest.mark.parametrize("name", ["stm", "scmn"])
def test_decoder_dim_narrows_the_decoder(name: str) -> None:
    image, masks = clip()
    narrow = build_small(name, hidden_dim=16, decoder_dim=8)
    widths = {n: w.shape[:2] for n, w in narrow.decoder.named_parameters() if w.dim() == 4}
    assert widths["residual.conv1.weight"] == (16, 16)
    assert widths["refine8.residual.conv1.weight"] == (8, 16)
    assert widths["refine4.skip_residual.conv1.weight"] == (8, 8)
    assert segment(narrow, image, masks).probabilities.shape == (1, 4, 48, 64)


def test_scmn_has_resnest50_trunks_by_default() -> None:
    names = set(build_model("scmn").state_dict())
    assert "memory_encoder.trunk.layer3.5.conv2.fc2.weight" in names
    assert "query_encoder.trunk.layer3.5.conv2.fc2.weight" in names


@torch.no_grad()
@pytest.mark.parametrize("switch", OFF)
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
    value = build_small("scmn", head=head)
    key = build_small("scmn", head=head, read_concat="key")
    assert segment(key, image, masks).probabilities.shape == (1, 4, 48, 64)
    sizes = [sum(p.numel() for p in m.head.parameters()) for m in (key, value)]
    assert sizes[0] < sizes[1]


def test_read_concat_rejects_unknown_values() -> None:
    with pytest.raises(InputError, match="read_concat"):
        build_small("scmn", read_concat="both")


@pytest.mark.parametrize("switch", ["memory_key", "similarity"])
def test_addressing_rejects_unknown_values(switch: str) -> None:
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

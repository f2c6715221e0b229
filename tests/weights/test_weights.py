"""Files of weights: what is written and read, and how they differ from a network."""

from __future__ import annotations

import json
import logging
import re
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from scmn import InputError, build_model, save_weights
from scmn.networks.base import MemoryNetwork
from scmn.networks.registry import FORMER_SETTINGS, MODELS
from scmn.weights.files import read_weights
from tests.conftest import SMALL, build_small, small_settings


def perturbed(name: str) -> MemoryNetwork:
    """Return a small network whose weights are not those that ``build_small`` makes."""
    model = build_small(name)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.01)
    return model


def equal(first: MemoryNetwork, second: MemoryNetwork) -> bool:
    ours, theirs = first.state_dict(), second.state_dict()
    return ours.keys() == theirs.keys() and all(torch.equal(ours[k], theirs[k]) for k in ours)


@pytest.mark.parametrize("name", ["scmn", "stm", "stcn"])
def test_save_weights_round_trip_needs_no_settings(name: str, tmp_path: Path) -> None:
    """The file knows the settings of its network."""
    model = perturbed(name)
    save_weights(model, tmp_path / "w.safetensors")
    assert equal(build_model(name, weights=tmp_path / "w.safetensors"), model)
    assert [path.name for path in tmp_path.iterdir()] == ["w.safetensors"]


def test_save_weights_keeps_default_permissions(tmp_path: Path) -> None:
    save_weights(build_small("stm"), tmp_path / "w.safetensors")
    (tmp_path / "text").write_text("")
    assert (tmp_path / "w.safetensors").stat().st_mode == (tmp_path / "text").stat().st_mode


def test_build_model_reads_half_precision_into_float32(tmp_path: Path) -> None:
    model = perturbed("stm")
    save_weights(model, tmp_path / "w.safetensors", dtype=torch.float16)
    assert load_file(tmp_path / "w.safetensors")["head.weight"].dtype == torch.float16
    read = build_model("stm", weights=tmp_path / "w.safetensors")
    assert read.head.weight.dtype == torch.float32
    torch.testing.assert_close(read.head.weight, model.head.weight, atol=1e-3, rtol=1e-3)


def test_read_weights_of_a_training_checkpoint(tmp_path: Path) -> None:
    model = perturbed("stcn")
    assert model.description is not None
    description = {"name": "stcn", "settings": dict(model.description.settings)}
    content = {"model": model.state_dict(), "description": description, "iteration": 7}
    torch.save(content, tmp_path / "last.pt")
    assert equal(build_model("stcn", weights=tmp_path / "last.pt"), model)


def test_read_weights_of_a_plain_state_dict(tmp_path: Path) -> None:
    model = perturbed("stm")
    torch.save(model.state_dict(), tmp_path / "w.pt")
    assert equal(build_model("stm", weights=tmp_path / "w.pt", **SMALL), model)


@pytest.mark.parametrize("suffix", [".pt", ".safetensors"])
def test_files_of_earlier_versions_give_the_network_that_wrote_them(
    suffix: str, tmp_path: Path
) -> None:
    model = build_small("scmn", **FORMER_SETTINGS)
    settings = {**SMALL, "refinement_dim": 8}
    path = tmp_path / f"w{suffix}"
    description = {"name": "scmn", "settings": settings}
    if suffix == ".pt":
        torch.save({"model": model.state_dict(), "description": description}, path)
    else:
        metadata = {"description": json.dumps(description)}
        save_file(model.state_dict(), path, metadata=metadata)
    read = build_model("scmn", weights=path)
    assert equal(read, model)
    assert read.description == model.description


def test_files_of_earlier_versions_may_hold_an_unused_query_value(tmp_path: Path) -> None:
    model = build_small("scmn")
    unused = {"query_projection.value.weight": torch.zeros(32, 256, 3, 3)}
    assert model.description is not None
    description = {"name": "scmn", "settings": dict(model.description.settings)}
    path = tmp_path / "w.pt"
    torch.save({"model": {**model.state_dict(), **unused}, "description": description}, path)
    assert equal(build_model("scmn", weights=path), model)
    description["settings"]["read_concat"] = "value"
    torch.save({"model": {**model.state_dict(), **unused}, "description": description}, path)
    with pytest.raises(InputError, match=r"lacks query_projection\.value\.bias"):
        build_model("scmn", weights=path)


@pytest.mark.parametrize("name", ["scmn", "scmn_small", "stcn"])
def test_files_record_every_setting(name: str, tmp_path: Path) -> None:
    save_weights(build_small(name), tmp_path / "w.safetensors")
    description = read_weights(tmp_path / "w.safetensors").description
    assert description is not None
    assert set(description.settings) == set(MODELS[name].setting_defaults)


def test_build_model_switches_override_the_file(tmp_path: Path) -> None:
    save_weights(build_small("scmn", spatial_constraint=False), tmp_path / "w.safetensors")
    with pytest.raises(InputError, match=r"lacks spatial_constraint\.convolution"):
        build_model("scmn", weights=tmp_path / "w.safetensors", spatial_constraint=True)


@pytest.mark.parametrize(
    ("name", "part"),
    [
        ("scmn", "mask_quality"),
        *((name, "temporal_embedding") for name in ("scmn", "stm", "stcn")),
    ],
)
def test_new_parts_start_with_their_initial_weights(
    name: str, part: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "w.safetensors"
    save_weights(perturbed(name), path)
    with pytest.raises(InputError, match=rf"lacks {part}\.\S+, {part}"):
        build_model(name, weights=path, **{part: True})
    caplog.set_level(logging.INFO)
    torch.manual_seed(0)
    model = build_model(name, weights=path, new_parts=True, **{part: True})
    assert caplog.messages == [f"new in the network, not in {path}: {part}"]
    own, initial = model.state_dict(), build_small(name, **{part: True}).state_dict()
    given = load_file(path)
    assert all(torch.equal(own[n], given.get(n, initial[n])) for n in own)
    save_weights(model, path)
    caplog.clear()
    assert equal(build_model(name, weights=path, new_parts=True), model)
    assert not caplog.messages


@pytest.mark.parametrize("lost", ["head.projection.bias", "mask_quality.linear2.bias"])
def test_new_parts_are_whole_modules(lost: str, tmp_path: Path) -> None:
    switches = {"mask_quality": True}
    state = build_small("scmn", **switches).state_dict()
    del state[lost]
    torch.save(state, tmp_path / "w.pt")
    with pytest.raises(InputError, match=f"it lacks {re.escape(lost)}$"):
        build_model(
            "scmn",
            weights=tmp_path / "w.pt",
            new_parts=True,
            **{**small_settings("scmn"), **switches},
        )


def test_read_weights_of_a_published_file(published_file: tuple[str, Path]) -> None:
    name, path = published_file
    published = torch.load(path, weights_only=True)
    model = build_model(name, weights=path)
    kept = sum(p.numel() for p in model.parameters())
    dropped = sum(
        v.numel()
        for k, v in published.items()
        if v.is_floating_point()
        and not k.endswith(("running_mean", "running_var", ".mean", ".std"))
        # STCN's biases before batch norm live on in the running means.
        and not (
            name == "stcn"
            and "value_encoder" in k
            and "fuser" not in k
            and k.endswith((".bias",))
            and ".bn" not in k
            and "downsample.1" not in k
        )
    )
    assert kept == dropped


def test_build_model_refuses_weights_of_another_network(published_file: tuple[str, Path]) -> None:
    name, path = published_file
    other = "stcn" if name == "stm" else "stm"
    with pytest.raises(InputError, match=f"'{name}', not of '{other}'"):
        build_model(other, weights=path)


def test_load_weights_names_differing_tensors(tmp_path: Path) -> None:
    state = build_small("stm").state_dict()
    state["decoder.predict.weight"] = torch.zeros(2, 99, 3, 3)
    state["surplus.weight"] = torch.zeros(1)
    del state["head.bias"]
    torch.save(state, tmp_path / "w.pt")
    with pytest.raises(InputError) as caught:
        build_model("stm", weights=tmp_path / "w.pt", **SMALL)
    message = str(caught.value)
    assert "lacks head.bias" in message
    assert "unknown surplus.weight" in message
    assert "decoder.predict.weight (2, 99, 3, 3) instead of (2, 16, 3, 3)" in message
    assert "\n" not in message

"""Files of weights that are damaged, unsafe or something else, and what the errors say."""

from __future__ import annotations

import json
import pickle
from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save_file

from scmn import InputError, build_model, save_weights
from scmn.weights.files import load_weights, read_weights
from tests.conftest import build_small


class Payload:
    """An object whose unpickling would run code."""

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return exec, ("raise SystemExit('the payload ran')",)


@pytest.mark.filterwarnings("error")  # torch's would be a second line
def test_read_weights_refuses_a_pickled_payload(tmp_path: Path) -> None:
    torch.save({"model": build_small("stm").state_dict(), "x": Payload()}, tmp_path / "evil.pth")
    with pytest.raises(InputError, match="refused"):
        build_model("stm", weights=tmp_path / "evil.pth")
    (tmp_path / "plain.pth").write_bytes(pickle.dumps(Payload()))
    with pytest.raises(InputError, match="refused"):
        build_model("stm", weights=tmp_path / "plain.pth")


@pytest.mark.parametrize("suffix", [".pt", ".pth", ".safetensors"])
@pytest.mark.parametrize("damage", ["cut", "noise", "empty"])
def test_read_weights_refuses_a_damaged_file(tmp_path: Path, suffix: str, damage: str) -> None:
    path = tmp_path / f"w{suffix}"
    model = build_small("stm")
    if suffix == ".safetensors":
        save_weights(model, path)
    else:
        torch.save(model.state_dict(), path)
    content = path.read_bytes()
    damaged = {"cut": content[: len(content) // 2], "noise": b"\x13" * 500, "empty": b""}
    path.write_bytes(damaged[damage])
    with pytest.raises(InputError, match="w\\."):
        build_model("stm", weights=path)


def test_read_weights_refuses_another_file(tmp_path: Path) -> None:
    torch.save([1, 2], tmp_path / "list.pt")
    with pytest.raises(InputError, match="holds a list"):
        build_model("stm", weights=tmp_path / "list.pt")
    torch.save({0: torch.zeros(1)}, tmp_path / "numbers.pt")
    with pytest.raises(InputError, match="state dict of tensors"):
        build_model("stm", weights=tmp_path / "numbers.pt")
    torch.save({"epoch": 3}, tmp_path / "dict.pt")
    with pytest.raises(InputError, match="state dict of tensors"):
        build_model("stm", weights=tmp_path / "dict.pt")


def test_read_weights_refuses_invalid_metadata(tmp_path: Path) -> None:
    state = {"a": torch.zeros(1)}
    save_file(state, tmp_path / "a.safetensors", metadata={"description": "{"})
    with pytest.raises(InputError, match="not JSON"):
        build_model("stm", weights=tmp_path / "a.safetensors")
    save_file(state, tmp_path / "b.safetensors", metadata={"description": json.dumps(["stm"])})
    with pytest.raises(InputError, match="lacks 'name'"):
        build_model("stm", weights=tmp_path / "b.safetensors")


def test_read_weights_reports_a_missing_file(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"not found: .*absent\.pth"):
        build_model("stm", weights=tmp_path / "absent.pth")


@pytest.mark.parametrize("suffix", ["pth", "safetensors"])
@pytest.mark.parametrize(
    ("value", "message"),
    [
        (float("nan"), r"NaN or infinite numbers in decoder\.\S+$"),
        (float("-inf"), r"NaN or infinite numbers in decoder\.\S+$"),
        (None, r"not floating-point: decoder\.\S+ of torch.int64"),
    ],
)
def test_build_model_refuses_weights_that_are_no_numbers(
    tmp_path: Path, suffix: str, value: float | None, message: str
) -> None:
    network = build_small("stm")
    state = network.state_dict()
    name = next(name for name in state if name.startswith("decoder."))
    state[name] = state[name].long() if value is None else torch.full_like(state[name], value)
    path = tmp_path / f"weights.{suffix}"
    if suffix == "pth":
        torch.save(state, path)
    else:
        save_file({key: tensor.contiguous() for key, tensor in state.items()}, path)
    with pytest.raises(InputError, match=message):
        load_weights(network, read_weights(path))


@pytest.mark.parametrize("suffix", ["pth", "safetensors"])
def test_read_weights_compares_checksums(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"weights.{suffix}"
    if suffix == "pth":
        torch.save(build_small("stm").state_dict(), path)
    else:
        save_weights(build_small("stm"), path)
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    with pytest.raises(InputError, match="is damaged: wrong checksum"):
        read_weights(path)


def test_bundled_weights_have_a_checksum() -> None:
    with safe_open(read_weights("default").path, framework="pt") as file:
        assert "crc32" in file.metadata()

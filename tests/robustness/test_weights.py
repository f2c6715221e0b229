"""Files of weights that can be read but hold the wrong thing."""

from __future__ import annotations

import json
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from tests.robustness.campaign import Case, cases
from tests.robustness.scene import Scene

Damage = Callable[[Scene], list[object]]


def tensors(change: Callable[[dict[str, torch.Tensor]], object], *options: object) -> Damage:
    """Change the tensors of the torch file and evaluate with it."""

    def damage(scene: Scene) -> list[object]:
        state = torch.load(scene.torch_weights, weights_only=True)
        content = change(state)
        torch.save(state if content is None else content, scene.torch_weights)
        return with_torch_weights(scene, *options)

    return damage


def with_torch_weights(scene: Scene, *options: object) -> list[object]:
    given = ["--config", scene.config, "--weights", scene.torch_weights]
    return scene.segment("--output", scene.new, *given, *options)


def first(state: dict[str, torch.Tensor]) -> str:
    """Name of the first tensor that is a weight, not a counter."""
    return next(name for name, value in state.items() if value.is_floating_point())


def without_the_first(state: dict[str, torch.Tensor]) -> None:
    del state[first(state)]


def set_to(value: float) -> Callable[[dict[str, torch.Tensor]], None]:
    def change(state: dict[str, torch.Tensor]) -> None:
        state[first(state)].view(-1)[1] = value

    return change


def replaced(change: Callable[[torch.Tensor], torch.Tensor]) -> Damage:
    return tensors(lambda state: state.update({first(state): change(state[first(state)])}))


class RunsCode:
    """A pickle of it would create a file when it is loaded."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (self.path,)


def pickle_with_code(scene: Scene) -> list[object]:
    torch.save({"weight": RunsCode(scene.root / "run by a pickle")}, scene.torch_weights)
    return with_torch_weights(scene)


def bare_pickle_with_code(scene: Scene) -> list[object]:
    scene.torch_weights.write_bytes(pickle.dumps(RunsCode(scene.root / "run by a pickle")))
    return with_torch_weights(scene)


def metadata(change: dict[str, str]) -> Damage:
    """Write the safetensors file again with other metadata."""

    def damage(scene: Scene) -> list[object]:
        save_file(load_file(scene.weights), scene.weights, metadata=change)
        return scene.segment("--output", scene.new)

    return damage


def described(**changes: Any) -> Damage:
    return metadata({"description": json.dumps({"name": "scmn", "settings": {}, **changes})})


def nan_in_safetensors(scene: Scene) -> list[object]:
    with safe_open(scene.weights, framework="pt") as file:
        description = file.metadata()["description"]
    state = load_file(scene.weights)
    set_to(float("nan"))(state)
    save_file(state, scene.weights, metadata={"description": description})
    return scene.segment("--output", scene.new)


def long_header(scene: Scene) -> list[object]:
    scene.weights.write_bytes((2**62).to_bytes(8, "little") + b"{}")
    return scene.segment("--output", scene.new)


WEIGHTS = [
    Case("NaN in weights", tensors(set_to(float("nan"))), "NaN or infinite numbers in"),
    Case("infinity in weights", tensors(set_to(float("inf"))), "NaN or infinite numbers in"),
    Case("NaN in safetensors", nan_in_safetensors, "NaN or infinite numbers in"),
    Case("integer weights", replaced(lambda t: t.int()), "not floating-point"),
    Case("complex weights", replaced(lambda t: t.to(torch.complex64)), "not floating-point"),
    Case("weights of another shape", replaced(lambda t: t[1:]), "instead of"),
    Case("missing weight", tensors(without_the_first), "lacks"),
    Case("unknown weight", tensors(lambda s: s.update(extra=torch.zeros(1))), "unknown extra"),
    Case("no weight at all", tensors(lambda s: {}), "not a file of weights"),
    Case("list of weights", tensors(lambda s: list(s.values())), "holds a list"),
    Case("number as weight", tensors(lambda s: {**s, "a": 3}), "not a file of weights"),
    Case("numbers as names", tensors(lambda s: dict(enumerate(s.values()))), "not a file of"),
    Case("pickle with code", pickle_with_code, "refused"),
    Case("bare pickle with code", bare_pickle_with_code, "refused"),
    Case(
        "weights that do not name their model",
        lambda s: s.segment("--weights", s.torch_weights, "--output", s.new),
        "does not name its model",
    ),
    Case(
        "weights of other widths",
        tensors(lambda s: None, "model.switches.key_dim=8"),
        "does not fit",
    ),
    Case("no description", metadata({"format": "pt"}), "does not name its model"),
    Case("description that is not JSON", metadata({"description": "{"}), "not JSON"),
    Case("description without settings", metadata({"description": "{}"}), "lacks 'name'"),
    Case("description of a list", metadata({"description": "[1]"}), "lacks 'name'"),
    Case("description of an unknown model", described(name="resnet"), "unknown model 'resnet'"),
    Case("description with odd settings", described(settings=[1]), "not names and values"),
    Case("description with unknown settings", described(settings={"a": 1}), "no such setting"),
    Case("description of other sizes", described(), "does not fit"),
    Case("endless header", long_header, "not a readable safetensors file"),
]


@cases(*WEIGHTS)
def test_weights_with_the_wrong_content(
    case: Case, scene: Scene, capsys: pytest.CaptureFixture[str]
) -> None:
    case.check(scene, capsys)
    assert not (scene.root / "run by a pickle").exists()

"""Configuration: bases, overrides, and one line for every mistake."""

from __future__ import annotations

from pathlib import Path

import pytest

from scmn import InputError, MemorySettings, build_model, load_config
from scmn.config import Config, config_to_yaml, find_config
from scmn.networks.registry import MODELS
from tests.conftest import REPOSITORY

CONFIGS = sorted((REPOSITORY / "configs").glob("*.yaml"))


def write(path: Path, text: str) -> Path:
    path.write_text(text)
    return path


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.stem)
def test_shipped_files_are_valid_and_round_trip(path: Path, tmp_path: Path) -> None:
    config = load_config(path)
    assert isinstance(config, Config)
    again = load_config(write(tmp_path / "again.yaml", config_to_yaml(config)))
    assert again == config


@pytest.mark.parametrize("name", ["scmn", "stm", "stcn"])
def test_shipped_files_state_the_published_memory_policy(name: str) -> None:
    config = load_config(REPOSITORY / "configs" / f"{name}.yaml")
    assert config.memory == MemorySettings(**MODELS[name].memory_defaults)  # type: ignore[arg-type]
    assert config.model.name == name


def test_quickstart_builds_a_small_network() -> None:
    config = load_config(REPOSITORY / "configs" / "quickstart.yaml")
    model = build_model(config.model.name, backbone=config.model.backbone, **config.model.switches)
    assert sum(p.numel() for p in model.parameters()) < 10e6


def test_bases_are_relative_and_the_file_wins(tmp_path: Path) -> None:
    (tmp_path / "sub").mkdir()
    write(tmp_path / "a.yaml", "model: {name: stm}\nmemory: {every: 3, top_k: 7}")
    write(tmp_path / "sub/b.yaml", "base: ../a.yaml\nmemory: {every: 4}")
    config = load_config(
        write(tmp_path / "c.yaml", "base: sub/b.yaml\nmodel: {backbone: resnet18}")
    )
    assert (config.model.name, config.model.backbone) == ("stm", "resnet18")
    assert config.memory == MemorySettings(every=4, top_k=7)


def test_overrides_win_and_are_typed(tmp_path: Path) -> None:
    path = write(tmp_path / "a.yaml", "memory: {every: 3}")
    config = load_config(
        path,
        [
            "memory.every=null",
            "memory.max_frames=8",
            "model.switches.head=false",
            "evaluation.augmentation.scales=[1.0, 1.25]",
        ],
    )
    assert config.memory == MemorySettings(every=None, max_frames=8)
    assert config.model.switches == {"head": False}
    assert config.evaluation.augmentation.scales == [1.0, 1.25]


def test_defaults_hold_where_nothing_else_is_said() -> None:
    defaults = Config(memory=MemorySettings(keep_previous=False, top_k=20))
    config = load_config(None, ["memory.max_frames=8"], defaults)
    assert config.memory == MemorySettings(5, True, False, 8, 20)
    assert load_config(None).memory is None


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("memory: {max_frame: 3}", r"a\.yaml: memory\.max_frame: .*'max_frames'"),
        ("modle: {name: stm}", r"modle.*'model'"),
        ("memory: {every: often}", r"memory\.every: .*often"),
        ("evaluation: {augmentation: {scales: [a]}}", r"augmentation\.scales"),
        ("model: 3", "ModelSettings"),
        ("- 1\n- 2", "key: value"),
        ("a: [1,", "not valid YAML"),
        ("memory: {every: 3, every: 4}", "duplicate"),
        ("base: missing.yaml", "not found: .*missing.yaml"),
        ("base: a.yaml", "comes back"),
    ],
)
def test_mistakes_in_files(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(InputError, match=message) as caught:
        load_config(write(tmp_path / "a.yaml", text))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("memory.max_frame=3", "override 'memory.max_frame=3': .*'max_frames'"),
        ("evaluation.max_objects=many", "many"),
        ("memory", "key=value"),
        ("memory.every=[1", "override"),
    ],
)
def test_mistakes_in_overrides(override: str, message: str) -> None:
    with pytest.raises(InputError, match=message) as caught:
        load_config(None, [override])
    assert "\n" not in str(caught.value)


def test_missing_file(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="not found"):
        load_config(tmp_path / "none.yaml")


@pytest.mark.parametrize("name", ["scmn", "quickstart"])
def test_find_config_takes_the_name_of_a_shipped_file(name: str) -> None:
    assert find_config(name) == REPOSITORY / "configs" / f"{name}.yaml"


def test_find_config_prefers_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    path = write(Path("scmn"), "model: {name: stm}")
    assert find_config("scmn") == path


def test_find_config_suggests_the_nearest_name() -> None:
    with pytest.raises(
        InputError, match=r"not found: quickstrat \(did you mean 'quickstart'\?\); shipped .*stm"
    ):
        find_config("quickstrat")

"""Configuration: bases, overrides, and one line for every mistake."""

from __future__ import annotations

from pathlib import Path

import pytest

from scmn import InputError, VideoSegmenter, build_model, load_config
from scmn.config import Config, config_to_yaml, find_config, parse_config
from scmn.data.clips.pasting import PasteSettings
from scmn.data.clips.random_geometry import AffineRange
from scmn.data.clips.static_clips import StaticAugmentation
from scmn.data.clips.video_clips import VideoAugmentation
from scmn.inference.memory.settings import KernelSettings
from tests.conftest import REPOSITORY, build_small
from tests.programs import run_here

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
def test_shipped_files_leave_the_published_memory_to_the_network(name: str) -> None:
    config = load_config(REPOSITORY / "configs" / f"{name}.yaml")
    assert config.memory == {}
    assert config.model.name == name


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.stem)
def test_shipped_files_read_youtube_vos_at_its_frame_interval(path: Path) -> None:
    for stage in load_config(path).training.stages_in_order.values():
        data = stage.data.get("youtube")
        assert data is None or data.frame_interval == 5


def test_the_stage_on_bl30k_is_optional_and_runs_before_the_main_one() -> None:
    usual = load_config("stcn").training
    longer = load_config("stcn_bl30k").training
    assert list(usual.stages_in_order) == ["pretrain", "main"]
    assert list(longer.stages_in_order) == ["pretrain", "bl30k", "main"]
    assert longer.stage("main").data == usual.stage("main").data
    assert [stage.schedule.milestones for stage in longer.stages_in_order.values()] == [
        [150_000],
        [400_000],
        [250_000],
    ]


def test_quickstart_builds_a_small_network() -> None:
    config = load_config(REPOSITORY / "configs" / "quickstart.yaml")
    model = build_model(config.model.name, backbone=config.model.backbone, **config.model.switches)
    assert sum(p.numel() for p in model.parameters()) < 10e6


def test_data_stands_for_a_folder_in_other_values() -> None:
    config = load_config("finetune", ["data=my/frames"])
    source = config.training.stage("finetune").data["mine"]
    assert source is not None
    assert source.root == "my/frames"


def test_load_config_resolves_bases_relative_to_the_file(tmp_path: Path) -> None:
    (tmp_path / "sub").mkdir()
    write(tmp_path / "a.yaml", "model: {name: stm}\nmemory: {every: 3, top_k: 7}")
    write(tmp_path / "sub/b.yaml", "base: ../a.yaml\nmemory: {every: 4}")
    config = load_config(
        write(tmp_path / "c.yaml", "base: sub/b.yaml\nmodel: {backbone: resnet18}")
    )
    assert (config.model.name, config.model.backbone) == ("stm", "resnet18")
    assert config.memory == {"every": 4, "top_k": 7}


def test_kernel_of_the_memory_read_survives_a_run_folder(tmp_path: Path) -> None:
    path = write(tmp_path / "a.yaml", "model: {name: stcn}")
    config = load_config(path, ["memory.kernel.sigma=4", "memory.kernel.half_size=true"])
    assert parse_config(config_to_yaml(config), "config.yaml").memory == config.memory
    segmenter = VideoSegmenter(build_small("stcn"), memory=config.memory)
    assert segmenter.memory_settings.kernel == KernelSettings(4.0, half_size=True)
    with pytest.raises(InputError, match=r"memory\.kernel\.sigm"):
        load_config(path, ["memory.kernel.sigm=4"])


def test_load_config_overrides_win_and_are_typed(tmp_path: Path) -> None:
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
    assert config.memory == {"every": None, "max_frames": 8}
    assert config.model.switches == {"head": False}
    assert config.evaluation.augmentation.scales == [1.0, 1.25]


def test_load_config_types_augmentations(tmp_path: Path) -> None:
    text = """training: {stages: {main: {data: {
        a: {kind: static, still_augmentation: {motion: {rotation: 40}}},
        b: {kind: mose-train, video_augmentation: {paste: {max_count: 1}}}}}}}"""
    data = load_config(write(tmp_path / "a.yaml", text)).training.stage("main").data
    assert data["a"] is not None
    assert data["b"] is not None
    motion = AffineRange(rotation=40.0, shear=10.0, scale=(0.9, 1.1))
    assert data["a"].still_augmentation == StaticAugmentation(motion=motion)
    assert data["b"].video_augmentation == VideoAugmentation(paste=PasteSettings(max_count=1))
    assert data["a"].video_augmentation is None


OLD_KEYS = """
memory: {keep_first: false}
training:
  stages:
    main:
      detach_memory: false
      loss: {lovasz: 0.0, soft_dice: 0.0, soft_iou: 1.0}
      optimizer: {backbone_factor: 1.0, decay_norms_and_biases: true}
      schedule: {name: fixed, power: 0.9}
      data:
        s: {kind: static, augmentation: {flip: 0.1, paste: {most: 3}}, synthetic: {}}
        v: {kind: davis2017-train, augmentation: {reverse: 0.2}, frame_interval: 1}
        t: {kind: davis2017-train, stills: true, augmentation: {}}
"""
NEW_KEYS = """
memory: {keep_annotated: false}
training:
  stages:
    main:
      loss: {soft_iou: 1.0}
      schedule: {name: fixed}
      data:
        s: {kind: static, still_augmentation: {flip: 0.1, paste: {max_count: 3}}}
        v: {kind: davis2017-train, video_augmentation: {reverse: 0.2}}
        t: {kind: davis2017-train, stills: true}
"""


def test_load_config_reads_keys_of_earlier_versions(tmp_path: Path) -> None:
    expected = parse_config(NEW_KEYS, "new")
    assert parse_config(OLD_KEYS, "old") == expected
    assert load_config(write(tmp_path / "a.yaml", OLD_KEYS)) == expected
    assert parse_config("memory: null", "old").memory == {}
    assert load_config(None, ["memory.keep_first=false"]).memory == {"keep_annotated": False}


def test_parse_config_refuses_removed_settings_in_use() -> None:
    text = "training: {stages: {main: {loss: {lovasz: 0.5}}}}"
    with pytest.raises(
        InputError, match=r"last\.pt: training\.stages\.main\.loss\.lovasz no longer"
    ):
        parse_config(text, "last.pt")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("memory: {max_frame: 3}", r"a\.yaml: memory\.max_frame: .*'max_frames'"),
        ("modle: {name: stm}", r"modle.*'model'"),
        ("memory: {every: often}", r"memory\.every must be .*often"),
        (
            "training: {stages: {a: {data: {b: {still_augmentation: {paste: {max_cuont: 1}}}}}}}",
            r"stages\.a\.data\.b\.still_augmentation\.paste\.max_cuont: .*'max_count'",
        ),
        (
            "training: {stages: {a: {clip: {size: [50, 64]}}}}",
            r"a\.yaml: .*clip\.size\.0 must be a multiple of 16",
        ),
        ("evaluation: {augmentation: {scales: [a]}}", r"augmentation\.scales"),
        ("model: 3", "ModelSettings"),
        ("- 1\n- 2", "key: value"),
        ("a: [1,", "not valid YAML"),
        ("memory: {every: 3, every: 4}", "duplicate"),
        ("base: missing.yaml", "not found: .*missing.yaml"),
        ("base: a.yaml", "comes back"),
    ],
)
def test_load_config_reports_mistakes_in_files(tmp_path: Path, text: str, message: str) -> None:
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
def test_load_config_reports_mistakes_in_overrides(override: str, message: str) -> None:
    with pytest.raises(InputError, match=message) as caught:
        load_config(None, [override])
    assert "\n" not in str(caught.value)


def test_load_config_reports_a_missing_file(tmp_path: Path) -> None:
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


def test_overrides_may_stand_anywhere_among_the_options(tmp_path: Path) -> None:
    ended = run_here(
        *("eval.py", "memory.every=2", "--video", tmp_path, "memory.top_k=4"),
        *("--mask", tmp_path, "memory.nothing=1"),
    )
    assert "override 'memory.nothing=1'" in ended.stderr

"""Mistakes in the settings of a training, its data and its folder."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest

from scmn import InputError
from scmn.data.masks import read_label_map, write_label_map
from scmn.training.stage import Stage
from scmn.training.trainer import train
from tests.training.runs import config


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["training.stages.main.batch_size=3", "training.stages.main.clips_per_pass=2"], "passes"),
        (["training.stages.main.data.videos.kind=davis"], "unknown data set"),
        (
            ["training.stages.main.data.videos.still_augmentation.flip=1"],
            "does not apply to videos",
        ),
        (["training.stages.main.data.videos.exclude=[nothing]"], "no sequence 'nothing'"),
        (
            ["training.stages.main.schedule.warm_up=999"],
            r"training\.stages\.main: schedule\.warm_up is 999",
        ),
        (["training.norm=frosen"], "frozen"),
        (["training.parts=[decoder]"], "parts needs norm 'frozen'"),
        (
            ["training.norm=frozen", "training.parts=[decode]"],
            r"training\.parts: .* no part 'decode'; .*'decoder'",
        ),
        (
            [
                "training.norm=frozen",
                "model.switches.mask_quality=true",
                "training.parts=[mask_quality]",
                "training.stages.main.loss.mask_quality=0",
            ],
            r"main\.loss: mask_quality is all that is trained",
        ),
        (["training.stages.main=null"], "no stage 'main'; the stages are: pretrain"),
        (["training.precision=fp8"], "precision"),
        (["training.stages.main.iterations=0"], "at least 1"),
    ],
)
def test_train_reports_mistakes_in_one_line(
    overrides: list[str], message: str, davis: Path, tmp_path: Path
) -> None:
    with pytest.raises(InputError, match=message) as caught:
        train(config(tmp_path, davis, *overrides), tmp_path / "run", stage="main")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("data.videos.root=/none", "/none"),
        ("schedule.name=cosin", "cosine"),
        ("optimizer.name=adan", "adam"),
        ("loss.cross_entropy=0", "set cross_entropy or soft_iou"),
        ("batch_size=0", "batch_size must be"),
    ],
)
def test_train_checks_the_last_stage_before_the_first_step(
    override: str, message: str, davis: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delattr(Stage, "step")
    with pytest.raises(InputError, match=message):
        train(config(tmp_path, davis, f"training.stages.main.{override}"), tmp_path / "run")


def test_train_refuses_data_without_objects_before_the_first_step(
    davis: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delattr(Stage, "step")
    empty = tmp_path / "empty"
    shutil.copytree(davis, empty)
    for path in empty.glob("Annotations/480p/*/*.png"):
        write_label_map(path, np.zeros_like(read_label_map(path)))
    message = r"training\.stages\.main\.data\.videos: none of 3 clips drawn .* shows an object"
    settings = config(tmp_path, davis, f"training.stages.main.data.videos.root={empty}")
    with pytest.raises(InputError, match=message):
        train(settings, tmp_path / "run")


def test_train_reports_an_unknown_stage_and_an_unwritable_folder(
    davis: Path, tmp_path: Path
) -> None:
    settings = config(tmp_path, davis)
    with pytest.raises(InputError, match="no stage 'mian'; the stages are: pretrain, main"):
        train(settings, tmp_path / "run", stage="mian")
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="cannot write to"):
        train(settings, tmp_path / "file" / "run")


def test_train_refuses_to_replace_a_configuration_of_the_user(davis: Path, tmp_path: Path) -> None:
    settings = config(tmp_path, davis)
    path = tmp_path / "run/config.yaml"
    path.parent.mkdir()
    path.write_text("the user's")
    with pytest.raises(InputError, match=r"run/config\.yaml is not of this run"):
        train(settings, tmp_path / "run")
    assert path.read_text() == "the user's"
    assert sorted(file.name for file in path.parent.iterdir()) == [".lock", "config.yaml"]


def test_a_tensorboard_folder_that_is_a_file_is_reported(davis: Path, tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    (tmp_path / "run/tensorboard").write_text("mine")
    with pytest.raises(InputError, match=r"cannot write to .*tensorboard: File exists"):
        train(config(tmp_path, davis), tmp_path / "run")
    assert (tmp_path / "run/tensorboard").read_text() == "mine"


def test_exhausted_memory_is_one_line(davis: Path, tmp_path: Path) -> None:
    repeat = f"training.stages.pretrain.data.stills.repeat={10**15}"
    with pytest.raises(InputError, match=r"the CPU is out of memory; lower .*data set's repeat"):
        train(config(tmp_path, davis, repeat), tmp_path / "run")


@pytest.mark.parametrize("absurd", ["frames=1000000000", "size=[100000,100000]"])
def test_absurd_clips_are_refused(davis: Path, tmp_path: Path, absurd: str) -> None:
    with pytest.raises(InputError, match="must be less than or equal to"):
        config(tmp_path, davis, f"training.stages.main.clip.{absurd}")

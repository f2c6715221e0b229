"""Output folders with files of the user, of another run, or that cannot be written."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from scmn.data.masks import write_label_map
from tests.robustness.campaign import Case, cases
from tests.robustness.damage import folder, text
from tests.robustness.scene import SEQUENCE, Scene

Damage = Callable[[Scene], list[object]]


def into(output: Callable[[Scene], Path]) -> Damage:
    return lambda scene: scene.segment("--output", output(scene))


def with_file(name: str, arguments: Callable[[Scene], list[object]]) -> Damage:
    """Put a file of the user into the output that does not exist yet."""

    def damage(scene: Scene) -> list[object]:
        path = scene.new / name
        path.parent.mkdir(parents=True)
        path.write_text("of the user")
        return arguments(scene)

    return damage


def segment_anew(scene: Scene) -> list[object]:
    return scene.segment("--output", scene.new)


def changed(name: str, change: Callable[[Path], object]) -> Damage:
    """Change something in the results of a complete run, and run it again."""

    def damage(scene: Scene) -> list[object]:
        change(scene.results / name)
        return scene.segment()

    return damage


def replaced_by_a_link(name: str) -> Damage:
    """Move a folder of the results to another place and leave a symbolic link."""

    def damage(scene: Scene) -> list[object]:
        path = scene.results / name
        path.rename(scene.root / "elsewhere")
        path.symlink_to(scene.root / "elsewhere")
        scene.frame(3).unlink()  # so that the sequence would be segmented again
        return scene.segment()

    return damage


def another_mask(scene: Scene) -> list[object]:
    write_label_map(scene.mask, np.ones((64, 96), np.uint8))
    return scene.segment()


def another_video_of_the_same_name(scene: Scene) -> list[object]:
    other = scene.root / "other/frames"
    shutil.copytree(scene.frames, other)
    return scene.segment(video=other)


def corrected_mask_in_the_output(scene: Scene) -> list[object]:
    """The user corrects the mask of a later frame where it lies and gives it."""
    mask = scene.results / "masks/frames/00002.png"
    write_label_map(mask, np.ones((64, 96), np.uint8))
    shutil.copy(scene.mask, scene.root / "00000.png")
    return [*scene.segment(mask=scene.root / "00000.png"), "--mask", mask]


def a_mask_of_the_user(scene: Scene) -> list[object]:
    """The user corrects a mask where it lies; the sequence is no longer complete."""
    write_label_map(scene.results / "masks/frames/00002.png", np.ones((64, 96), np.uint8))
    (scene.results / "records/frames.json").unlink()
    return scene.segment()


def masks_of_another_origin(scene: Scene) -> list[object]:
    (scene.results / "run.json").unlink()
    return scene.segment()


def settings_of_another_version(scene: Scene) -> list[object]:
    file = scene.results / "run.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), "version": "0.0"}))
    return scene.segment()


def results_of_a_data_set(scene: Scene) -> list[object]:
    return scene.evaluate("--output", scene.results)


def annotations_as_result(scene: Scene) -> list[object]:
    given = ["--score-only", scene.davis / "Annotations/480p"]
    return [*given, "--dataset", "davis2017-val", "--data", scene.davis]


def missing_prediction(scene: Scene) -> list[object]:
    arguments = scene.score()
    (scene.root / "predictions" / SEQUENCE / "00001.png").unlink()
    return arguments


def missing_sequence(scene: Scene) -> list[object]:
    arguments = scene.score()
    shutil.rmtree(scene.root / "predictions" / SEQUENCE)
    return arguments


def small_prediction(scene: Scene) -> list[object]:
    arguments = scene.score()
    small = np.ones((5, 5), np.uint8)
    write_label_map(scene.root / "predictions" / SEQUENCE / "00001.png", small)
    return arguments


EVALUATIONS = [
    Case("output is a file", into(lambda s: s.mask), r"mask\.png"),
    Case("output in a file", into(lambda s: s.mask / "out"), r"mask\.png"),
    Case("output in a device", into(lambda s: Path("/dev/null/out")), "/dev/null"),
    Case("output in /proc", into(lambda s: Path("/proc/out")), "/proc/out"),
    Case("output with a long name", into(lambda s: s.root / ("a" * 300)), "File name too long"),
    Case("output in a link to itself", into(lambda s: self_link(s) / "out"), "loop"),
    Case("lock is a folder", changed(".lock", folder), r"results"),
    Case("masks is a file", with_file("masks", segment_anew), "masks"),
    Case("records is a file", with_file("records", segment_anew), "records"),
    Case("pictures is a file", with_file("pictures", segment_anew), "pictures", writes=("new/*",)),
    Case(
        "overlays is a file",
        with_file("overlays", lambda s: [*segment_anew(s), "--overlay"]),
        "overlays",
        writes=("new/*",),
    ),
    Case("run.json of the user", with_file("run.json", segment_anew), r"run\.json"),
    Case("report of the user", with_file("report.html", segment_anew), r"report\.html"),
    Case("results of the user", with_file("results.json", segment_anew), r"results\.json"),
    Case("scores of the user", with_file("report.html", Scene.score), r"report\.html"),
    Case("masks of the user", with_file("masks/frames/00000.png", segment_anew), "masks"),
    Case("masks is a link", replaced_by_a_link("masks"), "symbolic link"),
    Case("masks of a sequence is a link", replaced_by_a_link("masks/frames"), "symbolic link"),
    Case("records is a link", replaced_by_a_link("records"), "symbolic link"),
    Case("pictures is a link", replaced_by_a_link("pictures"), "symbolic link"),
    Case("record is a folder", changed("records/frames.json", folder), r"frames\.json"),
    Case("another mask", another_mask, "segmented from"),
    Case(
        "another video of the same name",
        another_video_of_the_same_name,
        "from: .*/frames -> .*/other/frames",
    ),
    Case("corrected mask in the output", corrected_mask_in_the_output, "00002|its own result"),
    Case("mask that the user corrected", a_mask_of_the_user, "has been changed"),
    Case("run.json removed", masks_of_another_origin, "not written by eval"),
    Case("run.json of another version", settings_of_another_version, "another run"),
    Case("results of a video, data set given", results_of_a_data_set, "another run"),
    Case("other memory", lambda s: s.segment("memory.every=3"), "every"),
    Case("other size", lambda s: s.segment("--size", 32), "size"),
    Case("flipped", lambda s: s.segment("evaluation.augmentation.flip=true"), "augmentation"),
    Case(
        "results as frames",
        lambda s: s.segment(video=s.results / "masks/frames"),
        "its own result",
    ),
    Case("annotations as result", annotations_as_result, "the same folder"),
    Case("missing prediction", missing_prediction, r"00001\.png"),
    Case("missing sequence", missing_sequence, SEQUENCE),
    Case("small prediction", small_prediction, r"00001\.png"),
]


def self_link(scene: Scene) -> Path:
    link = scene.root / "loop"
    link.symlink_to(link)
    return link


def in_run(name: str, change: Callable[[Path], object], *options: object) -> Damage:
    def damage(scene: Scene) -> list[object]:
        change(scene.run / name)
        return scene.resume(*options)

    return damage


def train_into(output: Callable[[Scene], Path]) -> Damage:
    return lambda scene: scene.train("--output", output(scene))


def only_the_best(scene: Scene) -> list[object]:
    (scene.run / "last.pt").rename(scene.run / "best.pt")
    return scene.resume()


def only_a_numbered_one(scene: Scene) -> list[object]:
    (scene.run / "last.pt").rename(scene.run / "iteration-00000004.pt")
    return scene.resume()


TRAININGS = [
    Case("output of a training is a file", train_into(lambda s: s.mask), r"mask\.png"),
    Case("output of a training in a file", train_into(lambda s: s.mask / "run"), r"mask\.png"),
    Case("output of a training in /proc", train_into(lambda s: Path("/proc/run")), "/proc/run"),
    Case("tensorboard is a file", with_file("tensorboard", Scene.train), "tensorboard"),
    Case(
        "config.yaml is a folder",
        in_run("config.yaml", folder),
        r"config\.yaml",
        writes=("run/tensorboard/*",),
    ),
    Case("only best.pt is left", only_the_best, r"best\.pt.*--resume"),
    Case("only a numbered checkpoint is left", only_a_numbered_one, r"iteration-0.*--resume"),
    Case("damaged last.pt beside nothing", in_run("last.pt", text), "no good checkpoint"),
    Case("another seed", lambda s: s.resume("training.seed=1"), "seed"),
    Case("more steps", lambda s: s.resume("training.stages.main.iterations=9"), "iterations"),
    Case("another network", lambda s: s.resume("model.switches.key_dim=8"), "key_dim"),
    Case("another backbone", lambda s: s.resume("model.backbone=resnet10"), "backbone"),
    Case("another stage", lambda s: s.resume("--stage", "pretrain"), "of stage 'main'"),
    Case("stage left out", lambda s: s.resume("training.stages.main=null"), "main"),
]


@cases(*EVALUATIONS)
def test_outputs_of_an_evaluation(
    case: Case, scene: Scene, capsys: pytest.CaptureFixture[str]
) -> None:
    case.check(scene, capsys)


@cases(*(replace(case, program="train") for case in TRAININGS))
def test_outputs_of_a_training(
    case: Case, scene: Scene, capsys: pytest.CaptureFixture[str]
) -> None:
    case.check(scene, capsys)

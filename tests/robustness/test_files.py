"""Every file that the programs read, with every damage that a file can have."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.robustness.campaign import Case, cases
from tests.robustness.damage import DAMAGES
from tests.robustness.scene import SEQUENCE, Scene

STARTED = ("new/*",)
"""The damage is found in the middle of a run in a new output."""


@dataclass(frozen=True)
class Input:
    """A file, and a command that reads it."""

    name: str
    file: Callable[[Scene], Path]
    arguments: Callable[[Scene], list[object]]
    program: str = "eval"
    without: Collection[str] = ()
    """Damages that it may have, or that are reported as another file's."""
    writes: Sequence[str] = ()

    def cases(self) -> list[Case]:
        return [
            Case(
                f"{self.name}: {damage}",
                lambda scene, damage=damage: self._damage(scene, damage),
                says="",
                program=self.program,
                writes=self.writes,
                names=self.file,
            )
            for damage in DAMAGES
            if damage not in self.without
        ]

    def _damage(self, scene: Scene, damage: str) -> list[object]:
        arguments = self.arguments(scene)
        DAMAGES[damage](self.file(scene))
        return arguments


def _later_mask(scene: Scene) -> list[object]:
    """A mask for the first frame and one for the third."""
    for index in (0, 2):
        shutil.copy(scene.mask, scene.root / f"{index:05d}.png")
    masks = [f"--mask={scene.root / name}" for name in ("00000.png", "00002.png")]
    given = ["--video", scene.frames, *masks]
    return [*given, "--weights", scene.weights, "--output", scene.results]


def _in_folder_of_masks(scene: Scene) -> list[object]:
    folder = scene.root / "masks"
    folder.mkdir()
    shutil.copy(scene.mask, folder / "00000.png")
    return scene.segment(mask=folder)


def _with_base(scene: Scene) -> list[object]:
    scene.config.rename(scene.root / "base.yaml")
    scene.config.write_text("base: base.yaml\n")
    return scene.train()


def _coco(scene: Scene) -> list[object]:
    stills = "training.stages.pretrain.data.stills"
    file = scene.coco / "instances.json"
    data = f"{{kind: coco, root: {scene.coco}, annotations: {file}, stills: false}}"
    return scene.train(f"{stills}={data}")


def _validation(scene: Scene) -> list[object]:
    settings = f"{{every: 1, dataset: davis2017-val, root: {scene.davis}}}"
    return scene.train(f"training.validation={settings}")


def _checkpoint_to_resume(scene: Scene) -> list[object]:
    shutil.copy(scene.run / "last.pt", scene.root / "other.pt")
    return scene.train("--resume", scene.root / "other.pt")


INPUTS = [
    Input("mask", lambda s: s.mask, Scene.segment),
    Input("mask of a later frame", lambda s: s.root / "00002.png", _later_mask),
    Input(
        "mask in a folder",
        lambda s: s.root / "masks/00000.png",
        _in_folder_of_masks,
        without={"absent"},
    ),
    Input(
        "frame",
        lambda s: s.frame(2),
        lambda s: s.segment("--output", s.new),
        without={"absent", "flipped bit"},
        writes=STARTED,
    ),
    Input(
        "video",
        lambda s: s.clip,
        lambda s: s.segment("--output", s.new, video=s.clip),
        without={"cut short", "flipped bit"},
    ),
    Input("safetensors", lambda s: s.weights, Scene.segment),
    Input(
        "torch weights",
        lambda s: s.torch_weights,
        lambda s: s.segment("--config", s.config, "--weights", s.torch_weights),
    ),
    Input(
        "run.json",
        lambda s: s.results / "run.json",
        Scene.segment,
        without={"flipped bit"},  # which makes it that of other settings if it hits one
    ),
    Input(
        "list of sequences",
        lambda s: s.davis / "ImageSets/2017/val.txt",
        Scene.evaluate,
        without={"cut short", "flipped bit", "text"},
    ),
    Input(
        "frame of a data set",
        lambda s: s.davis_frame(2),
        Scene.evaluate,
        without={"absent", "flipped bit"},
        writes=STARTED,
    ),
    Input(
        "first mask of a data set",
        lambda s: s.davis_mask(0),
        Scene.evaluate,
        without={"absent"},
        writes=STARTED,
    ),
    Input("annotation", lambda s: s.davis_mask(2), Scene.score, without={"absent"}),
    Input("mask to score", lambda s: s.root / "predictions" / SEQUENCE / "00002.png", Scene.score),
    Input(
        "meta.json",
        lambda s: s.youtube / "valid/meta.json",
        lambda s: s.evaluate(dataset="youtube-vos-2019-val"),
        without={"absent", "flipped bit"},
    ),
    Input(
        "config",
        lambda s: s.config,
        Scene.train,
        program="train",
        without={"empty", "cut short"},
    ),
    Input(
        "base of a config",
        lambda s: s.root / "base.yaml",
        _with_base,
        program="train",
        without={"empty", "cut short", "text"},
    ),
    Input(
        "last.pt",
        lambda s: s.run / "last.pt",
        Scene.resume,
        program="train",
        without={"absent"},
    ),
    Input("checkpoint", lambda s: s.root / "other.pt", _checkpoint_to_resume, program="train"),
    Input(
        "weights to start from",
        lambda s: s.weights,
        lambda s: s.train("--weights", s.weights),
        program="train",
    ),
    Input(
        "backbone",
        lambda s: s.torch_weights,
        lambda s: s.train(f"model.pretrained_backbone={s.torch_weights}"),
        program="train",
    ),
    Input("COCO", lambda s: s.coco / "instances.json", _coco, program="train"),
    Input(
        "validation frame",
        lambda s: s.davis_frame(2),
        _validation,
        program="train",
        without={"absent", "flipped bit"},
        writes=STARTED,
    ),
]


@cases(*(case for given in INPUTS for case in given.cases()))
def test_damaged_files(case: Case, scene: Scene, capsys: pytest.CaptureFixture[str]) -> None:
    case.check(scene, capsys)

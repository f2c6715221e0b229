"""Data sets whose folders, lists and descriptions are wrong."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from scmn.data.masks import write_label_map
from tests.robustness.campaign import Case, cases
from tests.robustness.scene import SEQUENCE, SIZE, Scene

Damage = Callable[[Scene], list[object]]
YOUTUBE = "youtube-vos-2019-val"


def davis(change: Callable[[Path], object], dataset: str = "davis2017-val") -> Damage:
    """Change something in the folder of DAVIS and evaluate on it."""

    def damage(scene: Scene) -> list[object]:
        change(scene.davis)
        return scene.evaluate(dataset=dataset)

    return damage


def listed(*lines: str) -> Damage:
    return davis(lambda root: (root / "ImageSets/2017/val.txt").write_text("\n".join(lines)))


def without(name: str, dataset: str = "davis2017-val") -> Damage:
    def remove(root: Path) -> None:
        path = root / name
        shutil.rmtree(path) if path.is_dir() else path.unlink()

    return davis(remove, dataset)


def pairs(*lines: str) -> Damage:
    """Write the list of the original DAVIS 2016."""

    def write(root: Path) -> None:
        folder = root / "ImageSets/480p"
        folder.mkdir()
        (folder / "val.txt").write_text("\n".join(lines))

    return davis(write, "davis2016-val")


def small_first_mask(root: Path) -> None:
    path = root / "Annotations/480p" / SEQUENCE / "00000.png"
    write_label_map(path, np.ones((5, 5), np.uint8))


def empty_frames(root: Path) -> None:
    for path in (root / "JPEGImages/480p" / SEQUENCE).iterdir():
        path.unlink()


IMAGE, MASK = (f"/{kind}/480p/{SEQUENCE}/00000" for kind in ("JPEGImages", "Annotations"))
IN_DAVIS = f"480p/{SEQUENCE}"
DAVIS = [
    Case("no images", without("JPEGImages"), "JPEGImages"),
    Case("no annotations", without("Annotations"), "Annotations"),
    Case("no lists", without("ImageSets"), "ImageSets/2017/val.txt"),
    Case("no frames of a sequence", without(f"JPEGImages/{IN_DAVIS}"), SEQUENCE),
    Case("no masks of a sequence", without(f"Annotations/{IN_DAVIS}"), SEQUENCE),
    Case("no first mask", without(f"Annotations/{IN_DAVIS}/00000.png"), "label map for its first"),
    Case("no first frame", without(f"JPEGImages/{IN_DAVIS}/00000.jpg"), "has no frame"),
    Case("no later frame", without(f"JPEGImages/{IN_DAVIS}/00002.jpg"), "has no frame"),
    Case("empty folder of frames", davis(empty_frames), "contains no images"),
    Case("small first mask", davis(small_first_mask), "5x5", writes=("new/run.json",)),
    Case("list with an unknown sequence", listed(SEQUENCE, "bear"), "bear"),
    Case("list with a path upwards", listed("../../frames"), "not the name of a folder"),
    Case("list with an absolute path", listed("/etc"), "not the name of a folder"),
    Case("list with a Windows path", listed("C:\\data"), "not the name of a folder"),
    Case("list with a null byte", listed("a\0b"), "not the name of a folder"),
    Case("list of blank lines", listed("", " "), "lists no sequences"),
    Case("pairs of no file", pairs(f"{IMAGE}.bmp {MASK}.png"), "does not exist"),
    Case("pairs without masks", pairs(f"{IMAGE}.jpg"), "no label map for its first frame"),
    Case("pairs that lead upwards", pairs("/../../x/a.jpg /../../x/a.png"), "not a path like"),
    Case("pairs of short paths", pairs("a.jpg b.png"), "not a path like"),
    Case("no list of 2016", without("ImageSets/2017", "davis2016-val"), "ImageSets/2016/val.txt"),
]


def meta(content: Any) -> Damage:
    def damage(scene: Scene) -> list[object]:
        (scene.youtube / "valid/meta.json").write_text(json.dumps(content))
        return scene.evaluate(dataset=YOUTUBE)

    return damage


def video(**content: Any) -> Damage:
    return meta({"videos": {"video": content}})


def in_youtube(name: str) -> Damage:
    """Remove a file or folder of YouTube-VOS."""

    def damage(scene: Scene) -> list[object]:
        path = scene.youtube / name
        shutil.rmtree(path) if path.is_dir() else path.unlink()
        return scene.evaluate(dataset=YOUTUBE)

    return damage


def split_itself(scene: Scene) -> list[object]:
    return [*scene.evaluate(dataset=YOUTUBE), "--data", scene.youtube / "valid"]


def frames(*names: object) -> dict[str, Any]:
    return {"1": {"category": "x", "frames": list(names)}}


YOUTUBE_VOS = [
    Case("split given as data set", split_itself, "itself a split"),
    Case("no images in the split", in_youtube("valid/JPEGImages"), "JPEGImages"),
    Case("no masks in the split", in_youtube("valid/Annotations"), "Annotations"),
    Case("no masks of a video", in_youtube("valid/Annotations/video"), "video"),
    Case(
        "no frames of a video", in_youtube("all_frames/valid_all_frames/JPEGImages/video"), "video"
    ),
    Case(
        "no frame that is to be written",
        in_youtube("all_frames/valid_all_frames/JPEGImages/video/00003.jpg"),
        "no frame '00003'",
    ),
    Case("meta of a list", meta([1]), "malformed"),
    Case("meta without videos", meta({"video": {}}), "malformed"),
    Case("meta of no video", meta({"videos": {}}), "lists no sequences"),
    Case("meta of an unknown video", meta({"videos": {"zebra": {"objects": {}}}}), "zebra"),
    Case("meta with a path upwards", meta({"videos": {"../a": {"objects": {}}}}), "not the name"),
    Case("meta without objects", video(), "malformed"),
    Case("meta with objects in a list", video(objects=[1]), "malformed"),
    Case("meta with odd ids", video(objects={"x": frames("00000")["1"]}), "meta.json"),
    Case("meta without frames", video(objects={"1": {"category": "x"}}), "malformed"),
    Case("meta with an unknown frame", video(objects=frames("00009")), "no frame '00009'"),
    Case("meta with numbers as frames", video(objects=frames(0)), "no frame '0'"),
    Case("meta with frames as a number", video(objects={"1": {"frames": 3}}), "malformed"),
]


def stills(settings: str) -> Damage:
    """Train on other still images."""
    stage = "training.stages.pretrain.data.stills"
    return lambda scene: scene.train(
        f"{stage}={settings.format(frames=scene.frames, coco=scene.coco, none=scene.root / 'no')}"
    )


def coco(content: Any) -> Damage:
    def damage(scene: Scene) -> list[object]:
        (scene.coco / "instances.json").write_text(json.dumps(content))
        file = f"{scene.coco}/instances.json"
        return stills(f"{{{{kind: coco, root: '{{coco}}', stills: false, annotations: {file}}}}}")(
            scene
        )

    return damage


def validation(settings: str) -> Damage:
    return lambda scene: scene.train(
        f"training.validation={settings.format(davis=scene.davis, none=scene.root / 'no')}"
    )


def no_object_at_all(scene: Scene) -> list[object]:
    for index in range(4):
        write_label_map(scene.davis_mask(index), np.zeros(SIZE, np.uint8))
    return scene.train()


def main_stage(override: str) -> Damage:
    return lambda scene: scene.train(f"training.stages.main.{override}")


ONE_IMAGE = {"images": [{"id": 1, "file_name": "0.jpg"}]}
TRAINING = [
    Case("no root", stills("{{kind: static, root: null, stills: false}}"), "root is not set"),
    Case("root that is missing", stills("{{kind: static, root: '{none}'}}"), "does not exist"),
    Case("stills without masks", stills("{{kind: static, root: '{frames}'}}"), "frames"),
    Case("unknown kind", stills("{{kind: davis}}"), "unknown data set 'davis'"),
    Case("no kind", stills("{{kind: ''}}"), "kind"),
    Case("COCO without annotations", stills("{{kind: coco, root: '{coco}'}}"), "annotations"),
    Case("COCO of a list", coco([]), "not as expected"),
    Case("COCO without instances", coco({**ONE_IMAGE, "annotations": []}), "no image with"),
    Case("COCO without images", coco({"annotations": []}), "not as expected"),
    Case("COCO with odd instances", coco({**ONE_IMAGE, "annotations": [3]}), "not as expected"),
    Case("frames without an object", no_object_at_all, "stills", writes=("new/*",)),
    Case("later stage without data", main_stage("data.videos=null"), "main"),
    Case("later stage on no folder", main_stage("data.videos.root=/none"), "/none"),
    Case("later stage without steps", main_stage("iterations=0"), "iterations"),
    Case("later stage of another kind", main_stage("data.videos.kind=davis2017-vla"), "vla"),
    Case("excluded sequence that is missing", main_stage("data.videos.exclude=[a]"), "'a'"),
    Case("all sequences excluded", main_stage(f"data.videos.exclude=[{SEQUENCE}]"), "main|videos"),
    Case("curriculum of numbers", main_stage("data.videos.curriculum=[1,2]"), "curriculum"),
    Case("curriculum out of order", main_stage("data.videos.curriculum=[[0,1],[0,2]]"), "curric"),
    Case("passes that do not fit", main_stage("clips_per_pass=3"), "passes|clips_per_pass"),
    Case("validation without a data set", validation("{{every: 1}}"), "dataset and root"),
    Case(
        "validation on no folder",
        validation("{{every: 1, dataset: davis2017-val, root: '{none}'}}"),
        "no does not exist|no/",
    ),
    Case(
        "validation on an unknown data set",
        validation("{{every: 1, dataset: davis, root: '{davis}'}}"),
        "unknown data set",
    ),
    Case(
        "validation on an unknown sequence",
        validation("{{every: 1, dataset: davis2017-val, root: '{davis}', sequences: [a]}}"),
        "no sequence 'a'",
    ),
]


@cases(*DAVIS, *YOUTUBE_VOS, *(replace(case, program="train") for case in TRAINING))
def test_wrong_data_sets(case: Case, scene: Scene, capsys: pytest.CaptureFixture[str]) -> None:
    case.check(scene, capsys)

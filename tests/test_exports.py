"""Exports of segmented videos: COCO, cut-outs, overlays, supervision."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import av
import numpy as np
import pytest
from PIL import Image

from scmn import InputError, VideoSegmenter
from scmn.data.annotations import read_annotations
from scmn.exports import SequenceExports, check_exports, cutout
from tests.conftest import build_small

FRAMES = 3


def clip() -> list[tuple[np.ndarray, np.ndarray]]:
    """Frames (48, 64, 3) with their label maps: object 2, from frame 1 object 9, and void."""
    rng = np.random.default_rng(0)
    frames = []
    for t in range(FRAMES):
        labels = np.zeros((48, 64), np.uint8)
        labels[5:20, 3 + t : 30 + t] = 2
        if t:
            labels[30:45, 20:40] = 9
        labels[0] = 255
        frames.append((rng.integers(0, 255, (48, 64, 3), dtype=np.uint8), labels))
    return frames


def write(folder: Path, *exports: str) -> None:
    with SequenceExports(folder, "clip", exports, object_names={9: "dog"}) as writer:
        for t, (image, labels) in enumerate(clip()):
            writer.write(f"{t:05d}.jpg", image, labels)


@pytest.mark.parametrize("export", ["coco", "coco-polygons"])
def test_coco_holds_every_object_of_every_frame(export: str, tmp_path: Path) -> None:
    pytest.importorskip("pycocotools")
    from pycocotools.coco import COCO

    write(tmp_path, export)
    path = tmp_path / export / "clip.json"
    coco = COCO(str(path))
    assert [coco.imgs[i]["file_name"] for i in coco.imgs] == ["00000.jpg", "00001.jpg", "00002.jpg"]
    assert {c["id"]: c["name"] for c in coco.cats.values()} == {2: "object 2", 9: "dog"}
    assert len(coco.anns) == 2 * FRAMES - 1
    for (_, labels), image_id in zip(clip(), coco.imgs, strict=True):
        for annotation in coco.imgToAnns[image_id]:
            mask = labels == annotation["track_id"]
            assert np.array_equal(coco.annToMask(annotation).astype(bool), mask)
            assert annotation["area"] == mask.sum()
            left, top, width, height = annotation["bbox"]
            assert mask[top : top + height, left : left + width].all()
            assert mask.sum() == width * height
    read = read_annotations(path)
    assert list(read) == ["00000", "00001", "00002"]
    for (_, labels), again in zip(clip(), read.values(), strict=True):
        assert np.array_equal(again, np.where(labels == 255, 0, labels))


def test_rgba_shows_each_object_alone(tmp_path: Path) -> None:
    write(tmp_path, "rgba")
    folder = tmp_path / "rgba" / "clip"
    assert sorted(str(p.relative_to(folder)) for p in folder.glob("*/*")) == [
        *(f"2/{t:05d}.png" for t in range(FRAMES)),
        *(f"9/{t:05d}.png" for t in range(1, FRAMES)),
    ]
    image, labels = clip()[1]
    with Image.open(folder / "9" / "00001.png") as picture:
        assert picture.mode == "RGBA"
        pixels = np.asarray(picture)
    assert np.array_equal(pixels, cutout(image, labels, 9))
    assert np.array_equal(pixels[..., 3], np.where(labels == 9, 255, 0))
    assert np.array_equal(pixels[labels == 9][:, :3], image[labels == 9])


def test_exports_appear_only_when_the_sequence_is_complete(tmp_path: Path) -> None:
    pytest.importorskip("pycocotools")

    def interrupted() -> None:
        with SequenceExports(tmp_path, "clip", ["coco", "overlay"]) as writer:
            writer.write("00000.jpg", *clip()[0])
            raise RuntimeError("interrupted")

    with pytest.raises(RuntimeError, match="interrupted"):
        interrupted()
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]
    write(tmp_path, "coco", "overlay")
    with av.open(str(tmp_path / "overlays" / "clip.mp4")) as container:
        assert sum(1 for _ in container.decode(video=0)) == FRAMES
    assert json.loads((tmp_path / "coco" / "clip.json").read_text())["images"]


def test_exports_refuse_an_unknown_format_and_a_missing_package(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with pytest.raises(InputError, match=r"unknown export 'overlays' \(did you mean 'overlay'\?\)"):
        check_exports(["overlays"])
    monkeypatch.setitem(sys.modules, "pycocotools", None)
    monkeypatch.setitem(sys.modules, "pycocotools.mask", None)
    check_exports(["rgba", "overlay"])
    with pytest.raises(InputError, match=r"pip install 'scmn\[coco\]'"):
        check_exports(["rgba", "coco"])


def test_to_supervision_holds_the_objects_that_are_seen() -> None:
    pytest.importorskip("supervision")
    frames = clip()
    labels = frames[1][1]
    prediction = VideoSegmenter(build_small("stcn")).step(frames[1][0], labels, objects=(2, 7, 9))
    assert prediction.object_ids == (2, 7, 9)
    detections = prediction.to_supervision()
    assert list(detections.class_id) == list(detections.tracker_id) == [2, 9]
    assert np.array_equal(detections.mask, np.stack([labels == 2, labels == 9]))
    assert detections.xyxy.tolist() == [[4, 5, 30, 19], [20, 30, 39, 44]]
    assert np.allclose(detections.confidence, prediction.confidence[[0, 2]])


def test_to_supervision_needs_supervision(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "supervision", None)
    prediction = VideoSegmenter(build_small("stcn")).step(*clip()[1])
    with pytest.raises(InputError, match=r"pip install 'scmn\[supervision\]'"):
        prediction.to_supervision()

"""COCO instances as still images."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from scmn.data.clips.coco import coco_images
from scmn.errors import InputError
from tests.data.training_trees import add_image


def coco_tree(folder: Path) -> tuple[Path, Path]:
    """Two images of 48x32: one with two overlapping boxes and a crowd, one with nothing."""
    add_image(folder / "images" / "1.jpg")
    add_image(folder / "images" / "2.jpg")

    def box(left: int, top: int, right: int, bottom: int) -> list[list[int]]:
        return [[left, top, right, top, right, bottom, left, bottom]]

    crowd = {"size": [32, 48], "counts": [0, 64, 32 * 48 - 64]}  # the first two columns
    entries = [
        {"image_id": 1, "segmentation": box(10, 10, 20, 20), "area": 100, "iscrowd": 0},
        {"image_id": 1, "segmentation": box(5, 5, 30, 30), "area": 625, "iscrowd": 0},
        {"image_id": 1, "segmentation": crowd, "area": 64, "iscrowd": 1},
    ]
    images = [{"id": number, "file_name": f"{number}.jpg"} for number in (1, 2)]
    file = folder / "instances.json"
    file.write_text(json.dumps({"images": images, "annotations": entries}))
    return folder / "images", file


def test_coco_images_reads_instances(tmp_path: Path) -> None:
    pytest.importorskip("pycocotools", reason="the optional extra 'coco' is not installed")
    images = coco_images(*coco_tree(tmp_path))
    assert [image.name for image in images] == ["1.jpg"]
    _, labels = images[0].read()
    assert labels[15, 15] == 2, "the smaller instance is in front"
    assert labels[25, 25] == 1
    assert (labels[:, :2] == 255).all()
    assert labels[0, 10] == 0


def test_coco_images_needs_pycocotools(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pycocotools", None)
    monkeypatch.setitem(sys.modules, "pycocotools.mask", None)
    with pytest.raises(InputError, match=r"pip install 'scmn\[coco\]'"):
        coco_images(*coco_tree(tmp_path))


def test_coco_images_refuses_malformed_files(tmp_path: Path) -> None:
    pytest.importorskip("pycocotools", reason="the optional extra 'coco' is not installed")
    images, file = coco_tree(tmp_path)
    file.write_text("{}")
    with pytest.raises(InputError, match="is not as expected"):
        coco_images(images, file)
    file.write_text("{")
    with pytest.raises(InputError, match="not readable as JSON"):
        coco_images(images, file)

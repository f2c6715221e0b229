"""Label maps from COCO's JSON, labelme's JSON and boxes."""

from __future__ import annotations

import base64
import io
import json
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from PIL import Image

from scmn.data.annotations import read_annotations
from scmn.data.boxes import box_labels, box_mask
from scmn.data.coco_masks import mask_to_polygons, mask_to_rle, segmentation_to_mask
from scmn.errors import InputError

SIZE = (32, 48)


def rectangle(left: int, top: int, right: int, bottom: int) -> list[list[float]]:
    return [[left, top, right, top, right, bottom, left, bottom]]


def blobs() -> np.ndarray:
    """Two parts, one of which touches the border, with a hole; bool (64, 80)."""
    mask = np.zeros((64, 80), np.uint8)
    cv2.circle(mask, (20, 30), 14, 1, -1)
    cv2.rectangle(mask, (50, 40), (79, 63), 1, -1)
    mask[25:35, 15:25] = 0
    return mask.astype(bool)


def test_rle_is_exact() -> None:
    pytest.importorskip("pycocotools")
    encoded = json.loads(json.dumps(mask_to_rle(blobs())))
    assert np.array_equal(segmentation_to_mask(encoded, (64, 80)), blobs())


def test_polygons_follow_the_outline_and_fill_holes() -> None:
    pytest.importorskip("pycocotools")
    decoded = segmentation_to_mask(mask_to_polygons(blobs()), (64, 80))
    filled = blobs()
    filled[25:35, 15:25] = True
    assert (decoded & filled).sum() / (decoded | filled).sum() > 0.98
    box = np.zeros((64, 80), bool)
    box[3:9, 5:21] = True
    assert np.array_equal(segmentation_to_mask(mask_to_polygons(box), (64, 80)), box)


def coco(folder: Path, annotations: list[dict[str, Any]]) -> Path:
    images = [
        {"id": number, "file_name": f"frames/{number:05d}.jpg", "height": 32, "width": 48}
        for number in (0, 40)
    ]
    path = folder / "instances.json"
    path.write_text(json.dumps({"images": images, "annotations": annotations}))
    return path


def test_coco_numbers_objects_alike_in_every_frame(tmp_path: Path) -> None:
    pytest.importorskip("pycocotools")
    large, small = rectangle(4, 4, 30, 30), rectangle(10, 10, 20, 20)
    crowd = {"size": list(SIZE), "counts": [0, 64, 32 * 48 - 64]}
    entries: list[dict[str, Any]] = [
        {"image_id": 0, "category_id": 7, "segmentation": small},
        {"image_id": 0, "category_id": 9, "segmentation": large},
        {"image_id": 0, "category_id": 9, "segmentation": crowd, "iscrowd": 1},
        {"image_id": 40, "category_id": 9, "segmentation": small},
    ]
    label_maps = read_annotations(coco(tmp_path, entries))
    assert list(label_maps) == ["00000", "00040"]
    first = label_maps["00000"]
    assert (first[15, 15], first[25, 25], first[0, 0], first[0, 40]) == (1, 2, 255, 0)
    assert label_maps["00040"][15, 15] == 2
    for entry, track in zip(entries, (200, 3, 4, 3), strict=True):
        entry["attributes"] = {"track_id": track}
    tracked = read_annotations(coco(tmp_path, entries))
    assert (tracked["00000"][15, 15], tracked["00000"][25, 25]) == (200, 3)
    assert tracked["00040"][15, 15] == 3


def labelme(path: Path, *shapes: dict[str, Any]) -> Path:
    content = {"shapes": shapes, "imagePath": "x.jpg", "imageHeight": 32, "imageWidth": 48}
    path.write_text(json.dumps(content))
    return path


def test_labelme_reads_its_shapes(tmp_path: Path) -> None:
    png = io.BytesIO()
    Image.fromarray(np.full((4, 6), True)).save(png, "PNG")
    first = labelme(
        tmp_path / "00000.json",
        {"label": "dog", "points": [[2, 2], [12, 2], [12, 12], [2, 12]], "shape_type": "polygon"},
        {"label": "dog", "points": [[30, 12], [20, 2]], "shape_type": "rectangle"},
        {"label": "cat", "group_id": 1, "points": [[40, 8], [44, 8]], "shape_type": "circle"},
        {
            "label": "cat",
            "group_id": 1,
            "points": [[10, 20], [15, 23]],
            "shape_type": "mask",
            "mask": base64.b64encode(png.getvalue()).decode(),
        },
    )
    second = labelme(
        tmp_path / "00040.json",
        {"label": "cat", "group_id": 1, "points": [[0, 0], [5, 0], [5, 5]]},
    )
    label_maps = read_annotations([first, second])
    labels = label_maps["00000"]
    assert (labels[5, 5], labels[5, 25], labels[8, 40], labels[21, 12]) == (1, 2, 3, 3)
    assert (labels == 3)[20:24, 10:16].all()
    assert (labels[2:13, 2:13] == 1).all()
    assert (labels == 1).sum() == 11 * 11
    assert label_maps["00040"][0, 4] == 3


MISTAKES = {
    "missing": (None, "does not exist"),
    "not JSON": ("{", "not readable as JSON"),
    "another format": ("{}", "neither COCO's JSON"),
    "a list": ("[]", "neither COCO's JSON"),
    "no shapes": ('{"shapes": [], "imageHeight": 8, "imageWidth": 8}', "no object is annotated"),
    "no size": ('{"shapes": [{"label": "a", "points": []}]}', "imageHeight"),
    "a line": (
        '{"shapes": [{"label": "a", "shape_type": "line", "points": [[0, 0], [1, 1]]}], '
        '"imageHeight": 8, "imageWidth": 8}',
        "'a' is a line; expected a polygon",
    ),
    "bad PNG": (
        '{"shapes": [{"label": "a", "shape_type": "mask", "points": [[0, 0], [1, 1]], '
        '"mask": "xx"}], "imageHeight": 8, "imageWidth": 8}',
        "not a PNG",
    ),
    "two images of a frame": (
        '{"images": [{"id": 1, "file_name": "a/0.jpg", "height": 8, "width": 8}, '
        '{"id": 2, "file_name": "b/0.jpg", "height": 8, "width": 8}], "annotations": ['
        '{"image_id": 1, "segmentation": {"size": [8, 8], "counts": [0, 64]}}, '
        '{"image_id": 2, "segmentation": {"size": [8, 8], "counts": [0, 64]}}]}',
        "two images are called '0'",
    ),
    "no annotations": ('{"images": [], "annotations": []}', "no image is annotated"),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_annotations_refuse_what_they_cannot_read(mistake: str, tmp_path: Path) -> None:
    text, message = MISTAKES[mistake]
    path = tmp_path / "first.json"
    if text is not None:
        path.write_text(text)
    with pytest.raises(InputError, match=message) as error:
        read_annotations(path)
    assert str(path) in str(error.value)


def picture() -> np.ndarray:
    """A red disk and a blue square on green noise, uint8 (120, 160, 3)."""
    image = np.random.default_rng(0).integers(0, 40, (120, 160, 3), dtype=np.uint8)
    image[..., 1] += 120
    cv2.circle(image, (40, 60), 20, (220, 30, 30), -1)
    cv2.rectangle(image, (100, 20), (130, 50), (20, 40, 230), -1)
    return image


def test_boxes_become_masks_of_the_objects_in_them() -> None:
    boxes = [(16, 36, 49, 49), (96, 16, 40, 40)]
    labels = box_labels(picture(), boxes)
    disk, square = picture()[..., 0] > 200, picture()[..., 2] > 200
    for object_id, expected in ((1, disk), (2, square)):
        found = labels == object_id
        assert (found & expected).sum() / (found | expected).sum() > 0.95
    assert np.array_equal(box_labels(picture(), boxes), labels), "the same boxes, the same masks"


@pytest.mark.parametrize(
    ("box", "message"),
    [
        ((150, 10, 20, 20), "not inside the frame of 160x120"),
        ((-1, 10, 20, 20), "not inside"),
        ((10, 10, 0, 20), "not inside"),
        ((0, 0, 160, 120), "covers the whole frame"),
    ],
)
def test_box_mask_refuses_a_box(box: tuple[int, int, int, int], message: str) -> None:
    with pytest.raises(InputError, match=message):
        box_mask(picture(), box)


def test_box_mask_refuses_a_box_without_an_object() -> None:
    with pytest.raises(InputError, match=r"nothing in box 20 20 30 30 differs"):
        box_mask(np.full((120, 160, 3), 90, np.uint8), (20, 20, 30, 30))

"""Label maps from the files of annotation tools: COCO's JSON and labelme's.

The objects of a video keep their ids over several frames and files: a COCO annotation by its
``track_id`` (also under CVAT's ``attributes``), any other by its label, its group and, where those
are equal within a frame, its place among them.
"""

from __future__ import annotations

import base64
import binascii
import io
import json
from collections import Counter
from collections.abc import Hashable, Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageDraw

from scmn.data.coco_masks import segmentation_to_mask
from scmn.data.masks import MAX_OBJECT_ID, VOID
from scmn.errors import InputError

_MALFORMED = (KeyError, TypeError, ValueError, IndexError, AttributeError)


def read_annotations(paths: Path | Iterable[Path]) -> dict[str, np.ndarray]:
    """Read the label maps of a video from one or more JSON files of COCO or labelme.

    Where objects overlap, the smaller one is in front (COCO), or the later one (labelme). COCO's
    crowds become void.

    Returns:
        Name of the frame (the stem of its image file) -> label map, uint8 (H, W), in the order of
        the files.

    Raises:
        InputError: a file is missing or in another format, an outline is wrong, a frame is
            annotated twice, there are too many objects, or COCO's outlines are read without
            pycocotools.
    """
    ids = _ObjectIds()
    label_maps: dict[str, np.ndarray] = {}
    for path in [paths] if isinstance(paths, Path) else paths:
        for name, labels in _read(path, ids).items():
            if name in label_maps:
                raise InputError(f"{path} annotates frame '{name}', which an earlier file does too")
            label_maps[name] = labels
    return label_maps


def _read(path: Path, ids: _ObjectIds) -> dict[str, np.ndarray]:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise InputError(f"{path} does not exist") from error
    except (OSError, ValueError) as error:
        raise InputError(f"{path} is not readable as JSON: {error}") from error
    try:
        if "shapes" in content:
            return _from_labelme(content, path, ids)
        if "annotations" in content and "images" in content:
            return _from_coco(content, ids)
    except InputError as error:
        raise InputError(f"{path}: {error}") from error
    except _MALFORMED as error:
        raise InputError(
            f"{path} is not as expected ({type(error).__name__}: {error}); expected COCO's images "
            "and annotations, or labelme's shapes"
        ) from error
    raise InputError(f"{path} is neither COCO's JSON (images, annotations) nor labelme's (shapes)")


class _ObjectIds:
    """The ids of a video's objects, given out in the order in which they are met."""

    def __init__(self) -> None:
        self._ids: dict[Hashable, int] = {}

    def of(self, key: Hashable) -> int:
        if isinstance(key, int):
            return key  # a track's own
        number = self._ids.setdefault(key, len(self._ids) + 1)
        if number > MAX_OBJECT_ID:
            raise InputError(f"more than {MAX_OBJECT_ID} objects")
        return number


def _from_coco(content: dict[str, Any], ids: _ObjectIds) -> dict[str, np.ndarray]:
    annotations: list[dict[str, Any]] = content["annotations"]
    instances = [entry for entry in annotations if not entry.get("iscrowd")]
    tracks = [_track(entry) for entry in instances]
    tracked = all(type(t) is int and 1 <= t <= MAX_OBJECT_ID for t in tracks)
    label_maps = {}
    for image in content["images"]:
        size = (int(image["height"]), int(image["width"]))
        own = [entry for entry in annotations if entry["image_id"] == image["id"]]
        if not own:
            continue
        labels = np.zeros(size, np.uint8)
        counts = Counter[Hashable]()
        masks: list[tuple[int, np.ndarray]] = []
        for entry in own:
            mask = segmentation_to_mask(entry["segmentation"], size)
            if entry.get("iscrowd"):
                labels[mask] = VOID
                continue
            category = entry.get("category_id")
            counts[category] += 1
            key = _track(entry) if tracked else ("coco", category, counts[category])
            masks.append((ids.of(key), mask))
        for object_id, mask in sorted(masks, key=lambda entry: -int(entry[1].sum())):
            labels[mask] = object_id
        name = Path(str(image["file_name"])).stem
        if name in label_maps:
            raise InputError(f"two images are called '{name}', the name of one frame")
        label_maps[name] = labels
    if not label_maps:
        raise InputError("no image is annotated")
    return label_maps


def _track(entry: dict[str, Any]) -> Any:
    return entry.get("track_id", entry.get("attributes", {}).get("track_id"))


def _from_labelme(content: dict[str, Any], path: Path, ids: _ObjectIds) -> dict[str, np.ndarray]:
    size = (int(content["imageHeight"]), int(content["imageWidth"]))
    labels = np.zeros(size, np.uint8)
    counts = Counter[Hashable]()
    if not content["shapes"]:
        raise InputError("no object is annotated")
    for shape in content["shapes"]:
        label, group = shape["label"], shape.get("group_id")
        counts[label] += group is None
        # As labelme's own converters: only a group joins shapes to one object.
        place = ("part of", group) if group is not None else counts[label]
        labels[_shape_mask(shape, size)] = ids.of(("labelme", label, place))
    return {path.stem: labels}


def _shape_mask(shape: dict[str, Any], size: tuple[int, int]) -> np.ndarray:
    """Rasterise a shape of labelme, bool (H, W), as labelme does."""
    kind: str = shape.get("shape_type", "polygon")
    points = [(float(x), float(y)) for x, y in shape["points"]]
    canvas = Image.new("1", (size[1], size[0]))
    draw = ImageDraw.Draw(canvas)
    if kind == "polygon":
        draw.polygon(points, fill=1, outline=1)
    elif kind == "rectangle":
        draw.rectangle(_corners(points), fill=1, outline=1)
    elif kind == "circle":
        (x, y), (edge_x, edge_y) = points
        radius = float(np.hypot(edge_x - x, edge_y - y))
        draw.ellipse([x - radius, y - radius, x + radius, y + radius], fill=1, outline=1)
    elif kind == "mask":
        left, top, _, _ = _corners(points)
        canvas.paste(_stored_mask(shape["mask"]), (int(left), int(top)))
    else:
        raise InputError(
            f"'{shape['label']}' is a {kind}; expected a polygon, rectangle, circle or mask"
        )
    return np.array(canvas)


def _corners(points: Sequence[tuple[float, float]]) -> list[float]:
    (x0, y0), (x1, y1) = points
    return [min(x0, x1), min(y0, y1), max(x0, x1), max(y0, y1)]


def _stored_mask(text: str) -> Image.Image:
    try:
        return Image.open(io.BytesIO(base64.b64decode(text))).convert("1", dither=Image.Dither.NONE)
    except (OSError, binascii.Error) as error:
        raise InputError(f"a shape's mask is not a PNG in base64 ({error})") from error

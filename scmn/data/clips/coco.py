"""COCO's instances as still images with masks (needs ``pycocotools``, an optional extra).

Lin et al., "Microsoft COCO: Common Objects in Context" (2014). It is also the format in which many
other instance data sets are exchanged.
"""

from __future__ import annotations

import json
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from scmn.data.coco_masks import coco_tools, segmentation_to_mask
from scmn.data.images import read_image
from scmn.data.masks import MAX_OBJECT_ID, VOID
from scmn.errors import InputError


@dataclass(frozen=True)
class CocoImage:
    """An image file and the outlines of its objects; a :class:`LabelledImage`."""

    image_path: Path
    annotation_file: Path
    outlines: bytes
    """JSON of [is a crowd, segmentation] for each instance, the largest first. In bytes, because
    the parsed file has thousands of Python objects per image, which every worker would copy."""

    @property
    def name(self) -> str:
        return self.image_path.name

    def read(self) -> tuple[np.ndarray, np.ndarray]:
        """Return image and label map; where instances overlap the smaller is in front.

        Ids are 1..254 from the largest instance down; crowds without an instance on top are void.
        """
        image = read_image(self.image_path)
        labels = np.zeros(image.shape[:2], np.uint8)
        outlines = json.loads(self.outlines)
        for crowd, segmentation in outlines:
            if crowd:
                labels[self._mask(segmentation, labels.shape)] = VOID
        instances = [segmentation for crowd, segmentation in outlines if not crowd]
        for object_id, segmentation in enumerate(instances[:MAX_OBJECT_ID], start=1):
            labels[self._mask(segmentation, labels.shape)] = object_id
        return image, labels

    def _mask(self, segmentation: Any, size: tuple[int, ...]) -> np.ndarray:
        """Decode polygons, or a run-length encoding of either kind, to bool (H, W)."""
        try:
            return segmentation_to_mask(segmentation, size)
        except InputError as error:
            raise InputError(f"{self.annotation_file}, {self.image_path.name}: {error}") from error
        except (KeyError, TypeError, ValueError, IndexError) as error:
            raise InputError(
                f"{self.annotation_file}: a segmentation of {self.image_path.name} is neither "
                f"polygons nor a run-length encoding ({type(error).__name__}: {error})"
            ) from error


def coco_images(image_folder: Path, annotation_file: Path) -> tuple[CocoImage, ...]:
    """Return the images of a COCO instances file that have at least one instance.

    Raises:
        InputError: pycocotools is not installed, a folder or file is missing, the file is not in
            COCO's format, or no image has an instance.
    """
    coco_tools()
    if not image_folder.is_dir():
        raise InputError(f"folder {image_folder} does not exist; expected the images of COCO")
    if not annotation_file.is_file():  # a pipe or a device may never end
        raise InputError(f"{annotation_file} does not exist; expected COCO's file of instances")
    try:
        content = json.loads(annotation_file.read_text(encoding="utf-8"))
        outlines = _outlines_by_image(content["annotations"])
        images = [
            CocoImage(
                image_folder / str(image["file_name"]), annotation_file, outlines[image["id"]]
            )
            for image in content["images"]
            if image["id"] in outlines
        ]
    except (OSError, ValueError) as error:
        raise InputError(f"{annotation_file} is not readable as JSON: {error}") from error
    except (KeyError, TypeError) as error:
        raise InputError(
            f"{annotation_file} is not as expected ({type(error).__name__}: {error}); expected "
            "COCO's images (id, file_name) and annotations (image_id, segmentation, area, iscrowd)"
        ) from error
    if not images:
        raise InputError(f"{annotation_file} has no image with an instance")
    return tuple(images)


def _outlines_by_image(annotations: list[dict[str, Any]]) -> dict[int, bytes]:
    by_image: dict[int, list[dict[str, Any]]] = defaultdict(list)
    for annotation in annotations:
        by_image[annotation["image_id"]].append(annotation)
    outlines = {}
    for image_id, entries in by_image.items():
        entries.sort(key=lambda entry: -float(entry["area"]))
        instances = [[bool(entry.get("iscrowd")), entry["segmentation"]] for entry in entries]
        if not all(crowd for crowd, _ in instances):
            outlines[image_id] = json.dumps(instances).encode()
    return outlines

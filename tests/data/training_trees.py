"""Small images, videos and clip sources for the tests of training data."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from PIL import Image

from scmn.data.clips.appearance import ClipColours
from scmn.data.clips.clip import ClipSettings
from scmn.data.clips.pasting import PasteSettings
from scmn.data.clips.random_geometry import AffineRange
from scmn.data.clips.static_clips import StaticAugmentation, StaticClips
from scmn.data.clips.static_images import StaticImage
from scmn.data.clips.video_clips import VideoAugmentation
from scmn.data.masks import write_label_map
from scmn.data.sequences import VideoSequence

SETTINGS = ClipSettings(frames=3, size=(32, 48), max_objects=2)

STILL = StaticAugmentation(
    scale=(1.0, 1.0),
    flip=0.0,
    motion=AffineRange(),
    spline=0.0,
    colours=ClipColours(),
    paste=PasteSettings(max_count=0),
)
"""No augmentation at all: an image of the crop's size comes out unchanged."""

UNCHANGED = VideoAugmentation(
    crop_area=(1.0, 1.0),
    crop_aspect=(1.0, 1.0),
    flip=0.0,
    reverse=0.0,
    motion=AffineRange(),
    colours=ClipColours(),
)
FORWARDS = replace(VideoAugmentation(), reverse=0.0)


def labels_with(*boxes: tuple[int, int], size: tuple[int, int] = (32, 48)) -> np.ndarray:
    """Return a label map with (id, side) squares one after the other."""
    labels = np.zeros(size, np.uint8)
    column = 2
    for object_id, side in boxes:
        labels[4 : 4 + side, column : column + side] = object_id
        column += side + 1
    return labels


def noise(seed: int = 0, size: tuple[int, int] = (32, 48)) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (*size, 3), dtype=np.uint8)


def add_image(path: Path, seed: int = 0, size: tuple[int, int] = (32, 48)) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(noise(seed, size)).save(path)
    return path


def static_source(
    folder: Path,
    *label_maps: np.ndarray,
    augmentation: StaticAugmentation | None = None,
    settings: ClipSettings = SETTINGS,
) -> StaticClips:
    """Write images with the label maps and return their clips."""
    images = []
    for number, labels in enumerate(label_maps):
        image = add_image(folder / f"{number}.png", number, (labels.shape[0], labels.shape[1]))
        mask = folder / f"mask{number}.png"
        write_label_map(mask, labels)
        images.append(StaticImage(image, mask))
    return StaticClips(images, name="still", settings=settings, augmentation=augmentation)


def video(folder: Path, label_maps: Sequence[np.ndarray], step: int = 1) -> VideoSequence:
    """Write a video of which every ``step``-th frame has a label map."""
    images, masks = [], {}
    for number in range((len(label_maps) - 1) * step + 1):
        size = label_maps[0].shape
        images.append(add_image(folder / f"{number:05d}.png", number, (size[0], size[1])))
        if number % step == 0:
            masks[number] = folder / "masks" / f"{number:05d}.png"
            write_label_map(masks[number], label_maps[number // step])
    return VideoSequence(folder.name, tuple(images), masks)

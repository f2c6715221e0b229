"""Copy-paste augmentation: objects of still images move in front of or behind a clip's own."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated

import cv2
import numpy as np
from pydantic import Field

from scmn.data.clips.random_geometry import AffineRange, draw_flip
from scmn.data.clips.static_images import LabelledImage
from scmn.data.clips.warp import Warp, reduced, warp_about
from scmn.data.masks import object_ids
from scmn.settings import Range, Share, settings


@settings(frozen=True)
class PasteSettings:
    """How objects of still images are pasted into a clip; the defaults are ours."""

    max_count: Annotated[int, Field(ge=0, le=8)] = 2
    """Maximum number of pasted objects in a clip (0: none)."""
    probability: Share = 0.5
    """Probability that each of them is pasted."""
    labelled: Share = 0.5
    """Probability of being a labelled object of the clip instead of an unlabelled distractor or
    occluder."""
    look_alike: Share = 0.0
    """Probability of being a copy of one of the clip's own objects instead of one from another
    image: only its position tells it apart."""
    behind: Share = 0.25
    """Probability of lying behind the clip's objects instead of in front of them."""
    size: Range[Annotated[float, Field(gt=0, le=4)]] = (0.2, 0.5)
    """Range of the object's longer side, as a share of the crop's shorter side."""
    drift: Share = 0.1
    """Largest motion from frame to frame along each axis, as a share of the crop's side."""

    def count(self, rng: np.random.Generator) -> int:
        """Draw how many objects are pasted into a clip."""
        return int((rng.random(self.max_count) < self.probability).sum())


@dataclass(frozen=True)
class Cutout:
    """One object of an image, cropped to its bounding box plus one pixel."""

    image: np.ndarray
    """uint8 (h, w, 3)."""
    mask: np.ndarray
    """uint8 (h, w), 0 or 1."""
    source: str
    label: int
    """Its id in the clip; 0 for a distractor."""
    behind: bool


@dataclass(frozen=True)
class MovingCutout:
    """A cutout and its warp into each frame of a clip."""

    cutout: Cutout
    warps: Sequence[Warp]

    def paste_labels(self, labels: np.ndarray, frame: int) -> np.ndarray:
        """Paste it into a label map in place; return its visible mask, uint8 (H, W)."""
        visible = self.warps[frame].labels(self.cutout.mask)
        if self.cutout.behind:
            visible[labels > 0] = 0
        labels[visible > 0] = self.cutout.label
        return visible

    def paste(self, image: np.ndarray, labels: np.ndarray, frame: int) -> None:
        """Paste it into image and label map in place, with a soft edge of one pixel."""
        visible = self.paste_labels(labels, frame)
        left, top, width, height = cv2.boundingRect(visible)
        if not width:
            return
        warp = self.warps[frame]
        part = (slice(top, top + height), slice(left, left + width))
        over = warp.image(reduced(self.cutout.image, warp.reduction))[part]
        weight = cv2.blur(visible[part].astype(np.float32), (3, 3)) * visible[part]
        image[part] = cv2.blendLinear(
            np.ascontiguousarray(image[part]), np.ascontiguousarray(over), 1 - weight, weight
        )


@dataclass(frozen=True)
class Pasting:
    """Draws the objects that are pasted into a clip, and their motion."""

    images: Sequence[LabelledImage]
    """Images that objects are cut out of (none: only look-alikes are pasted)."""
    settings: PasteSettings

    def cutouts(
        self, own: LabelledImage, unused_labels: Sequence[int], rng: np.random.Generator
    ) -> list[Cutout]:
        """Draw the objects that are pasted into a clip.

        Args:
            own: image that look-alikes are cut out of: the clip's image, or a frame of its video.
            unused_labels: ids for the labelled ones.
            rng: source of random numbers.
        """
        cutouts: list[Cutout] = []
        look_alike = self.settings.look_alike
        if not self.images and not look_alike:
            return cutouts
        for label in unused_labels[: self.settings.count(rng)]:
            if look_alike and rng.random() < look_alike:
                image = own
            elif self.images:
                image = self.images[int(rng.integers(len(self.images)))]
            else:
                continue
            cutout = _cut_out(image, unused_label=label, settings=self.settings, rng=rng)
            if cutout is not None:
                cutouts.append(cutout)
        return cutouts

    def move(
        self,
        cutouts: Sequence[Cutout],
        motion: AffineRange,
        *,
        frames: int,
        size: tuple[int, int],
        rng: np.random.Generator,
    ) -> list[MovingCutout]:
        """Draw the position of each cutout in each frame."""
        moving = []
        for cutout in cutouts:
            motions = [motion.draw(rng) for _ in range(frames)]
            warps = _drift(cutout, motions, size=size, settings=self.settings, rng=rng)
            moving.append(MovingCutout(cutout, warps))
        return moving


def _cut_out(
    image: LabelledImage, *, unused_label: int, settings: PasteSettings, rng: np.random.Generator
) -> Cutout | None:
    """Cut a random object out of an image; None if the image has none.

    Its label is ``unused_label`` or, for a distractor, 0.
    """
    pixels, labels = image.read()
    label = unused_label if rng.random() < settings.labelled else 0
    behind = bool(rng.random() < settings.behind)
    present = object_ids(labels)
    if not present:
        return None
    mask = (labels == rng.choice(present)).view(np.uint8)
    left, top, width, height = cv2.boundingRect(mask)
    rows = slice(max(0, top - 1), top + height + 1)
    columns = slice(max(0, left - 1), left + width + 1)
    return Cutout(pixels[rows, columns], mask[rows, columns], image.name, label, behind)


def _drift(
    cutout: Cutout,
    motions: Sequence[np.ndarray],
    *,
    size: tuple[int, int],
    settings: PasteSettings,
    rng: np.random.Generator,
) -> list[Warp]:
    """Return one warp per frame: the cutout drifts through the crop and moves by ``motions``.

    ``motions`` are linear maps (2, 2) about its centre.
    """
    source_size = cutout.mask.shape
    height, width = size
    scale = rng.uniform(*settings.size) * min(size) / max(source_size)
    base = scale * draw_flip(0.5, rng)
    start = rng.uniform(0.1, 0.9, 2)
    velocity = rng.uniform(-settings.drift, settings.drift, 2)
    return [
        warp_about(
            motion @ base,
            source_centre=np.array([source_size[1] / 2, source_size[0] / 2]),
            crop_centre=(start + step * velocity) * [width, height],
            source_size=(source_size[0], source_size[1]),
            size=size,
        )
        for step, motion in enumerate(motions)
    ]


def described(source: str, cutouts: Sequence[Cutout]) -> str:
    """Append the origin of the cutouts to the description of a clip's source."""
    if not cutouts:
        return source
    return f"{source} with objects of {', '.join(cutout.source for cutout in cutouts)}"

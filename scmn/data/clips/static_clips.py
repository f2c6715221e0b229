"""Still images -> training clips: each frame is the image, moved (pretraining, stage 1).

Source: STM (Oh et al., ICCV 2019, "two-stage training"); the magnitudes are those of STCN (Cheng
et al., NeurIPS 2021).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Annotated

import numpy as np
from pydantic import Field

from scmn.data.clips.appearance import ClipColours, ColourJitter, MotionBlur
from scmn.data.clips.clip import (
    ClipSettings,
    DrawnClip,
    choose_targets,
    first_with_object,
    number_targets,
)
from scmn.data.clips.pasting import Cutout, MovingCutout, PasteSettings, Pasting, described
from scmn.data.clips.random_geometry import (
    AffineRange,
    draw_flip,
    random_perspective,
    random_spline,
)
from scmn.data.clips.static_images import LabelledImage
from scmn.data.clips.warp import Warp, reduced, warp_about
from scmn.data.masks import MAX_OBJECT_ID, object_ids
from scmn.errors import InputError
from scmn.settings import Positive, Range, Share, settings


@settings(frozen=True)
class StaticAugmentation:
    """How a still image becomes a clip; the defaults are STCN's, those of pasting are ours."""

    scale: Range[Positive] = (0.8, 1.5)
    """Range of the scale of the whole clip; at 1 the image's shorter side fills the crop."""
    flip: Share = 0.5
    """Probability that the clip is flipped horizontally."""
    motion: AffineRange = field(
        default_factory=lambda: AffineRange(rotation=20.0, shear=10.0, scale=(0.9, 1.1))
    )
    """Affine motion of each frame."""
    drift: Share | None = None
    """Largest motion of the crop from frame to frame along each axis, as a share of its side (null:
    its position is redrawn for each frame)."""
    spline: Share = 1 / 3
    """Probability that each frame is warped by a thin-plate spline."""
    spline_scale: Annotated[float, Field(ge=0, le=0.2)] = 0.02
    """Standard deviation of the spline's control points, as a share of the crop's side."""
    perspective: Annotated[float, Field(ge=0, le=0.4)] = 0.0
    """Largest shift of each frame's corners by a change of perspective, as a share of the crop's
    side (0: none)."""
    colours: ClipColours = field(
        default_factory=lambda: ClipColours(
            clip=ColourJitter(0.1, 0.05, 0.05, 0.05),
            frame=ColourJitter(0.1, 0.05, 0.05),
            greyscale=0.05,
        )
    )
    blur: MotionBlur = field(default_factory=MotionBlur)
    paste: PasteSettings = field(default_factory=PasteSettings)


@dataclass(frozen=True)
class _ReadImage:
    """A still image in memory: look-alikes are cut out of it without rereading the file."""

    name: str
    image: np.ndarray
    labels: np.ndarray

    def read(self) -> tuple[np.ndarray, np.ndarray]:
        return self.image, self.labels


@dataclass(frozen=True)
class _Plan:
    """The geometry of a clip: the warps of its image and its cutouts into each frame."""

    labels: np.ndarray
    warps: Sequence[Warp]
    cutouts: Sequence[MovingCutout]
    first_labels: np.ndarray

    def frame(self, image: np.ndarray, index: int) -> tuple[np.ndarray, np.ndarray]:
        """Return image and label map of a frame, before photometric augmentation."""
        picture = self.warps[index].image(image)
        labels = self.warps[index].labels(self.labels)
        for cutout in self.cutouts:
            cutout.paste(picture, labels, index)
        return picture, labels


class StaticClips:
    """Draws clips of still images.

    Raises:
        InputError: there is no image.
    """

    def __init__(
        self,
        images: Sequence[LabelledImage],
        *,
        name: str,
        settings: ClipSettings,
        augmentation: StaticAugmentation | None = None,
    ) -> None:
        if not images:
            raise InputError(f"data set '{name}' has no image")
        self.images = images
        self.name = name
        self.settings = settings
        self.augmentation = StaticAugmentation() if augmentation is None else augmentation
        self._pasting = Pasting(images, self.augmentation.paste)

    def __len__(self) -> int:
        return len(self.images)

    def draw(self, index: int, *, rng: np.random.Generator, progress: float) -> DrawnClip:
        """Draw a clip of image ``index``; ``progress`` makes no difference.

        Raises:
            InputError: an image or mask cannot be read; the file is named.
        """
        image, labels = self.images[index].read()
        used = object_ids(labels)
        unused = [label for label in range(1, MAX_OBJECT_ID + 1) if label not in used]
        own = _ReadImage(self.images[index].name, image, labels)
        cutouts = self._pasting.cutouts(own, unused, rng)
        plan = first_with_object(self._plans(labels, cutouts, rng), self.settings)
        # The frames of a clip differ too little in scale to need different reductions.
        image = reduced(image, min(warp.reduction for warp in plan.warps))
        frames = [plan.frame(image, frame) for frame in range(self.settings.frames)]
        targets = choose_targets(plan.first_labels, self.settings, rng)
        images = self.augmentation.colours.change([picture for picture, _ in frames], rng)
        return DrawnClip(
            images=[self.augmentation.blur.apply(image, rng) for image in images],
            labels=[number_targets(moved, targets) for _, moved in frames],
            objects=len(targets),
            source=described(f"{self.name}: {own.name}", cutouts),
        )

    def _plans(
        self, labels: np.ndarray, cutouts: Sequence[Cutout], rng: np.random.Generator
    ) -> Iterator[_Plan]:
        """Yield random geometries for one clip."""
        size, frames = self.settings.size, self.settings.frames
        while True:
            warps = self._image_warps((labels.shape[0], labels.shape[1]), rng)
            motion = self.augmentation.motion
            moving = self._pasting.move(cutouts, motion, frames=frames, size=size, rng=rng)
            first_labels = warps[0].labels(labels)
            for cutout in moving:
                cutout.paste_labels(first_labels, 0)
            yield _Plan(labels, warps, moving, first_labels)

    def _image_warps(self, source_size: tuple[int, int], rng: np.random.Generator) -> list[Warp]:
        """Draw the warps of the clip's own image into each frame."""
        augmentation, size = self.augmentation, self.settings.size
        fit = max(size[0] / source_size[0], size[1] / source_size[1])
        base = fit * rng.uniform(*augmentation.scale) * draw_flip(augmentation.flip, rng)
        centre = np.array([size[1], size[0]]) / 2
        # At scale 1 the image fills the crop; the margin on each side is room to move.
        margin = np.maximum(fit * np.array([source_size[1], source_size[0]]) / 2 - centre, 0)
        warps: list[Warp] = []
        drift, offset = augmentation.drift, np.zeros(2)
        for frame in range(self.settings.frames):
            if frame == 0 or drift is None:
                offset = rng.uniform(-margin, margin)
            else:
                step = rng.uniform(-drift, drift, 2) * [size[1], size[0]]
                offset = np.clip(offset + step, -margin, margin)
            warps.append(
                warp_about(
                    augmentation.motion.draw(rng) @ base,
                    source_centre=np.array([source_size[1], source_size[0]]) / 2,
                    crop_centre=centre + offset,
                    source_size=source_size,
                    size=size,
                    displacement=self._displacement(rng),
                )
            )
        return warps

    def _displacement(self, rng: np.random.Generator) -> np.ndarray | None:
        """Draw the deviation of a frame from an affine warp; None if there is none."""
        augmentation, size = self.augmentation, self.settings.size
        parts = []
        if rng.random() < augmentation.spline:
            parts.append(random_spline(size, scale=augmentation.spline_scale, rng=rng))
        if augmentation.perspective:
            parts.append(random_perspective(size, shift=augmentation.perspective, rng=rng))
        return sum(parts[1:], start=parts[0]) if parts else None

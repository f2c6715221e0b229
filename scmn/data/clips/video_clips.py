"""Annotated videos -> training clips: frames some distance apart, augmented (stage 2).

Cheng et al., "Rethinking Space-Time Networks with Improved Memory Coverage for Efficient Video
Object Segmentation" (NeurIPS 2021): the choice of frames and the magnitudes.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Annotated, Protocol

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
from scmn.data.clips.curriculum import SkipCurriculum, choose_frames
from scmn.data.clips.pasting import Cutout, MovingCutout, PasteSettings, Pasting, described
from scmn.data.clips.random_geometry import (
    AffineRange,
    draw_flip,
    random_resized_crop,
)
from scmn.data.clips.static_images import LabelledImage
from scmn.data.clips.warp import Warp, reduced, warp_about
from scmn.data.masks import MAX_OBJECT_ID
from scmn.data.sequences import VideoSequence
from scmn.errors import InputError
from scmn.settings import Positive, Range, Share, settings


class AnnotatedVideo(Protocol):
    """A video to draw clips from: a ``VideoSequence`` or a ``SyntheticSequence``."""

    @property
    def name(self) -> str: ...

    def __len__(self) -> int: ...

    def image(self, index: int) -> np.ndarray: ...

    def annotation(self, index: int) -> np.ndarray: ...


@settings(frozen=True)
class VideoAugmentation:
    """How frames of a video become a clip; the defaults are STCN's."""

    crop_area: Range[Annotated[float, Field(gt=0, le=1)]] = (0.36, 1.0)
    """Range of the crop's area, as a share of the frame's."""
    crop_aspect: Range[Positive] = (3 / 4, 4 / 3)
    """Range of the crop's width / height before it is resized, relative to the clip's."""
    flip: Share = 0.5
    """Probability that the clip is flipped horizontally."""
    reverse: Share = 0.5
    """Probability that the clip is played backwards."""
    motion: AffineRange = field(default_factory=lambda: AffineRange(rotation=15.0, shear=10.0))
    """Affine motion of each frame, about the centre of the crop."""
    colours: ClipColours = field(
        default_factory=lambda: ClipColours(
            clip=ColourJitter(0.1, 0.03, 0.03),
            frame=ColourJitter(0.01, 0.01, 0.01),
            greyscale=0.05,
        )
    )
    blur: MotionBlur = field(default_factory=MotionBlur)
    paste: PasteSettings = field(default_factory=PasteSettings)
    """How objects of still images are pasted in, where there are such images (``paste_from``)."""


@dataclass(frozen=True)
class _Plan:
    """Which frames a clip shows and how each of them lies in the crop."""

    indices: Sequence[int]
    warps: Sequence[Warp]
    cutouts: Sequence[MovingCutout]
    first_labels: np.ndarray


class VideoClips:
    """Draws clips of annotated videos.

    Raises:
        InputError: there is no video, or one has no label map.
    """

    def __init__(
        self,
        videos: Sequence[AnnotatedVideo],
        *,
        name: str,
        settings: ClipSettings,
        augmentation: VideoAugmentation | None = None,
        curriculum: SkipCurriculum | None = None,
        frame_interval: int = 1,
        pasted_images: Sequence[LabelledImage] = (),
    ) -> None:
        """``pasted_images``: still images whose objects are pasted into the clips."""
        if not videos:
            raise InputError(f"data set '{name}' has no video")
        for video in videos:
            if isinstance(video, VideoSequence) and not video.annotation_paths:
                raise InputError(f"data set '{name}': video '{video.name}' has no label map")
        self.videos = videos
        self.name = name
        self.settings = settings
        self.augmentation = VideoAugmentation() if augmentation is None else augmentation
        self.curriculum = SkipCurriculum() if curriculum is None else curriculum
        self.frame_interval = frame_interval
        self._pasting = Pasting(pasted_images, self.augmentation.paste)

    def __len__(self) -> int:
        return len(self.videos)

    def draw(self, index: int, *, rng: np.random.Generator, progress: float) -> DrawnClip:
        """Draw a clip of video ``index``; its frames are at most the curriculum's skip apart.

        Raises:
            InputError: a frame or label map cannot be read; the file is named.
        """
        return self.draw_from(self.videos[index], rng=rng, progress=progress)

    def draw_from(
        self, video: AnnotatedVideo, *, rng: np.random.Generator, progress: float
    ) -> DrawnClip:
        """Draw a clip of any video with the settings of this data set; see ``draw``."""
        skip = self.curriculum.maximum_skip(progress, frame_interval=self.frame_interval)
        # From the highest id down: objects that enter the video later have small ids.
        cutouts = self._pasting.cutouts(_FirstFrame(video), range(MAX_OBJECT_ID, 0, -1), rng)
        plan = first_with_object(self._plans(video, cutouts, skip, rng), self.settings)
        targets = choose_targets(plan.first_labels, self.settings, rng)
        frames = [
            _read_frame(video, index, warp)
            for index, warp in zip(plan.indices, plan.warps, strict=True)
        ]
        for cutout in plan.cutouts:
            for place, (image, labels) in enumerate(frames):
                cutout.paste(image, labels, place)
        images = self.augmentation.colours.change([image for image, _ in frames], rng)
        return DrawnClip(
            images=[self.augmentation.blur.apply(image, rng) for image in images],
            labels=[number_targets(labels, targets) for _, labels in frames],
            objects=len(targets),
            source=described(
                f"{self.name}: {video.name}, frames {' '.join(map(str, plan.indices))}", cutouts
            ),
        )

    def _plans(
        self,
        video: AnnotatedVideo,
        cutouts: Sequence[Cutout],
        maximum_skip: int,
        rng: np.random.Generator,
    ) -> Iterator[_Plan]:
        """Yield random choices of frames and their geometries."""
        motion, size, frames = self.augmentation.motion, self.settings.size, self.settings.frames
        annotated = _annotated_frames(video)
        while True:
            places = choose_frames(
                len(annotated), frames=frames, maximum_skip=maximum_skip, rng=rng
            )
            if rng.random() < self.augmentation.reverse:
                places.reverse()
            indices = [annotated[place] for place in places]
            labels = video.annotation(indices[0])
            warps = self._warps((labels.shape[0], labels.shape[1]), rng)
            moving = self._pasting.move(cutouts, motion, frames=frames, size=size, rng=rng)
            first_labels = warps[0].labels(labels)
            for cutout in moving:
                cutout.paste_labels(first_labels, 0)
            yield _Plan(indices, warps, moving, first_labels)

    def _warps(self, source_size: tuple[int, int], rng: np.random.Generator) -> list[Warp]:
        """Draw one crop for the clip, and the motion of each frame.

        Where the motion uncovers the border of the crop, the frame's own pixels are sampled; only
        pixels outside of the frame are filled. STCN crops first and fills the uncovered border.
        """
        augmentation, size = self.augmentation, self.settings.size
        box = random_resized_crop(
            source_size,
            area=augmentation.crop_area,
            aspect=augmentation.crop_aspect,
            crop_aspect=size[1] / size[0],
            rng=rng,
        )
        stretch = np.diag([size[1] / box.width, size[0] / box.height])
        base = draw_flip(augmentation.flip, rng) @ stretch
        return [
            warp_about(
                augmentation.motion.draw(rng) @ base,
                source_centre=box.centre,
                crop_centre=np.array([size[1], size[0]]) / 2,
                source_size=source_size,
                size=size,
            )
            for _ in range(self.settings.frames)
        ]


@dataclass(frozen=True)
class _FirstFrame:
    """A video's first annotated frame as a source of cutouts."""

    video: AnnotatedVideo

    @property
    def name(self) -> str:
        return self.video.name

    def read(self) -> tuple[np.ndarray, np.ndarray]:
        index = _annotated_frames(self.video)[0]
        return self.video.image(index), self.video.annotation(index)


def _annotated_frames(video: AnnotatedVideo) -> Sequence[int]:
    if isinstance(video, VideoSequence):
        return sorted(video.annotation_paths)
    return range(len(video))


def _read_frame(video: AnnotatedVideo, index: int, warp: Warp) -> tuple[np.ndarray, np.ndarray]:
    """Return a frame and its label map, warped."""
    image, labels = video.image(index), video.annotation(index)
    for what, shape in (("image", image.shape[:2]), ("label map", labels.shape)):
        if shape != warp.source_size:
            height, width = warp.source_size
            raise InputError(
                f"video '{video.name}', frame {index}: the {what} is {shape[1]}x{shape[0]} pixels "
                f"but the first label map of the clip is {width}x{height}; all must be of one size"
            )
    return warp.image(reduced(image, warp.reduction)), warp.labels(labels)

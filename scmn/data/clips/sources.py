"""A data set of a training stage: its settings, and opening it as a source of clips."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import field, fields
from pathlib import Path
from typing import TypeVar

import numpy as np

from scmn.data.bl30k import bl30k_videos
from scmn.data.clips.clip import ClipSettings
from scmn.data.clips.coco import coco_images
from scmn.data.clips.curriculum import SkipCurriculum, Steps
from scmn.data.clips.static_clips import StaticAugmentation, StaticClips
from scmn.data.clips.static_images import LabelledImage, images_of_videos
from scmn.data.clips.static_layouts import static_images
from scmn.data.clips.synthetic_clips import SyntheticClips
from scmn.data.clips.video_clips import AnnotatedVideo, VideoAugmentation, VideoClips
from scmn.data.datasets import DATASETS, find_dataset
from scmn.data.synthetic import SyntheticSettings
from scmn.errors import InputError, nearest_name
from scmn.settings import Count, settings

STILL_KINDS = ("static", "coco")
BL30K = "bl30k"
EVERYWHERE = {"kind", "root", "repeat"}
OF_VIDEOS = {"frame_interval", "exclude", "curriculum", "paste_from", "video_augmentation"}
OF_STILLS = {"stills", "exclude", "still_augmentation"}
"""Settings of video data sets, and of those whose frames are still images."""
OF_KIND = {
    "static": {"stills", "split_objects", "still_augmentation"},
    "coco": {"stills", "annotations", "still_augmentation"},
    "synthetic": {"synthetic", "scenes", "endless", "curriculum", "video_augmentation"},
}
"""Settings of the other kinds."""
CLIPS_TO_FIND_AN_OBJECT = 100

Video = TypeVar("Video", bound=AnnotatedVideo)


@settings()
class DataSettings:
    """One data set of a training stage."""

    kind: str = ""
    """static (still images in a folder), coco (instances), synthetic, bl30k, or a video data set
    of ``scmn.data.datasets``: davis2016-train, davis2017-train, youtube-vos-2019-train, ..."""
    root: str | None = None
    """Its folder (coco: of the images); synthetic has none."""
    annotations: str | None = None
    """coco: the JSON file of instances."""
    repeat: Count = 1
    """Occurrences of each item in a pass over the stage's data."""
    frame_interval: Count | None = None
    """Video frames from one annotated frame to the next (null: as the kind says, 5 for
    YouTube-VOS, otherwise 1)."""
    stills: bool = False
    """Use the annotated frames of a video data set as still images."""
    split_objects: bool = False
    """static: masks hold classes, whose connected parts are the objects (PASCAL VOC)."""
    exclude: list[str] = field(default_factory=list)
    """Sequences that are held out."""
    curriculum: Steps | None = None
    """Pairs of progress, from 0 to below 1, and maximum skip in frames (null: STCN's on DAVIS)."""
    paste_from: str | None = None
    """Video data sets: a folder of still images, as for ``static``, whose objects are pasted into
    the clips as ``video_augmentation.paste`` says (null: only look-alikes)."""
    still_augmentation: StaticAugmentation | None = None
    """For still images (null: STCN's, with pasting)."""
    video_augmentation: VideoAugmentation | None = None
    """For videos (null: STCN's)."""
    synthetic: SyntheticSettings | None = None
    """synthetic: the sequences (null: the defaults of ``SyntheticSettings``)."""
    scenes: Count = 1000
    """synthetic: scenes in a pass over the data."""
    endless: bool = True
    """synthetic: draw new scenes in every pass."""

    def __post_init__(self) -> None:
        if self.frame_interval is None:
            self.frame_interval = DATASETS[self.kind].frame_interval if self.kind in DATASETS else 1

    @property
    def has_stills(self) -> bool:
        """Whether its items are still images instead of videos."""
        return self.kind in STILL_KINDS or self.stills


Source = StaticClips | VideoClips | SyntheticClips


def open_source(
    name: str, data: DataSettings, clip: ClipSettings, *, seed: int, where: str
) -> Source:
    """Open a data set as a source of clips.

    Args:
        name: its name in messages.
        data: its settings.
        clip: settings of the clips.
        seed: seed of synthetic scenes.
        where: key of the data set in the configuration, for messages.

    Raises:
        InputError: it is missing or its settings are wrong.
    """
    _refuse_what_does_not_apply(data, where)
    curriculum = None
    if data.curriculum is not None:
        curriculum = SkipCurriculum(data.curriculum)
    if data.kind == "synthetic":
        return SyntheticClips(
            data.synthetic or SyntheticSettings(),
            seed=seed,
            scenes=data.scenes,
            endless=data.endless,
            settings=clip,
            augmentation=data.video_augmentation,
            curriculum=curriculum,
        )
    if not data.kind or data.root is None:
        missing = "kind" if not data.kind else "root"
        raise InputError(f"{where}.{missing} is not set")
    root = Path(data.root)
    if data.has_stills:
        images = _images(data, root, where)
        return StaticClips(images, name=name, settings=clip, augmentation=data.still_augmentation)
    assert data.frame_interval is not None
    videos: Sequence[AnnotatedVideo] = (
        bl30k_videos(root) if data.kind == BL30K else find_dataset(data.kind).read(root)
    )
    return VideoClips(
        _without_excluded(videos, data, where),
        name=name,
        settings=clip,
        augmentation=data.video_augmentation,
        curriculum=curriculum,
        frame_interval=data.frame_interval,
        pasted_images=static_images(Path(data.paste_from)) if data.paste_from else (),
    )


def require_object(source: Source, *, seed: int, where: str) -> None:
    """Draw clips until one shows an object.

    Raises:
        InputError: none of ``CLIPS_TO_FIND_AN_OBJECT`` items does: training would run, and learn
            that there is never any. ``where``, the data set's key, is named.
    """
    rng = np.random.default_rng(seed)
    items = rng.permutation(len(source))[:CLIPS_TO_FIND_AN_OBJECT]
    if not any(source.draw(int(item), rng=rng, progress=0.0).objects for item in items):
        raise InputError(
            f"{where}: none of {len(items)} clips drawn from it shows an object; expected masks "
            "with pixels above 0"
        )


def _refuse_what_does_not_apply(data: DataSettings, where: str) -> None:
    """Raise InputError for a setting without effect, such as sequences that are not held out."""
    applying = EVERYWHERE | OF_KIND.get(data.kind, OF_STILLS if data.stills else OF_VIDEOS)
    unset = DataSettings(kind=data.kind)
    for given in fields(data):
        name = given.name
        if name not in applying and getattr(data, name) != getattr(unset, name):
            items = "still images" if data.has_stills else "videos"
            what = f"kind {data.kind}" if data.kind in OF_KIND else items
            raise InputError(f"{where}.{name} does not apply to {what}")


def _images(data: DataSettings, root: Path, where: str) -> Sequence[LabelledImage]:
    if data.kind == "static":
        return static_images(root, split_objects=data.split_objects)
    if data.kind == "coco":
        if data.annotations is None:
            raise InputError(f"{where}.annotations is not set: the JSON file of instances")
        return coco_images(root, Path(data.annotations))
    if data.kind == BL30K:
        raise InputError(f"{where}.stills does not apply to {BL30K}, which has millions of frames")
    return images_of_videos(_without_excluded(find_dataset(data.kind).read(root), data, where))


def _without_excluded(videos: Sequence[Video], data: DataSettings, where: str) -> list[Video]:
    names = [video.name for video in videos]
    for excluded in data.exclude:
        if excluded not in names:
            raise InputError(
                f"{where}.exclude: there is no sequence '{excluded}'{nearest_name(excluded, names)}"
            )
    return [video for video in videos if video.name not in data.exclude]

"""A stage's data settings -> its mixture of clips."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar, cast

from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException

from scmn.data.clips import (
    ClipMixture,
    ClipSettings,
    ClipSource,
    MixtureEntry,
    SkipCurriculum,
    StaticAugmentation,
    StaticClips,
    SyntheticClips,
    VideoAugmentation,
    VideoClips,
    coco_images,
    images_of_videos,
    open_training_videos,
    static_images,
)
from scmn.data.clips.static_images import LabelledImage
from scmn.data.sequences import VideoSequence
from scmn.data.synthetic import SyntheticSettings
from scmn.errors import InputError, nearest_name
from scmn.training.settings import DataSettings, StageSettings

T = TypeVar("T")


def build_mixture(name: str, stage: StageSettings, *, seed: int) -> ClipMixture:
    """Open the data sets of a stage.

    Raises:
        InputError: a data set is missing or its settings are wrong; the message names the entry.
    """
    clip = ClipSettings(
        frames=stage.clip.frames,
        size=_pair(stage.clip.size, f"training.stages.{name}.clip.size"),
        max_objects=stage.clip.max_objects,
    )
    entries = []
    for entry_name, entry in stage.data.items():
        if entry is None:
            continue
        where = f"training.stages.{name}.data.{entry_name}"
        source = _source(entry_name, entry, clip, seed=seed, where=where)
        entries.append(MixtureEntry(source, entry.repeat))
    total_samples = stage.iterations * stage.batch_size
    return ClipMixture(entries, seed=seed, total_samples=total_samples)


def _source(
    name: str, entry: DataSettings, clip: ClipSettings, *, seed: int, where: str
) -> ClipSource:
    curriculum = None
    if entry.curriculum is not None:
        curriculum = SkipCurriculum(tuple((step[0], step[1]) for step in entry.curriculum))
    if entry.kind == "synthetic":
        return SyntheticClips(
            typed(SyntheticSettings, entry.synthetic, f"{where}.synthetic"),
            seed=seed,
            scenes=entry.scenes,
            endless=entry.endless,
            settings=clip,
            augmentation=typed(VideoAugmentation, entry.augmentation, f"{where}.augmentation"),
            curriculum=curriculum,
        )
    if not entry.kind or entry.root is None:
        missing = "kind" if not entry.kind else "root"
        raise InputError(f"{where}.{missing} is not set")
    root = Path(entry.root)
    images = _images(entry, root, where)
    if images is not None:
        augmentation = typed(StaticAugmentation, entry.augmentation, f"{where}.augmentation")
        return StaticClips(images, name=name, settings=clip, augmentation=augmentation)
    return VideoClips(
        _videos(entry, root, where),
        name=name,
        settings=clip,
        augmentation=typed(VideoAugmentation, entry.augmentation, f"{where}.augmentation"),
        curriculum=curriculum,
        frame_interval=entry.frame_interval,
        pasted_images=static_images(Path(entry.paste_from)) if entry.paste_from else (),
    )


def _images(entry: DataSettings, root: Path, where: str) -> Sequence[LabelledImage] | None:
    """Return the entry's still images, or None if it is a video data set."""
    if entry.kind == "static":
        return static_images(root, split_objects=entry.split_objects)
    if entry.kind == "coco":
        if entry.annotations is None:
            raise InputError(f"{where}.annotations is not set: the JSON file of instances")
        return coco_images(root, Path(entry.annotations))
    return images_of_videos(_videos(entry, root, where)) if entry.stills else None


def _videos(entry: DataSettings, root: Path, where: str) -> list[VideoSequence]:
    videos = open_training_videos(entry.kind, root)
    names = [video.name for video in videos]
    for excluded in entry.exclude:
        if excluded not in names:
            raise InputError(
                f"{where}.exclude: there is no sequence '{excluded}'{nearest_name(excluded, names)}"
            )
    return [video for video in videos if video.name not in entry.exclude]


def typed(kind: type[T], values: Mapping[str, Any], where: str) -> T:
    """Make a settings dataclass from a mapping; InputError names a wrong key or type."""
    try:
        config = OmegaConf.structured(kind)
        OmegaConf.set_readonly(config, False)  # frozen dataclasses are read-only until then
        return cast(T, OmegaConf.to_object(OmegaConf.merge(config, dict(values))))
    except OmegaConfBaseException as error:
        key = f".{error.full_key}" if error.full_key else ""
        raise InputError(f"{where}{key}: {str(error).splitlines()[0]}") from error


def _pair(values: Sequence[int], where: str) -> tuple[int, int]:
    if len(values) != 2 or any(value < 16 or value % 16 for value in values):
        raise InputError(f"{where} must be height and width in multiples of 16, not {list(values)}")
    return values[0], values[1]

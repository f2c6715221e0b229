"""YouTube-VOS 2018 and 2019 on disk.

Xu et al., "YouTube-VOS: A Large-Scale Video Object Segmentation Benchmark" (2018).
"""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path

from scmn.data.images import list_images, natural_order
from scmn.data.layout import (
    FirstAppearances,
    match_annotations,
    require_folder,
    select_sequences,
    split_folder,
    subfolders,
)
from scmn.data.sequences import VideoSequence
from scmn.errors import InputError

logger = logging.getLogger(__name__)

TRAINING_SPLIT = "train"
"""Its categories are the seen ones: those of the validation split that it lacks are unseen."""

LAYOUT = (
    "YouTube-VOS: valid/JPEGImages/<video>/00000.jpg, valid/Annotations/<video>/00000.png, "
    "valid/meta.json and, for full accuracy, all_frames/valid_all_frames/JPEGImages/<video>/"
)


def youtube_vos_sequences(
    root: Path,
    *,
    split: str = "valid",
    all_frames: bool = True,
    names: Collection[str] | None = None,
) -> tuple[VideoSequence, ...]:
    """Return the videos of ``split``, or only those in ``names``; ``root`` contains the split.

    An object is given on the frame where it first appears in the label maps. Masks are written for
    the frames that ``meta.json`` lists for any object of the video, as in official submissions;
    without ``meta.json``, for those in ``<split>/JPEGImages``. Frames are read from
    ``[all_frames/]<split>_all_frames/JPEGImages``; a warning is logged if it is missing. With
    ``all_frames=False``, as for training, they are read from ``<split>/JPEGImages``, which has
    every fifth frame. Which objects are of a seen category is known where both ``meta.json`` and
    ``train/meta.json`` are there.

    Raises:
        InputError: a folder, a video or a frame is missing or ``meta.json`` is malformed.
    """
    folder = split_folder(root, split, LAYOUT)
    meta_file = folder / "meta.json"
    videos = _read_meta(meta_file) if os.path.lexists(meta_file) else None
    listed = subfolders(folder / "JPEGImages") if videos is None else list(videos)
    source = folder / "JPEGImages" if videos is None else meta_file
    selected = select_sequences(listed, names, source)
    frames_folder = _frames_folder(root, split) if all_frames else folder / "JPEGImages"
    known = videos is not None and split != TRAINING_SPLIT
    seen = _seen_categories(root) if known else None
    return tuple(
        _sequence(name, folder, frames_folder, None if videos is None else videos[name], seen)
        for name in selected
    )


def _frames_folder(root: Path, split: str) -> Path:
    name = f"{split}_all_frames"
    for folder in (root / "all_frames" / name / "JPEGImages", root / name / "JPEGImages"):
        if folder.is_dir():
            return folder
    logger.warning(
        "%s has no all_frames/%s/JPEGImages: only every fifth frame is segmented, "
        "which costs 7 to 10 points of accuracy",
        root,
        name,
    )
    return root / split / "JPEGImages"


@dataclass(frozen=True)
class _Video:
    """What ``meta.json`` says about a video."""

    written_frames: frozenset[str]
    """Names of the frames that its objects list."""
    categories: Mapping[int, str]
    """By object id, of the objects that have one."""


def _seen_categories(root: Path) -> frozenset[str] | None:
    """Return the categories of the training split; None if its ``meta.json`` is not there."""
    meta_file = root / TRAINING_SPLIT / "meta.json"
    if not os.path.lexists(meta_file):
        return None
    videos = _read_meta(meta_file).values()
    return frozenset(category for video in videos for category in video.categories.values())


def _read_meta(path: Path) -> dict[str, _Video]:
    if not path.is_file():  # a pipe or a device may never end
        raise InputError(f"{path} is not a file")
    try:
        videos = json.loads(path.read_text(encoding="utf-8"))["videos"]
        return {
            name: _Video(
                frozenset(
                    str(frame) for entry in video["objects"].values() for frame in entry["frames"]
                ),
                {
                    int(object_id): str(entry["category"])
                    for object_id, entry in video["objects"].items()
                    if "category" in entry
                },
            )
            for name, video in videos.items()
        }
    except (OSError, ValueError) as error:
        raise InputError(f"{path} cannot be read as JSON: {error}") from error
    except (KeyError, TypeError, AttributeError) as error:
        raise InputError(
            f"{path} is malformed ({type(error).__name__}: {error}); expected "
            "videos -> <video> -> objects -> <id> -> frames -> a list of frame names"
        ) from error


def _sequence(
    name: str,
    folder: Path,
    frames_folder: Path,
    video: _Video | None,
    seen_categories: frozenset[str] | None,
) -> VideoSequence:
    for part in (frames_folder / name, folder / "Annotations" / name):
        require_folder(part, LAYOUT.replace("valid", folder.name))
    frames = list_images(frames_folder / name)
    annotations = match_annotations(frames, folder / "Annotations" / name)
    if video is None:
        written = frozenset(path.stem for path in list_images(folder / "JPEGImages" / name))
    else:
        written = video.written_frames
    seen_objects: dict[int, bool] = {}
    if video is not None and seen_categories is not None:
        seen_objects = {
            object_id: category in seen_categories
            for object_id, category in video.categories.items()
        }
    absent = written.difference(path.stem for path in frames)
    if absent:
        frame = min(absent, key=natural_order)
        raise InputError(
            f"{frames_folder / name} has no frame '{frame}', whose mask must be written "
            f"({len(absent)} frames are missing)"
        )
    return VideoSequence(
        name,
        frames,
        annotations,
        given_objects=FirstAppearances(annotations),
        written_frames=written,
        seen_objects=seen_objects,
    )

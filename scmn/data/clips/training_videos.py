"""The video data sets of training by name: where their annotated sequences lie."""

from __future__ import annotations

import re
from collections.abc import Collection
from pathlib import Path

from scmn.data.davis import davis_sequences
from scmn.data.mose import mose_sequences
from scmn.data.sequences import VideoSequence
from scmn.data.youtube_vos import youtube_vos_sequences
from scmn.errors import InputError, nearest_name

TRAINING_VIDEOS = (
    "davis2016-train",
    "davis2017-train",
    "youtube-vos-2018-train",
    "youtube-vos-2019-train",
    "mose-train",
)
"""Any other split of DAVIS is ``davis2016-<split>`` or ``davis2017-<split>``."""


def open_training_videos(
    name: str, root: Path, *, sequences: Collection[str] | None = None
) -> tuple[VideoSequence, ...]:
    """Return the annotated videos of a data set, or those in ``sequences``.

    YouTube-VOS's are the annotated frames alone, every fifth of the video (a frame interval of 5).

    Raises InputError if the name is unknown, or if a folder, split, sequence or frame is missing.
    """
    davis = re.fullmatch(r"davis(2016|2017)-([\w-]+)", name)
    if davis is not None:
        return davis_sequences(root, year=int(davis[1]), split=davis[2], names=sequences)
    if name in ("youtube-vos-2018-train", "youtube-vos-2019-train"):
        return youtube_vos_sequences(root, split="train", all_frames=False, names=sequences)
    if name == "mose-train":
        return mose_sequences(root, split="train", names=sequences)
    raise InputError(
        f"unknown training data set '{name}'{nearest_name(name, TRAINING_VIDEOS)}; known are "
        f"{', '.join(TRAINING_VIDEOS)} and any split as davis2016-<split> or davis2017-<split>"
    )

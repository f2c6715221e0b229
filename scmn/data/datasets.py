"""The video data sets of training and evaluation by name: how each is read, run and scored."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Literal

from scmn.data.davis import davis_sequences
from scmn.data.mose import mose_sequences
from scmn.data.sequences import VideoSequence
from scmn.data.youtube_vos import youtube_vos_sequences
from scmn.errors import InputError, nearest_name

Protocol = Literal["davis", "youtube", "youtube-vos"]
Archive = Literal["sequences", "annotations"]


@dataclass(frozen=True)
class DatasetEntry:
    """How a data set is read, run and scored, whatever folder it is in."""

    split: str
    """The split as it appears in the names of result files."""
    read: Callable[..., tuple[VideoSequence, ...]]
    """``read(root, names=None)`` returns all sequences, or those in ``names``."""
    protocol: Protocol
    """Which objects count on which frames; see ``scmn.evaluation.protocols``."""
    size: int | None = None
    """Default shorter side in pixels at which frames are segmented (None: as stored)."""
    upscale: bool = False
    """Whether smaller frames are scaled up to that size, as in the published STCN."""
    archive: Archive | None = None
    """Layout of the zip for the server: sequence folders at its root or in ``Annotations/``; None
    where there is no server."""
    frame_interval: int = 1
    """Video frames from one frame of the sequences to the next."""


@dataclass(frozen=True)
class Dataset:
    """A data set on disk; see ``DatasetEntry`` for the fields."""

    name: str
    split: str
    sequences: tuple[VideoSequence, ...]
    protocol: Protocol
    size: int | None
    upscale: bool
    archive: Archive | None

    @property
    def annotated(self) -> bool:
        """Whether results can be scored: every sequence has label maps beyond the given ones."""
        return all(
            any(index not in sequence.given_objects for index in sequence.annotation_paths)
            for sequence in self.sequences
        )


def _davis(year: int, split: str) -> DatasetEntry:
    # The label maps of the challenge splits are not public.
    archive: Archive | None = "sequences" if split.startswith("test-") else None
    read = partial(davis_sequences, year=year, split=split)
    return DatasetEntry(split, read, protocol="davis", archive=archive)


_YOUTUBE_VOS_VAL = DatasetEntry(
    "val",
    partial(youtube_vos_sequences, split="valid"),
    protocol="youtube-vos",
    size=480,
    upscale=True,
    archive="annotations",
)
_YOUTUBE_VOS_TRAIN = DatasetEntry(
    "train",
    partial(youtube_vos_sequences, split="train", all_frames=False),
    protocol="youtube-vos",
    size=480,
    upscale=True,
    frame_interval=5,
)
_MOSE_VAL = DatasetEntry(
    "val",
    partial(mose_sequences, split="valid"),
    protocol="youtube",
    size=480,
    archive="sequences",
)
_MOSE_TRAIN = DatasetEntry(
    "train", partial(mose_sequences, split="train"), protocol="youtube", size=480
)

DATASETS: Mapping[str, DatasetEntry] = {
    "davis2016-val": _davis(2016, "val"),
    "davis2016-train": _davis(2016, "train"),
    "davis2017-val": _davis(2017, "val"),
    "davis2017-train": _davis(2017, "train"),
    "davis2017-test-dev": _davis(2017, "test-dev"),
    "youtube-vos-2018-val": _YOUTUBE_VOS_VAL,
    "youtube-vos-2018-train": _YOUTUBE_VOS_TRAIN,
    "youtube-vos-2019-val": _YOUTUBE_VOS_VAL,
    "youtube-vos-2019-train": _YOUTUBE_VOS_TRAIN,
    "mose-val": _MOSE_VAL,
    "mose-train": _MOSE_TRAIN,
    "lvos-val": _MOSE_VAL,
    "lvos-train": _MOSE_TRAIN,
}
"""Any other split of DAVIS is ``davis2016-<split>`` or ``davis2017-<split>``."""


def find_dataset(name: str) -> DatasetEntry:
    """Return the entry of a data set; InputError, naming the known ones, if there is none."""
    if name in DATASETS:
        return DATASETS[name]
    match = re.fullmatch(r"davis(2016|2017)-([\w-]+)", name)
    if match is None:
        raise InputError(
            f"unknown data set '{name}'{nearest_name(name, DATASETS)}; known are "
            f"{', '.join(DATASETS)} and any split as davis2016-<split> or davis2017-<split>"
        )
    return _davis(int(match[1]), match[2])


def open_dataset(name: str, root: Path, sequences: Collection[str] | None = None) -> Dataset:
    """Open the data set ``name`` in the folder ``root``, whole or only the named ``sequences``.

    Raises:
        InputError: the name is unknown, or a folder, split, sequence or frame is missing.
    """
    entry = find_dataset(name)
    found = entry.read(root, names=sequences)
    return Dataset(
        name,
        entry.split,
        found,
        protocol=entry.protocol,
        size=entry.size,
        upscale=entry.upscale,
        archive=entry.archive,
    )

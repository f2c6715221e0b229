"""What is segmented: a data set, or a video of the user's own."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from scmn.data.datasets import Dataset, open_dataset
from scmn.data.folder import folder_sequence, folder_sequences
from scmn.data.images import IMAGE_EXTENSIONS
from scmn.data.masks import GreyValues
from scmn.data.sequences import FrameSource
from scmn.data.video import VideoFile
from scmn.errors import InputError
from scmn.evaluation.sequence_input import SequenceInput

VIDEO_SIZE = 480
"""Shorter side for the user's own videos: what the networks are trained and measured at."""
DIGEST_LENGTH = 8
"""In the names of default output folders."""


@dataclass(frozen=True)
class Task:
    """What is segmented."""

    name: str
    data: Dataset | Sequence[FrameSource]
    folder: Path
    """The data set's folder, or the user's video, absolute, without symbolic links."""
    digest: str = ""
    """Of the path and the masks of the user's video: others may have its name."""
    size: int | None = None
    """Shorter side where the configuration gives none (None: frames keep their size)."""
    upscale: bool = False
    """Scale smaller frames up to that size where the configuration does not say."""

    def default_output(self, model: str) -> Path:
        """Return the folder for the results of a model where the user gives none."""
        return Path("results") / "-".join(filter(None, (self.name, model, self.digest)))


def dataset_task(name: str, root: Path, sequences: Sequence[str] | None = None) -> Task:
    """Open a data set, or some of its sequences; InputError if it is not there."""
    dataset = open_dataset(name, root, sequences)
    return Task(name, dataset, root.resolve(), size=dataset.size, upscale=dataset.upscale)


def video_task(video: Path, masks: Sequence[Path], *, grey: GreyValues = "checked") -> Task:
    """Open the user's own video.

    Args:
        video: a video file, a folder of frames, or a folder of such folders.
        masks: one or more label PNGs, or a folder of them; for a folder of sequences the folder
            with a folder of masks for each.
        grey: how grey masks are read (see ``GreyValues``).

    Raises:
        InputError: something is missing or does not fit.
    """
    sources, path = _video_sources(video, masks, grey), video.resolve()
    inputs = {source.name: SequenceInput.of(source).masks for source in sources}
    digests = [[name, i, m.sha256] for name, given in inputs.items() for i, m in given.items()]
    digest = hashlib.sha256(json.dumps([str(path), digests]).encode()).hexdigest()
    return Task(path.stem, sources, path, digest[:DIGEST_LENGTH], size=VIDEO_SIZE)


def _video_sources(video: Path, masks: Sequence[Path], grey: GreyValues) -> Sequence[FrameSource]:
    given = masks[0] if len(masks) == 1 else masks
    if not video.exists():
        raise InputError(f"{video} does not exist; expected a video file or a folder of frames")
    if not video.is_dir():
        return [VideoFile(video, given, grey=grey)]
    entries = [path for path in video.iterdir() if not path.name.startswith(".")]
    if any(path.suffix.lower() in IMAGE_EXTENSIONS for path in entries):
        return [folder_sequence(video, given, grey=grey)]
    if any(path.is_dir() for path in entries) and isinstance(given, Path):
        return folder_sequences(video, given, grey=grey)
    raise InputError(f"{video} holds neither images nor folders of images")

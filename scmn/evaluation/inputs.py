"""What the user asks to be segmented -> an Evaluation."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from scmn.data.datasets import open_dataset
from scmn.data.folder import folder_sequence, folder_sequences
from scmn.data.images import IMAGE_EXTENSIONS
from scmn.data.sequences import FrameSource
from scmn.data.video import VideoFile
from scmn.errors import InputError
from scmn.evaluation.evaluate import Evaluation

VIDEO_SIZE = 480
"""Shorter side for the user's own videos: what the networks are trained and measured at."""
RESULTS = Path("results")


def dataset_evaluation(
    name: str,
    root: Path,
    *,
    model: str,
    sequences: Sequence[str] | None = None,
    weights: Path | None = None,
    output: Path | None = None,
    overlay: bool = False,
) -> Evaluation:
    """Evaluate a data set, or some of its sequences; InputError if it is not there."""
    dataset = open_dataset(name, root, sequences)
    return Evaluation(
        name,
        dataset.sequences,
        output or RESULTS / f"{name}-{model}",
        dataset=dataset,
        size=dataset.size,
        weights=weights,
        overlay=overlay,
    )


def video_evaluation(
    video: Path,
    masks: Sequence[Path],
    *,
    model: str,
    weights: Path | None = None,
    output: Path | None = None,
    overlay: bool = False,
) -> Evaluation:
    """Segment the user's own video.

    Args:
        video: a video file, a folder of frames, or a folder of such folders.
        masks: one or more label PNGs, or a folder of them; for a folder of sequences the folder
            with a folder of masks for each.
        model: name of the model, for the default output folder.
        weights: file of weights.
        output: where results go (None: below ``results/``).
        overlay: write overlay videos.

    Raises:
        InputError: something is missing or does not fit.
    """
    sources = _sources(video, masks)
    name = video.resolve().stem
    return Evaluation(
        name,
        sources,
        output or RESULTS / f"{name}-{model}",
        size=VIDEO_SIZE,
        weights=weights,
        overlay=overlay,
    )


def _sources(video: Path, masks: Sequence[Path]) -> Sequence[FrameSource]:
    given = masks[0] if len(masks) == 1 else masks
    if not video.exists():
        raise InputError(f"{video} does not exist; expected a video file or a folder of frames")
    if video.is_file():
        return [VideoFile(video, given)]
    entries = [path for path in video.iterdir() if not path.name.startswith(".")]
    if any(path.suffix.lower() in IMAGE_EXTENSIONS for path in entries):
        return [folder_sequence(video, given)]
    if any(path.is_dir() for path in entries) and isinstance(given, Path):
        return folder_sequences(video, given)
    raise InputError(f"{video} holds neither images nor folders of images")

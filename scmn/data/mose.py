"""MOSE and LVOS on disk: objects may appear at any time; the mask of every frame is written.

Ding et al., "MOSE: A New Dataset for Video Object Segmentation in Complex Scenes" (ICCV 2023);
Hong et al., "LVOS: A Benchmark for Long-term Video Object Segmentation" (ICCV 2023).
"""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path

from scmn.data.images import list_images
from scmn.data.layout import (
    FirstAppearances,
    match_annotations,
    require_folder,
    select_sequences,
    split_folder,
    subfolders,
)
from scmn.data.sequences import VideoSequence

LAYOUT = (
    "MOSE or LVOS: valid/JPEGImages/<video>/00000.jpg and valid/Annotations/<video>/00000.png "
    "with a label map where an object first appears"
)


def mose_sequences(
    root: Path, *, split: str = "valid", names: Collection[str] | None = None
) -> tuple[VideoSequence, ...]:
    """Return the videos of ``split``, or only those in ``names``; ``root`` contains the split.

    An object is given on the frame where it first appears in the label maps, of which there may be
    few or one per frame.

    Raises:
        InputError: a folder is missing or a label map has no frame.
    """
    folder = split_folder(root, split, LAYOUT)
    images_folder = folder / "JPEGImages"
    sequences = []
    for name in select_sequences(subfolders(images_folder), names, images_folder):
        annotations_folder = folder / "Annotations" / name
        require_folder(annotations_folder, LAYOUT.replace("valid", split))
        frames = list_images(images_folder / name)
        annotations = match_annotations(frames, annotations_folder)
        given = FirstAppearances(annotations)
        sequences.append(VideoSequence(name, frames, annotations, given_objects=given))
    return tuple(sequences)

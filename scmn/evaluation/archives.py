"""Zip archives of predicted label maps, in the form that the data sets' servers take."""

from __future__ import annotations

import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path

from scmn.data.atomic import atomic_path
from scmn.data.datasets import Archive
from scmn.data.sequences import VideoSequence
from scmn.evaluation.predictions import prediction_path, require_predictions

ARCHIVE_ROOTS: Mapping[Archive, str] = {"sequences": "", "annotations": "Annotations/"}
"""What stands before ``<sequence>/<frame>.png``: DAVIS, MOSE, LVOS want the first form,
YouTube-VOS the second."""

_EARLIEST_DATE = (1980, 1, 1, 0, 0, 0)
_REGULAR_FILE = 0o100644 << 16


def write_submission(
    path: Path, sequences: Sequence[VideoSequence], masks_folder: Path, *, archive: Archive
) -> int:
    """Write the masks that the data set asks for to a zip; return how many.

    Only masks of frames that the sequences list as written go in, whatever else the folder holds.
    The same masks give the same bytes: times and permissions of files are left out, and PNG files,
    compressed already, are stored as they are.

    Raises InputError if a mask is missing or the file cannot be written.
    """
    members = {
        f"{ARCHIVE_ROOTS[archive]}{sequence.name}/{name}.png": prediction_path(
            masks_folder, sequence.name, name
        )
        for sequence in sequences
        for name in sequence.frame_names
        if sequence.is_written(name)
    }
    require_predictions(members.values())
    with atomic_path(path) as temporary, zipfile.ZipFile(temporary, "w") as file:
        for name, mask in members.items():
            file.writestr(_member(name), mask.read_bytes())
    return len(members)


def _member(name: str) -> zipfile.ZipInfo:
    member = zipfile.ZipInfo(name, _EARLIEST_DATE)
    member.create_system = 3  # Unix, wherever the archive is written
    member.external_attr = _REGULAR_FILE
    return member

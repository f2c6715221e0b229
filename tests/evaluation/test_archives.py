"""Zip archives for the servers of the data sets."""

from __future__ import annotations

import os
import zipfile
from pathlib import Path

import numpy as np
import pytest

from scmn.data.datasets import Archive
from scmn.data.sequences import VideoSequence
from scmn.errors import InputError
from scmn.evaluation.results import write_submission
from tests.evaluation.conftest import MakeSequence

LABELS = np.eye(8, dtype=np.uint8)


@pytest.fixture
def sequences(make_sequence: MakeSequence, masks_folder: Path) -> list[VideoSequence]:
    made = [
        make_sequence("b", [LABELS] * 3, [LABELS] * 3),
        make_sequence(
            "a", [LABELS] * 4, [LABELS] * 4, written_frames=frozenset({"00000", "00003"})
        ),
    ]
    (masks_folder / "report.html").write_text("not part of a submission", encoding="utf-8")
    (masks_folder / "b" / ".00000.tmp.png").write_bytes(b"")
    return made


def names_in(path: Path) -> list[str]:
    with zipfile.ZipFile(path) as archive:
        assert archive.testzip() is None
        return archive.namelist()


@pytest.mark.parametrize(("form", "root"), [("sequences", ""), ("annotations", "Annotations/")])
def test_write_submission_holds_what_the_server_expects(
    sequences: list[VideoSequence], masks_folder: Path, tmp_path: Path, form: Archive, root: str
) -> None:
    path = tmp_path / "submission.zip"
    assert write_submission(path, sequences, masks_folder, archive=form) == 5
    members = ["b/00000.png", "b/00001.png", "b/00002.png", "a/00000.png", "a/00003.png"]
    assert names_in(path) == [root + member for member in members]
    with zipfile.ZipFile(path) as archive:
        written = archive.read(f"{root}a/00003.png")
    assert written == (masks_folder / "a" / "00003.png").read_bytes()


def test_write_submission_is_reproducible(
    sequences: list[VideoSequence], masks_folder: Path, tmp_path: Path
) -> None:
    first, second = tmp_path / "first.zip", tmp_path / "second.zip"
    write_submission(first, sequences, masks_folder, archive="sequences")
    os.utime(masks_folder / "b" / "00001.png", (0, 0))
    (masks_folder / "b" / "00001.png").chmod(0o600)
    write_submission(second, sequences, masks_folder, archive="sequences")
    assert first.read_bytes() == second.read_bytes()


def test_write_submission_keeps_the_old_archive_if_masks_are_missing(
    sequences: list[VideoSequence], masks_folder: Path, tmp_path: Path
) -> None:
    path = tmp_path / "submission.zip"
    path.write_bytes(b"old")
    (masks_folder / "a" / "00003.png").unlink()
    (masks_folder / "a" / "00002.png").unlink()  # not asked for
    with pytest.raises(InputError, match=r"a/00003\.png does not exist; 1 of the 5"):
        write_submission(path, sequences, masks_folder, archive="annotations")
    assert path.read_bytes() == b"old"

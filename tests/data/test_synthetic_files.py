"""Synthetic sequences written as a DAVIS tree, by the function and by its script."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest

from scmn.data.davis import davis_sequences
from scmn.data.synthetic import SyntheticSequence, write_davis
from scmn.errors import InputError
from tests.data.test_synthetic import TINY
from tests.programs import run_here

SCRIPT = "scripts/make_synthetic_davis.py"


def files_of(folder: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def test_write_davis_makes_a_davis_tree_with_the_same_pixels(tmp_path: Path) -> None:
    names = write_davis(tmp_path / "out", sequences=2, seed=4, settings=TINY)
    assert names == ("synthetic-00000", "synthetic-00001")
    for number, video in enumerate(davis_sequences(tmp_path / "out", year=2017, split="val")):
        sequence = SyntheticSequence(TINY, 4, number)
        assert video.name == sequence.name
        assert len(video) == len(sequence) == 3
        for index in range(3):
            image, labels = sequence.frame(index)
            np.testing.assert_array_equal(video.annotation(index), labels)
            error = np.abs(video.image(index).astype(int) - image).mean()
            assert error < 6  # JPEG of a tiny noisy picture
    record = json.loads((tmp_path / "out" / "synthetic.json").read_text())
    assert record["seed"] == 4
    assert record["settings"]["size"] == list(TINY.size)


def test_write_davis_keeps_complete_sequences_and_restores_missing_files(tmp_path: Path) -> None:
    write_davis(tmp_path, sequences=2, settings=TINY)
    before = files_of(tmp_path)
    kept = tmp_path / "JPEGImages" / "480p" / "synthetic-00000" / "00001.jpg"
    lost = tmp_path / "Annotations" / "480p" / "synthetic-00001" / "00002.png"
    time = kept.stat().st_mtime_ns
    lost.unlink()
    write_davis(tmp_path, sequences=2, settings=TINY)
    assert files_of(tmp_path) == before
    assert kept.stat().st_mtime_ns == time


def test_write_davis_adds_sequences_and_splits(tmp_path: Path) -> None:
    write_davis(tmp_path, sequences=1, settings=TINY)
    write_davis(tmp_path, sequences=2, first_number=1, settings=TINY, split="train")
    write_davis(tmp_path, sequences=2, settings=TINY)
    lists = tmp_path / "ImageSets" / "2017"
    assert (lists / "val.txt").read_text() == "synthetic-00000\nsynthetic-00001\n"
    assert (lists / "train.txt").read_text() == "synthetic-00001\nsynthetic-00002\n"


def test_write_davis_files_do_not_depend_on_the_number_of_workers(tmp_path: Path) -> None:
    write_davis(tmp_path / "one", sequences=2, settings=TINY)
    write_davis(tmp_path / "two", sequences=2, settings=TINY, workers=2)
    assert files_of(tmp_path / "one") == files_of(tmp_path / "two")


def test_write_davis_refuses_a_folder_with_other_files(tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("mine")
    with pytest.raises(InputError, match="not a folder of synthetic sequences"):
        write_davis(tmp_path, sequences=1, settings=TINY)
    assert files_of(tmp_path) == {"thesis.txt": b"mine"}


def test_write_davis_refuses_a_folder_of_other_settings_or_another_seed(tmp_path: Path) -> None:
    write_davis(tmp_path, sequences=1, settings=TINY)
    before = files_of(tmp_path)
    with pytest.raises(InputError, match="frames 3 but 4 was requested"):
        write_davis(tmp_path, sequences=1, settings=dataclasses.replace(TINY, frames=4))
    with pytest.raises(InputError, match="seed 0 but 1 was requested"):
        write_davis(tmp_path, sequences=1, seed=1, settings=TINY)
    (tmp_path / "synthetic.json").write_text("{")
    with pytest.raises(InputError, match="cannot be read"):
        write_davis(tmp_path, sequences=1, settings=TINY)
    (tmp_path / "synthetic.json").write_bytes(before["synthetic.json"])
    assert files_of(tmp_path) == before


def test_script_writes_the_same_files_as_write_davis(tmp_path: Path) -> None:
    options = ["--sequences", "1", "--size", "32x48", "--frames", "3", "--objects", "1-2"]
    done = run_here(SCRIPT, tmp_path / "script", *options)
    assert done.returncode == 0, done.stderr
    write_davis(tmp_path / "function", sequences=1, settings=TINY)
    assert files_of(tmp_path / "script") == files_of(tmp_path / "function")


def test_script_reports_a_mistake_in_one_line(tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("mine")
    done = run_here(SCRIPT, tmp_path, "--sequences", "1", "--size", "32x48")
    assert done.returncode == 2
    assert "Traceback" not in done.stderr
    assert "not a folder of synthetic sequences" in done.stderr.splitlines()[-1]

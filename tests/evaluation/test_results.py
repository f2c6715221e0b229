"""The official CSV files and results.json."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from scmn.errors import InputError
from scmn.evaluation.results import write_results
from scmn.evaluation.run_folder import RunFolder, SequenceRecord
from scmn.evaluation.scores import DatasetScores, ObjectScores, SequenceScores
from scmn.evaluation.written_files import WrittenFiles


def files_of(folder: Path) -> WrittenFiles:
    return RunFolder(folder).result_files()


def object_scores(object_id: int, j: list[float], f: list[float]) -> ObjectScores:
    frames = tuple(f"{index:05d}" for index in range(1, len(j) + 1))
    return ObjectScores(object_id, frames, np.array(j), np.array(f))


@pytest.fixture
def scores() -> DatasetScores:
    first = object_scores(1, [0.5, 2 / 3, 0.75, 1.0], [0.4, 0.4, 0.4, 0.4])
    second = object_scores(3, [1.0, 0.5, 0.25, 0.0], [1.0, 1.0, 1.0, 0.0])
    third = object_scores(1, [0.1234567891234, 0.1234567891234], [0.9, 0.9])
    return DatasetScores(
        "davis",
        (
            SequenceScores("dogs-jump", first.frames, (first, second), ("a note",)),
            SequenceScores("car, shadow", third.frames, (third,)),
        ),
    )


def test_write_results_writes_official_csv_files(scores: DatasetScores, tmp_path: Path) -> None:
    write_results(files_of(tmp_path), scores, split="val")
    # Computed by hand; the quarters of 4 frames are frames (0, 1), ..., (2, 3).
    assert (tmp_path / "per-sequence_results-val.csv").read_text(encoding="utf-8") == (
        "Sequence,J-Mean,F-Mean\n"
        "dogs-jump_1,0.729,0.400\n"
        "dogs-jump_3,0.438,0.750\n"
        '"car, shadow_1",0.123,0.900\n'
    )
    assert (tmp_path / "global_results-val.csv").read_text(encoding="utf-8") == (
        "J&F-Mean,J-Mean,J-Recall,J-Decay,F-Mean,F-Recall,F-Decay\n"
        "0.557,0.430,0.333,0.111,0.683,0.583,0.167\n"
    )


def test_write_results_keeps_full_precision_in_json(scores: DatasetScores, tmp_path: Path) -> None:
    *_, path = write_results(files_of(tmp_path), scores, split="val", facts={"device": "cpu"})
    results = json.loads(path.read_text(encoding="utf-8"))
    assert results["protocol"] == "davis"
    assert results["split"] == "val"
    assert results["facts"] == {"device": "cpu"}
    assert results["notes"] == ["dogs-jump: a note"]
    assert results["summary"] == scores.summary
    assert "0..1" in results["units"]
    third = results["sequences"]["car, shadow"]["1"]
    assert third["J_per_frame"] == [0.1234567891234] * 2
    assert third["frames"] == ["00001", "00002"]
    second = results["sequences"]["dogs-jump"]["3"]
    assert second["J"] == {"mean": 0.4375, "recall": 0.25, "decay": 0.625}
    assert second["F_per_frame"] == [1.0, 1.0, 1.0, 0.0]


def test_write_results_without_scores_removes_earlier_tables(
    scores: DatasetScores, tmp_path: Path
) -> None:
    record = SequenceRecord(
        "clip",
        fingerprint="0",
        frames=9,
        segmented_frames=4,
        objects=2,
        height=480,
        width=854,
        network_height=480,
        network_width=864,
        device="cpu, 1 thread",
        precision="fp32",
        processes=1,
        timed_frames=2,
        network_seconds=0.5,
        total_seconds=0.75,
        peak_memory_bytes=1024,
        written=("00000",),
        exports=(),
    )
    *tables, _ = write_results(files_of(tmp_path), scores, split="test-dev")
    (path,) = write_results(files_of(tmp_path), None, split="test-dev", records=[record])
    assert not any(table.exists() for table in tables)
    results = json.loads(path.read_text(encoding="utf-8"))
    assert "summary" not in results
    assert results["runs"]["clip"]["network_seconds"] == 0.5
    assert results["runs"]["clip"]["frames"] == 9
    assert results["runs"]["clip"]["device"] == "cpu, 1 thread"


def test_write_results_replaces_its_own_files(scores: DatasetScores, tmp_path: Path) -> None:
    before = write_results(files_of(tmp_path), scores, split="val", facts={"device": "old"})
    paths = write_results(files_of(tmp_path), scores, split="val", facts={"device": "new"})
    assert paths == before
    assert '"new"' in paths[-1].read_text(encoding="utf-8")
    visible = [path for path in tmp_path.iterdir() if path.name != ".results.jsonl"]
    assert sorted(visible) == sorted(paths)  # no temporary file is left


def test_write_results_refuses_files_of_the_user(scores: DatasetScores, tmp_path: Path) -> None:
    (tmp_path / "results.json").write_text("the user's", encoding="utf-8")
    with pytest.raises(InputError, match=r"results\.json was not written by an evaluation"):
        write_results(files_of(tmp_path), scores, split="val")
    assert (tmp_path / "results.json").read_text(encoding="utf-8") == "the user's"


def test_write_results_refuses_a_file_as_folder(scores: DatasetScores, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("", encoding="utf-8")
    with pytest.raises(InputError, match="cannot write"):
        write_results(files_of(tmp_path / "file"), scores, split="val")

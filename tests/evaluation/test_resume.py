"""An evaluation into a folder that holds an earlier one: what is kept and what is made again."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from scmn import InputError
from scmn.data.masks import write_label_map
from tests.evaluation.runs import FRAMES, masks_of, run, same


def sequences_of(davis: Path) -> list[str]:
    return sorted(path.name for path in (davis / "JPEGImages/480p").iterdir())


def test_evaluate_skips_complete_sequences(davis: Path, weights: Path, tmp_path: Path) -> None:
    first = run(davis, weights, tmp_path)
    times = {path: path.stat().st_mtime_ns for path in (tmp_path / "masks").rglob("*.png")}
    again = run(davis, weights, tmp_path)
    assert {path: path.stat().st_mtime_ns for path in times} == times
    assert again.records == first.records
    assert again.scores is not None
    assert first.scores is not None
    assert again.scores.summary == first.scores.summary


def test_evaluate_resumes_an_interrupted_run(
    davis: Path, weights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run(davis, weights, tmp_path / "whole")
    written = 0

    def write(path: Path, labels: np.ndarray, **options: Any) -> None:
        nonlocal written
        written += 1
        if written == FRAMES + 3:
            raise KeyboardInterrupt
        write_label_map(path, labels, **options)

    with monkeypatch.context() as patch:
        patch.setattr("scmn.evaluation.sequence_run.write_label_map", write)
        with pytest.raises(KeyboardInterrupt):
            run(davis, weights, tmp_path / "parts")
    done = sorted((tmp_path / "parts" / "records").glob("*.json"))
    assert len(done) == 1
    left_over = [
        tmp_path / "parts" / folder / ".00003.0123456789ab.png"
        for folder in ("", "records", *(f"masks/{name}" for name in sequences_of(davis)))
    ]
    for path in left_over:
        path.touch()
    kept = {p: p.stat().st_mtime_ns for p in (tmp_path / "parts/masks" / done[0].stem).glob("0*")}
    run(davis, weights, tmp_path / "parts")
    assert not any(path.exists() for path in left_over)
    assert {path: path.stat().st_mtime_ns for path in kept} == kept
    assert same(masks_of(tmp_path / "parts"), masks_of(tmp_path / "whole"))


@pytest.mark.parametrize("damage", ["missing", "empty", "cut"])
def test_evaluate_replaces_a_lost_or_damaged_mask(
    damage: str, davis: Path, weights: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    name = sequences_of(davis)[0]
    run(davis, weights, tmp_path, sequences=[name])
    before = masks_of(tmp_path)
    path = tmp_path / "masks" / name / "00003.png"
    content = path.read_bytes()
    path.unlink()
    if damage != "missing":
        path.write_bytes(content[:-20] if damage == "cut" else b"")
    run(davis, weights, tmp_path, sequences=[name])
    assert same(masks_of(tmp_path), before)
    assert f"{path} is missing or damaged: '{name}' is segmented again" in caplog.text


def test_evaluate_refuses_other_settings(davis: Path, weights: Path, tmp_path: Path) -> None:
    run(davis, weights, tmp_path)
    before = masks_of(tmp_path)
    with pytest.raises(InputError, match=r"another run \(memory: .*choose another --output"):
        run(davis, weights, tmp_path, "memory.every=3")
    assert same(masks_of(tmp_path), before)


def test_evaluate_resumes_a_run_with_the_old_name_of_a_setting(
    davis: Path, weights: Path, tmp_path: Path
) -> None:
    first = run(davis, weights, tmp_path)
    settings = tmp_path / "run.json"
    settings.write_text(settings.read_text().replace("keep_annotated", "keep_first"))
    assert '"keep_first": true' in settings.read_text()
    assert run(davis, weights, tmp_path).records == first.records


def test_evaluate_adds_an_export_to_a_complete_run(
    davis: Path, weights: Path, tmp_path: Path
) -> None:
    pytest.importorskip("pycocotools")
    run(davis, weights, tmp_path)
    before = masks_of(tmp_path)
    first = run(davis, weights, tmp_path, exports=["coco", "rgba"])
    assert same(masks_of(tmp_path), before)
    for record in first.records:
        content = json.loads((tmp_path / "coco" / f"{record.name}.json").read_text())
        names = [image["file_name"] for image in content["images"]]
        assert names == [f"{name}.jpg" for name in record.written]
        assert any((tmp_path / "rgba" / record.name).iterdir())
    assert run(davis, weights, tmp_path, exports=["rgba", "coco"]).records == first.records
    shutil.rmtree(tmp_path / "rgba" / first.records[0].name)
    again = run(davis, weights, tmp_path, exports=["rgba"]).records
    assert again[0] != first.records[0]
    assert again[1] == first.records[1]


def test_evaluate_segments_again_after_an_interrupted_rerun(
    davis: Path, weights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The old record must not vouch for masks that were partly removed."""
    name = sequences_of(davis)[0]
    run(davis, weights, tmp_path, sequences=[name])
    before = masks_of(tmp_path)
    (tmp_path / "masks" / name / "00005.png").unlink()
    with monkeypatch.context() as patch:
        patch.setattr("scmn.evaluation.sequence_run.overlay", lambda *_: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            run(davis, weights, tmp_path, sequences=[name])
    assert len(masks_of(tmp_path)) < len(before)
    run(davis, weights, tmp_path, sequences=[name])
    assert same(masks_of(tmp_path), before)


def test_evaluate_resumes_after_a_damaged_frame_is_repaired(
    davis: Path, weights: Path, tmp_path: Path
) -> None:
    shutil.copytree(davis, tmp_path / "data")
    frame = tmp_path / "data/JPEGImages/480p" / sequences_of(davis)[0] / "00004.jpg"
    content = frame.read_bytes()
    frame.write_bytes(b"no image")
    with pytest.raises(InputError, match=r"00004\.jpg cannot be read"):
        run(tmp_path / "data", weights, tmp_path / "out")
    frame.write_bytes(content)
    run(tmp_path / "data", weights, tmp_path / "out")
    assert len(masks_of(tmp_path / "out")) == 2 * FRAMES


def test_evaluate_refuses_results_of_another_version(
    davis: Path, weights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run(davis, weights, tmp_path)
    monkeypatch.setattr("scmn.evaluation.evaluate.__version__", "99.0")
    with pytest.raises(InputError, match=r"another run \(version: .* -> 99\.0\)"):
        run(davis, weights, tmp_path)

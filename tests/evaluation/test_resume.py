"""An evaluation into a folder that holds an earlier one: what is kept, made again, or refused."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from scmn import InputError
from scmn.data.masks import read_label_map, write_label_map
from scmn.data.synthetic import SyntheticSettings, write_davis
from scmn.data.video import VideoWriter
from scmn.evaluation.evaluate import video_task
from tests.evaluation.runs import FRAMES, SIZE, masks_of, run, run_task, same


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

    def write(path: Path, labels: np.ndarray) -> None:
        nonlocal written
        written += 1
        if written == FRAMES + 3:
            raise KeyboardInterrupt
        write_label_map(path, labels)

    with monkeypatch.context() as patch:
        patch.setattr("scmn.evaluation.sequence_run.write_label_map", write)
        with pytest.raises(KeyboardInterrupt):
            run(davis, weights, tmp_path / "parts")
    done = sorted((tmp_path / "parts" / "records").iterdir())
    assert len(done) == 1
    kept = {p: p.stat().st_mtime_ns for p in (tmp_path / "parts/masks" / done[0].stem).iterdir()}
    run(davis, weights, tmp_path / "parts")
    assert {path: path.stat().st_mtime_ns for path in kept} == kept
    assert same(masks_of(tmp_path / "parts"), masks_of(tmp_path / "whole"))


def test_evaluate_replaces_a_missing_mask(davis: Path, weights: Path, tmp_path: Path) -> None:
    run(davis, weights, tmp_path)
    before = masks_of(tmp_path)
    (tmp_path / next(iter(before))).unlink()
    run(davis, weights, tmp_path)
    assert same(masks_of(tmp_path), before)


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


def test_evaluate_segments_again_after_a_changed_mask(
    davis: Path, weights: Path, tmp_path: Path
) -> None:
    shutil.copytree(davis, tmp_path / "data")
    changed, kept = sorted(path.name for path in (davis / "JPEGImages/480p").iterdir())
    run(tmp_path / "data", weights, tmp_path / "out", exports=["overlay"])
    times = {p: p.stat().st_mtime_ns for p in (tmp_path / "out/masks" / kept).iterdir()}
    mask = tmp_path / "data/Annotations/480p" / changed / "00000.png"
    labels = np.zeros(SIZE, dtype=np.uint8)
    labels[8:40, 8:40] = 1
    write_label_map(mask, labels)
    stray = tmp_path / "out/masks" / changed / "99999.png"
    shutil.copy(mask, stray)
    again = run(tmp_path / "data", weights, tmp_path / "out", exports=["overlay"])
    assert np.array_equal(read_label_map(tmp_path / "out/masks" / changed / "00000.png"), labels)
    assert not stray.exists()  # nothing of the old run mixes with the new
    assert {p: p.stat().st_mtime_ns for p in times} == times
    fresh = run(tmp_path / "data", weights, tmp_path / "fresh")
    assert again.scores is not None
    assert fresh.scores is not None
    assert again.scores.summary == fresh.scores.summary
    assert same(masks_of(tmp_path / "out"), masks_of(tmp_path / "fresh"))


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


def test_evaluate_segments_again_after_an_interrupted_change(
    davis: Path, weights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The old record must not vouch for masks that were partly overwritten."""
    shutil.copytree(davis, tmp_path / "data")
    name = sorted(path.name for path in (davis / "JPEGImages/480p").iterdir())[0]
    run(tmp_path / "data", weights, tmp_path / "out")
    before = masks_of(tmp_path / "out")
    mask = tmp_path / "data/Annotations/480p" / name / "00000.png"
    original = mask.read_bytes()
    write_label_map(mask, np.eye(*SIZE, dtype=np.uint8))
    with monkeypatch.context() as patch:
        patch.setattr("scmn.evaluation.sequence_run.overlay", lambda *_: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            run(tmp_path / "data", weights, tmp_path / "out")
    mask.write_bytes(original)
    run(tmp_path / "data", weights, tmp_path / "out")
    assert same(masks_of(tmp_path / "out"), before)


def test_evaluate_segments_again_from_another_root(
    davis: Path, weights: Path, tmp_path: Path
) -> None:
    settings = SyntheticSettings(size=SIZE, frames=FRAMES)
    write_davis(tmp_path / "data", sequences=2, settings=settings, seed=7)
    run(davis, weights, tmp_path / "out")
    run(tmp_path / "data", weights, tmp_path / "out")
    run(tmp_path / "data", weights, tmp_path / "fresh")
    fresh = masks_of(tmp_path / "fresh")
    assert same({name: masks_of(tmp_path / "out")[name] for name in fresh}, fresh)


def test_evaluate_segments_another_video_of_the_same_name(weights: Path, tmp_path: Path) -> None:
    labels = np.zeros(SIZE, dtype=np.uint8)
    labels[10:40, 10:40] = 1
    write_label_map(tmp_path / "first.png", labels)
    for folder, length in (("a", 5), ("b", 3)):
        (tmp_path / folder).mkdir()
        with VideoWriter(tmp_path / folder / "clip.mp4", frame_rate=10) as writer:
            for t in range(length):
                writer.write(np.full((*SIZE, 3), 20 * t + length, dtype=np.uint8))
    results = []
    for folder in ("a", "b", "b"):
        task = video_task(tmp_path / folder / "clip.mp4", [tmp_path / "first.png"])
        result = run_task(task, weights, tmp_path / "out")
        results.append(result.records[0])
        assert len(masks_of(tmp_path / "out")) == result.records[0].frames
    assert [record.frames for record in results] == [5, 3, 3]
    assert results[1] == results[2]  # the second time it was complete


def test_evaluate_refuses_results_of_another_version(
    davis: Path, weights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run(davis, weights, tmp_path)
    monkeypatch.setattr("scmn.evaluation.evaluate.__version__", "99.0")
    with pytest.raises(InputError, match=r"another run \(version: .* -> 99\.0\)"):
        run(davis, weights, tmp_path)

"""What the speed of an evaluation counts."""

from __future__ import annotations

import shutil
import time
from collections import Counter
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from scmn import VideoSegmenter
from scmn.evaluation import sequence_run
from scmn.evaluation.tasks import video_task
from scmn.evaluation.warm_up import WARM_UP_FRAMES
from scmn.inference.prediction import Prediction
from tests.evaluation.runs import FRAMES, run, run_task


def test_speed_leaves_warm_up_out(
    davis: Path, weights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def slow_at_first(self: VideoSegmenter, *given: Any, **settings: Any) -> Prediction:
        nonlocal clock
        prediction = step(self, *given, **settings)
        objects = len(prediction.object_ids)
        seen[objects] += 1
        clock += 100 if seen[objects] <= WARM_UP_FRAMES else 0.5
        return prediction

    clock = 0.0
    seen = Counter[int]()
    step = VideoSegmenter.step
    monkeypatch.setattr(VideoSegmenter, "step", slow_at_first)
    monkeypatch.setattr(sequence_run, "time", SimpleNamespace(perf_counter=lambda: clock))
    result = run(davis, weights, tmp_path)
    timed = sum(count - WARM_UP_FRAMES for count in seen.values())
    assert sum(record.timed_frames for record in result.records) == timed > 0
    assert result.speed.frames_per_second == result.speed.end_to_end_frames_per_second == 2
    facts = result.speed.facts()
    assert facts["frames"] == f"{2 * FRAMES}, of which {2 * FRAMES} segmented, {timed} timed"
    assert "without compilation and warm-up: the first 3 frames of each" in facts["frames/s"]


def test_speed_of_too_few_frames_is_not_measured(
    davis: Path, weights: Path, tmp_path: Path
) -> None:
    name = sorted(path.name for path in (davis / "JPEGImages/480p").iterdir())[0]
    frames = tmp_path / "frames"
    frames.mkdir()
    for path in sorted((davis / "JPEGImages/480p" / name).iterdir())[:WARM_UP_FRAMES]:
        shutil.copy(path, frames)
    mask = davis / "Annotations/480p" / name / "00000.png"
    result = run_task(video_task(frames, [mask]), weights, tmp_path / "out")
    assert result.speed.frames_per_second is None
    assert result.speed.facts()["frames/s"].startswith("not measured")


def test_evaluate_does_not_time_overlays(
    davis: Path, weights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def slow(image: np.ndarray, labels: np.ndarray) -> np.ndarray:
        nonlocal calls
        calls += 1
        time.sleep(0.3)
        return image

    calls = 0
    monkeypatch.setattr("scmn.evaluation.sequence_run.overlay", slow)
    name = sorted(path.name for path in (davis / "JPEGImages/480p").iterdir())[0]
    begun = time.perf_counter()
    (record,) = run(davis, weights, tmp_path, sequences=[name]).records
    assert calls == 4
    assert record.network_seconds < record.total_seconds < time.perf_counter() - begun - 0.3 * calls

"""The scorer against a plain implementation, on as many label maps as DAVIS 2017 val has.

Both read the same PNG files, alternating by sequence, in one process and one thread, so that a busy
machine slows both. The numbers must agree to 1e-9.
"""

from __future__ import annotations

import math
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import cv2
import numpy as np
import plain_metrics

from scmn.data.masks import write_label_map
from scmn.data.sequences import VideoSequence
from scmn.evaluation.run_folder import prediction_path
from scmn.evaluation.scores import SequenceScores
from scmn.evaluation.scoring import score_sequence

WIDTH, HEIGHT = 854, 480
OBJECTS_PER_SEQUENCE = (1, 2, 3)
"""Used in turn: 30 sequences have 60 objects, as in DAVIS 2017 val."""
AGREEMENT = 1e-9

Result = TypeVar("Result")


@dataclass(frozen=True)
class Timing:
    sequence: str
    frames: int
    objects: int
    plain_seconds: float
    scorer_seconds: float

    @property
    def ratio(self) -> float:
        return self.plain_seconds / self.scorer_seconds


def run(*, sequences: int, frames: int) -> None:
    """Write label maps to a temporary folder, time both implementations, print the table."""
    cv2.setNumThreads(1)
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        print(f"writing {2 * frames} label maps of {WIDTH}x{HEIGHT} ...")
        written = [
            write_sequence(root, index, frames=length)
            for index, length in enumerate(_lengths(sequences, frames))
        ]
        _time_sequence(written[0], root / "predictions", plain_first=True)  # warm up both
        timings = [
            _time_sequence(sequence, root / "predictions", plain_first=index % 2 == 0)
            for index, sequence in enumerate(written)
        ]
    _print_table(timings)


def write_sequence(root: Path, index: int, *, frames: int) -> VideoSequence:
    """Write annotations and predictions of a sequence of moving blobs; the same for one index."""
    name = f"sequence-{index:02d}"
    random = np.random.default_rng(index)
    objects = OBJECTS_PER_SEQUENCE[index % len(OBJECTS_PER_SEQUENCE)]
    size = np.array((WIDTH, HEIGHT))
    centres = random.uniform(0.25 * size, 0.75 * size, (objects, 2))
    radii = random.uniform(40, 130, (objects, 2))
    phases = random.uniform(0, 2 * math.pi, (objects, 2))
    annotations = {}
    for frame in range(frames):
        moved = centres + 60 * np.sin(0.07 * frame + phases)
        annotations[frame] = root / "annotations" / name / f"{frame:05d}.png"
        write_label_map(annotations[frame], _blobs(moved, radii, frame))
        # The prediction lags behind and is lost for some frames.
        error = random.normal(0, 3 if frame % 20 < 15 else 25, moved.shape)
        predicted = _blobs(moved + error, radii * random.uniform(0.9, 1.1), frame)
        write_label_map(prediction_path(root / "predictions", name, f"{frame:05d}"), predicted)
    return VideoSequence(name, tuple(annotations.values()), annotations)


def _blobs(centres: np.ndarray, radii: np.ndarray, frame: int) -> np.ndarray:
    """Draw one deforming blob per object, uint8 (H, W); later objects cover earlier ones."""
    labels = np.zeros((HEIGHT, WIDTH), np.uint8)
    angles = np.linspace(0, 2 * math.pi, 90, endpoint=False)
    for number, (centre, radius) in enumerate(zip(centres, radii, strict=True), start=1):
        wobble = 1 + 0.15 * np.sin(5 * angles + 0.2 * frame) + 0.06 * np.sin(13 * angles)
        circle = np.stack((np.cos(angles), np.sin(angles)), axis=1)
        outline = centre + circle * radius * wobble[:, None]
        cv2.fillPoly(labels, [np.round(outline).astype(np.int32)], number)
    return labels


def _lengths(sequences: int, frames: int) -> list[int]:
    return [len(part) for part in np.array_split(np.arange(frames), sequences)]


def _time_sequence(sequence: VideoSequence, predictions: Path, *, plain_first: bool) -> Timing:
    annotations = list(sequence.annotation_paths.values())
    predicted = [prediction_path(predictions, sequence.name, name) for name in sequence.frame_names]

    def plain() -> tuple[np.ndarray, np.ndarray]:
        return plain_metrics.plain_scores(annotations, predicted)

    def scorer() -> SequenceScores:
        return score_sequence(sequence, predictions, protocol="davis")

    if plain_first:
        (plain_values, plain_seconds), (scores, scorer_seconds) = _timed(plain), _timed(scorer)
    else:
        (scores, scorer_seconds), (plain_values, plain_seconds) = _timed(scorer), _timed(plain)
    _require_agreement(scores, *plain_values)
    return Timing(sequence.name, len(sequence), len(scores.objects), plain_seconds, scorer_seconds)


def _timed(function: Callable[[], Result]) -> tuple[Result, float]:
    start = time.perf_counter()
    result = function()
    return result, time.perf_counter() - start


def _require_agreement(scores: SequenceScores, j: np.ndarray, f: np.ndarray) -> None:
    for of_object, plain_j, plain_f in zip(scores.objects, j, f, strict=True):
        np.testing.assert_allclose(of_object.region_similarity, plain_j, rtol=0, atol=AGREEMENT)
        np.testing.assert_allclose(of_object.contour_accuracy, plain_f, rtol=0, atol=AGREEMENT)


def _print_table(timings: list[Timing]) -> None:
    total = Timing(
        "all",
        sum(timing.frames for timing in timings),
        sum(timing.objects for timing in timings),
        sum(timing.plain_seconds for timing in timings),
        sum(timing.scorer_seconds for timing in timings),
    )
    row = "{:14} {:>6} {:>8} {:>10} {:>10} {:>8}"
    print(row.format("sequence", "frames", "objects", "plain (s)", "scmn (s)", "ratio"))
    for timing in (*timings, total):
        print(
            row.format(
                timing.sequence,
                timing.frames,
                timing.objects,
                f"{timing.plain_seconds:.2f}",
                f"{timing.scorer_seconds:.2f}",
                f"{timing.ratio:.1f}x",
            )
        )
    print(f"J and F agree to {AGREEMENT:g} on every frame; one process, one thread")

"""The results of the YouTube-VOS benchmark, on a tree whose numbers are computed by hand.

A band is predicted as it is (J = F = 1), half as wide (J = F = 0.5: one of two contours), one pixel
to the side (J = 7 / 9; F = 1, as it is within the tolerance), or not at all (J = F = 0).
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pytest

from scmn.data.masks import write_label_map
from scmn.evaluation.evaluate import rescore
from scmn.evaluation.scores import NO_G, DatasetScores
from scmn.evaluation.summary import score_table
from scmn.evaluation.tasks import dataset_task
from tests.data.trees import add_frames, numbered
from tests.evaluation.label_maps import HALF, ONE, SIZE, label_map

BOTH = label_map(o1=(4, 12), o2=(20, 30))
ANNOTATIONS = {"v": [ONE, BOTH, BOTH, BOTH], "w": [ONE] * 3}
PREDICTIONS = {
    "v": [ONE, label_map(o1=(4, 8)), label_map(o1=(4, 12), o2=(20, 25)), ONE],
    "w": [HALF, label_map(o1=(5, 13)), ONE],
}
CATEGORIES = {"v": {"1": "dog", "2": "yak"}, "w": {"1": "yak"}}


def write_maps(folder: Path, videos: Mapping[str, Sequence[np.ndarray]]) -> None:
    for name, maps in videos.items():
        for frame, labels in zip(numbered(len(maps), step=5), maps, strict=True):
            write_label_map(folder / name / f"{frame}.png", labels)


def write_meta(path: Path, categories: Mapping[str, Mapping[str, str]]) -> None:
    videos = {
        name: {
            "objects": {
                number: {"category": category, "frames": numbered(len(ANNOTATIONS[name]), step=5)}
                for number, category in objects.items()
            }
        }
        for name, objects in categories.items()
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({"videos": videos}))


@pytest.fixture
def root(tmp_path: Path) -> Path:
    folder = tmp_path / "data"
    for name, maps in ANNOTATIONS.items():
        frames = folder / "valid/JPEGImages" / name
        add_frames(frames, numbered(len(maps), step=5), size=SIZE[::-1])
    write_maps(folder / "valid/Annotations", ANNOTATIONS)
    write_maps(tmp_path / "masks", PREDICTIONS)
    write_meta(folder / "valid/meta.json", CATEGORIES)
    write_meta(folder / "train/meta.json", {"v": {"1": "cat", "2": "dog"}})
    return folder


def scored(root: Path) -> DatasetScores:
    task = dataset_task("youtube-vos-2019-val", root)
    return rescore(root.parent / "masks", task, output=root.parent / "out", scoring_processes=1)[0]


def test_g_is_the_mean_over_seen_and_unseen_categories(root: Path) -> None:
    scores = scored(root)
    # Object 2 of v counts from the frame after its first, and the last frame counts.
    assert [of.frames for of in scores.objects] == [
        ("00005", "00010", "00015"),
        ("00010", "00015"),
        ("00005", "00010"),
    ]
    expected = {
        "J-Seen": (0.5 + 1 + 1) / 3,
        "J-Unseen": ((0.5 + 0) / 2 + (7 / 9 + 1) / 2) / 2,
        "F-Seen": (0.5 + 1 + 1) / 3,
        "F-Unseen": ((0.5 + 0) / 2 + (1 + 1) / 2) / 2,
    }
    assert scores.youtube_vos == pytest.approx({"G": sum(expected.values()) / 4, **expected})
    assert scores.notes == ()
    shown = "YouTube-VOS: G 71.5  J-Seen 83.3  J-Unseen 56.9  F-Seen 83.3  F-Unseen 62.5"
    assert shown in score_table(scores).splitlines()
    written = json.loads((root.parent / "out/results.json").read_text())
    assert written["youtube_vos"] == scores.youtube_vos
    assert "seen J 83.3 · F 83.3" in (root.parent / "out/report.html").read_text()


def test_g_needs_the_seen_categories_and_all_annotations(root: Path) -> None:
    write_meta(root / "train/meta.json", {"v": {"1": "dog", "2": "yak"}})
    assert scored(root).youtube_vos is None  # nothing is unseen
    (root / "train/meta.json").unlink()
    scores = scored(root)
    assert scores.youtube_vos is None
    assert scores.notes == (NO_G,)
    assert "youtube_vos" not in json.loads((root.parent / "out/results.json").read_text())
    write_meta(root / "train/meta.json", {"v": {"1": "dog"}})
    assert scored(root).youtube_vos is not None
    (root / "valid/Annotations/v/00010.png").unlink()
    assert scored(root).youtube_vos is None

"""Real clips through the whole evaluation, with a small random network at a small size."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from scmn import save_weights
from scmn.data.masks import read_label_map
from scmn.evaluation.tasks import dataset_task, video_task
from tests.conftest import build_small
from tests.evaluation.runs import run_task

OVERRIDES = ["evaluation.size=64", "memory.max_frames=4"]


def small_weights(folder: Path) -> Path:
    save_weights(build_small("scmn"), folder / "small.safetensors")
    return folder / "small.safetensors"


def test_evaluate_three_objects_of_davis(shared_data: Path, tmp_path: Path) -> None:
    weights = small_weights(tmp_path)
    task = dataset_task("davis2017-val", shared_data / "davis-clips", ["dogs-jump"])
    result = run_task(task, weights, tmp_path / "out", *OVERRIDES)
    assert result.scores is not None
    assert [scored.object_id for scored in result.scores.objects] == [1, 2, 3]
    masks = sorted((tmp_path / "out/masks/dogs-jump").iterdir())
    assert len(masks) == 66
    assert read_label_map(masks[-1]).shape == (240, 432)


def test_evaluate_five_similar_objects_from_a_folder(shared_data: Path, tmp_path: Path) -> None:
    weights = small_weights(tmp_path)
    clips = shared_data / "davis-clips"
    mask = clips / "Annotations/480p/gold-fish/00000.png"
    task = video_task(clips / "JPEGImages/480p/gold-fish", [mask])
    result = run_task(task, weights, tmp_path / "out", *OVERRIDES)
    assert result.records[0].objects == 5
    assert result.records[0].frames == 40
    first = read_label_map(tmp_path / "out/masks/gold-fish/00000.png")
    assert np.array_equal(first, read_label_map(mask))

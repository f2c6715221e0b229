"""Runs of the evaluation on small synthetic sequences, and the masks they write."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch

from scmn.data.masks import read_label_map
from scmn.evaluation.evaluate import Result, evaluate, load_settings
from scmn.evaluation.tasks import Task, dataset_task
from scmn.processes import Processes

SIZE = (64, 96)
FRAMES = 6


def run(
    davis: Path,
    weights: Path,
    output: Path,
    *overrides: str,
    sequences: Sequence[str] | None = None,
    exports: Sequence[str] = (),
) -> Result:
    task = dataset_task("davis2017-val", davis, sequences)
    return run_task(task, weights, output, *overrides, exports=exports)


def run_task(
    task: Task, weights: Path | None, output: Path, *overrides: str, exports: Sequence[str] = ()
) -> Result:
    config, file = load_settings(None, overrides, weights)
    processes = Processes(torch.device("cpu"))
    result = evaluate(task, config, output, weights=file, exports=exports, processes=processes)
    assert result is not None
    return result


def masks_of(output: Path) -> dict[str, np.ndarray]:
    return {
        str(path.relative_to(output)): read_label_map(path)
        for path in sorted((output / "masks").rglob("*.png"))
    }


def same(first: dict[str, np.ndarray], second: dict[str, np.ndarray]) -> bool:
    return first.keys() == second.keys() and all(np.array_equal(first[k], second[k]) for k in first)

"""Runs of the evaluation on small synthetic sequences, and the masks they write."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from scmn.data.masks import read_label_map
from scmn.evaluation.evaluate import Result, evaluate, resolve_config
from scmn.evaluation.inputs import dataset_evaluation

SIZE = (64, 96)
FRAMES = 6


def run(davis: Path, weights: Path, output: Path, *overrides: str, **options: object) -> Result:
    config = resolve_config(None, overrides, weights)
    evaluation = dataset_evaluation(
        "davis2017-val",
        davis,
        model="scmn",
        weights=weights,
        output=output,
        **options,  # type: ignore[arg-type]
    )
    result = evaluate(evaluation, config)
    assert result is not None
    return result


def masks_of(output: Path) -> dict[str, np.ndarray]:
    return {
        str(path.relative_to(output)): read_label_map(path)
        for path in sorted((output / "masks").rglob("*.png"))
    }


def same(first: dict[str, np.ndarray], second: dict[str, np.ndarray]) -> bool:
    return first.keys() == second.keys() and all(np.array_equal(first[k], second[k]) for k in first)

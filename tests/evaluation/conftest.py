"""Small data sets on disk: label maps as annotations and as predictions."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from scmn.data.masks import write_label_map
from scmn.data.sequences import VideoSequence

MakeSequence = Callable[..., VideoSequence]


@pytest.fixture
def masks_folder(tmp_path: Path) -> Path:
    """Where ``make_sequence`` writes predictions."""
    return tmp_path / "masks"


@pytest.fixture
def make_sequence(tmp_path: Path, masks_folder: Path) -> MakeSequence:
    """Write a sequence's annotations and predictions; None stands for a file that is absent."""

    def make(
        name: str,
        annotations: Sequence[np.ndarray | None],
        predictions: Sequence[np.ndarray | None],
        **settings: Any,
    ) -> VideoSequence:
        frames = tuple(
            tmp_path / "frames" / name / f"{index:05d}.jpg" for index in range(len(annotations))
        )
        written: dict[int, Path] = {}
        for index, labels in enumerate(annotations):
            if labels is not None:
                written[index] = tmp_path / "annotations" / name / f"{index:05d}.png"
                write_label_map(written[index], labels)
        for index, labels in enumerate(predictions):
            if labels is not None:
                write_label_map(masks_folder / name / f"{index:05d}.png", labels)
        return VideoSequence(name, frames, written, **settings)

    return make

"""What the tests of evaluation share on disk: small data sets, predictions and weights."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from scmn import save_weights
from scmn.data.masks import write_label_map
from scmn.data.sequences import VideoSequence
from scmn.data.synthetic import SyntheticSettings, write_davis
from tests.conftest import build_small
from tests.evaluation.runs import FRAMES, SIZE

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


@pytest.fixture(scope="session")
def davis(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two small synthetic sequences in the DAVIS layout."""
    folder = tmp_path_factory.mktemp("davis")
    write_davis(folder, sequences=2, settings=SyntheticSettings(size=SIZE, frames=FRAMES))
    return folder


@pytest.fixture(scope="session")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("weights") / "small.safetensors"
    save_weights(build_small("scmn"), path)
    return path

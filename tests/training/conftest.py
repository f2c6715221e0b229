"""Fixtures that the tests of training share."""

from __future__ import annotations

from pathlib import Path

import pytest

from scmn.data.synthetic import SyntheticSettings, write_davis
from scmn.training.checkpoint_folder import CheckpointFolder


@pytest.fixture
def folder(tmp_path: Path) -> CheckpointFolder:
    return CheckpointFolder(tmp_path / "run", keep=2)


@pytest.fixture(scope="session")
def davis(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("davis")
    settings = SyntheticSettings(size=(64, 96), frames=5, objects=(1, 2))
    write_davis(folder, sequences=3, settings=settings, split="train")
    return folder

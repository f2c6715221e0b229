"""Fixtures that the tests of training share."""

from __future__ import annotations

from pathlib import Path

import pytest

from scmn.training.checkpoint_folder import CheckpointFolder


@pytest.fixture
def folder(tmp_path: Path) -> CheckpointFolder:
    return CheckpointFolder(tmp_path / "run", keep=2)

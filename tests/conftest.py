"""Fixtures shared by several test files."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
import torch

from scmn import build_model, list_models
from scmn.networks.base import MemoryNetwork
from tests.published_files import write_published_file

REPOSITORY = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="session")
def golden() -> Path:
    """Folder of results recorded from the published code and the official scorer."""
    return REPOSITORY / "tests" / "golden"


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Folder of real clips and images outside the repository; tests are skipped without it."""
    folder = Path(os.environ.get("SCMN_SHARED_DATA", REPOSITORY.parent / "shared" / "data"))
    if not folder.is_dir():
        pytest.skip(f"real data not found in {folder} (set SCMN_SHARED_DATA)")
    return folder


SMALL: dict[str, Any] = {
    "backbone": "resnet10_half",
    "key_dim": 16,
    "value_dim": 32,
    "hidden_dim": 16,
}
"""Network settings that make the full-size code paths small enough for tests."""


def small_settings(name: str) -> dict[str, Any]:
    """Backbone and switches of a small network."""
    settings = {**SMALL}
    if name == "stcn":
        settings["value_backbone"] = SMALL["backbone"]
    elif name.startswith("scmn"):
        settings["refinement_dim"] = 8
    return settings


def build_small(name: str, **switches: object) -> MemoryNetwork:
    """Build a small network; its random weights are always the same."""
    torch.manual_seed(0)
    return build_model(name, **{**small_settings(name), **switches})


@pytest.fixture(params=[name for name in list_models() if name != "scmn_tiny"])
def small_model(request: pytest.FixtureRequest) -> MemoryNetwork:
    """Every registered model, in a small size, in which scmn_tiny is scmn_small."""
    return build_small(request.param)


@pytest.fixture(scope="session", params=["stm", "stcn"])
def published_file(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> tuple[str, Path]:
    """Model name and path of a checkpoint with the published names and deterministic weights."""
    name = request.param
    path = tmp_path_factory.mktemp("published") / f"{name}.pth"
    write_published_file(name, path)
    return name, path

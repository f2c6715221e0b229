"""Fixtures that several test files share."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
import torch

from scmn import build_model, list_models
from scmn.networks.base import MemoryNetwork
from tests.golden import deterministic_weights as golden_weights

REPOSITORY = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="session")
def golden() -> Path:
    """The folder of numbers that the published code and the official scorer gave."""
    return REPOSITORY / "tests" / "golden"


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Real clips and images; they are not part of the repository, so their tests may be skipped."""
    folder = Path(os.environ.get("SCMN_SHARED_DATA", REPOSITORY.parent / "shared" / "data"))
    if not folder.is_dir():
        pytest.skip(f"real data not found in {folder} (set SCMN_SHARED_DATA)")
    return folder


SMALL = {"backbone": "resnet18", "key_dim": 16, "value_dim": 32, "hidden_dim": 16}
"""Settings that keep full-size code paths at a size for tests."""


def build_small(name: str, **switches: object) -> MemoryNetwork:
    """Build a small network with the same random weights every time."""
    torch.manual_seed(0)
    extra = {"refinement_dim": 8} if name.startswith("scmn") else {}
    return build_model(name, **{**SMALL, **extra, **switches})


@pytest.fixture(params=list_models())
def small_model(request: pytest.FixtureRequest) -> MemoryNetwork:
    """Every registered model, small; of SCMN both kinds of memory."""
    return build_small(request.param)


@pytest.fixture(scope="session", params=["stm", "stcn"])
def published_file(
    request: pytest.FixtureRequest, golden: Path, tmp_path_factory: pytest.TempPathFactory
) -> tuple[str, Path]:
    """A file under the published names with the golden numbers, as (model name, path)."""
    name = request.param
    shapes = json.loads((golden / f"{name}_state_dict.json").read_text())
    empty = {key: torch.zeros(shape) for key, shape in shapes.items()}
    # The published STM file was saved from DataParallel.
    prefix = "module." if name == "stm" else ""
    state = {prefix + key: value for key, value in golden_weights.fill(empty, salt="c").items()}
    path = tmp_path_factory.mktemp("published") / f"{name}.pth"
    torch.save(state, path)
    return name, path

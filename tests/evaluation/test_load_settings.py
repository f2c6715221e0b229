"""The settings of an evaluation: from the configuration, the weights and the network."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from scmn import InputError
from scmn.evaluation.evaluate import load_settings


def test_load_settings_takes_the_networks_memory_policy() -> None:
    config, _ = load_settings(None, ["model.name=stcn", "memory.max_frames=4"], None)
    assert config.memory == {"max_frames": 4}


def test_load_settings_takes_the_model_from_the_weights(weights: Path, tmp_path: Path) -> None:
    config, file = load_settings(None, [], weights)
    assert config.model.name == "scmn"
    assert file is not None
    torch.save(file.state, tmp_path / "nameless.pth")
    with pytest.raises(InputError, match=r"nameless\.pth does not name its model"):
        load_settings(None, [], tmp_path / "nameless.pth")
    with pytest.raises(InputError, match="did you mean 'stcn'"):
        load_settings(None, ["model.name=stnc"], None)


def test_load_settings_without_a_model_takes_the_bundled_weights() -> None:
    config, file = load_settings(None, [], None)
    assert config.model.name == "scmn_small"
    assert file is not None
    assert file.path.name == "scmn_small.safetensors"

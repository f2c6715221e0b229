"""Memory-based video object segmentation: SCMN, STM and STCN.

from scmn import build_model, VideoSegmenter

segmenter = VideoSegmenter(build_model("stcn", weights="stcn.pth"), device="cuda")
for prediction in segmenter.run(frames, first_labels):
    prediction.labels
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

if TYPE_CHECKING:
    from scmn.build import build_model
    from scmn.config import load_config
    from scmn.errors import InputError
    from scmn.inference.augmentation import AugmentedSegmenter
    from scmn.inference.memory.settings import MemorySettings
    from scmn.inference.prediction import Prediction
    from scmn.inference.segmenter import VideoSegmenter
    from scmn.networks.registry import list_models
    from scmn.weights.files import save_weights

_HOMES = {
    "AugmentedSegmenter": "scmn.inference.augmentation",
    "InputError": "scmn.errors",
    "MemorySettings": "scmn.inference.memory.settings",
    "Prediction": "scmn.inference.prediction",
    "VideoSegmenter": "scmn.inference.segmenter",
    "build_model": "scmn.build",
    "list_models": "scmn.networks.registry",
    "load_config": "scmn.config",
    "save_weights": "scmn.weights.files",
}

__all__ = [
    "AugmentedSegmenter",
    "InputError",
    "MemorySettings",
    "Prediction",
    "VideoSegmenter",
    "build_model",
    "list_models",
    "load_config",
    "save_weights",
]


def __getattr__(name: str) -> Any:
    # Loaded on first use: scoring masks or asking for --help needs no torch.
    if name in _HOMES:
        return getattr(importlib.import_module(_HOMES[name]), name)
    raise AttributeError(f"module 'scmn' has no attribute '{name}'")

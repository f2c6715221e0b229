"""Memory-based video object segmentation: SCMN, STM and STCN.

Example::

    from scmn import VideoSegmenter, build_model

    segmenter = VideoSegmenter(build_model("stcn", weights="stcn.pth"), device="cuda")
    for prediction in segmenter.run(frames, first_labels):
        prediction.labels  # uint8 (H, W)
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

if TYPE_CHECKING:
    from scmn.build import build_model as build_model
    from scmn.config import load_config as load_config
    from scmn.data.datasets import open_dataset as open_dataset
    from scmn.data.video import VideoFile as VideoFile
    from scmn.errors import InputError as InputError
    from scmn.evaluation.evaluator import Evaluator as Evaluator
    from scmn.hub import from_pretrained as from_pretrained
    from scmn.hub import push_to_hub as push_to_hub
    from scmn.hub import save_pretrained as save_pretrained
    from scmn.inference.augmentation import AugmentedSegmenter as AugmentedSegmenter
    from scmn.inference.memory.settings import MemorySettings as MemorySettings
    from scmn.inference.prediction import Prediction as Prediction
    from scmn.inference.segmenter import VideoSegmenter as VideoSegmenter
    from scmn.networks.registry import list_models as list_models
    from scmn.visualization import overlay as overlay
    from scmn.weights.files import save_weights as save_weights

_MODULES = {
    "AugmentedSegmenter": "scmn.inference.augmentation",
    "Evaluator": "scmn.evaluation.evaluator",
    "InputError": "scmn.errors",
    "MemorySettings": "scmn.inference.memory.settings",
    "Prediction": "scmn.inference.prediction",
    "VideoFile": "scmn.data.video",
    "VideoSegmenter": "scmn.inference.segmenter",
    "build_model": "scmn.build",
    "from_pretrained": "scmn.hub",
    "list_models": "scmn.networks.registry",
    "load_config": "scmn.config",
    "open_dataset": "scmn.data.datasets",
    "overlay": "scmn.visualization",
    "push_to_hub": "scmn.hub",
    "save_pretrained": "scmn.hub",
    "save_weights": "scmn.weights.files",
}

__all__ = list(_MODULES)


def __getattr__(name: str) -> Any:
    # Imported on first use: printing --help must not wait for torch.
    if name in _MODULES:
        return getattr(importlib.import_module(_MODULES[name]), name)
    raise AttributeError(f"module 'scmn' has no attribute '{name}'")


def __dir__() -> list[str]:
    return sorted({*globals(), *_MODULES})

"""Arguments of settings classes, segmenters and networks are checked as settings are."""

from __future__ import annotations

import copy
import json
import math
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file

from scmn import AugmentedSegmenter, InputError, VideoSegmenter, build_model
from scmn.data.clips.clip import ClipSettings
from scmn.data.clips.static_clips import StaticAugmentation
from scmn.data.synthetic import SyntheticSettings
from scmn.inference.memory.settings import KernelSettings, MemorySettings
from scmn.training.settings import LossSettings, OptimizerSettings, ScheduleSettings
from tests.conftest import build_small


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: MemorySettings(0, True, True, None, None), r"MemorySettings\.every must be"),
        (lambda: KernelSettings(sigma="wide"), r"KernelSettings\.sigma must be a valid number"),
        (lambda: ClipSettings(size=(50, 64)), r"ClipSettings\.size\.0 must be a multiple of 16"),
        (lambda: StaticAugmentation(splin=0.5), r"StaticAugmentation\.splin: .*'spline'"),
        (lambda: StaticAugmentation(scale=(1.5, 1)), r".*\.scale must have its minimum first"),
        (lambda: SyntheticSettings(frames=True), r".*\.frames must be a valid integer, not True"),
        (lambda: OptimizerSettings("sgd"), r"OptimizerSettings\.name must be 'adam' or 'adamw'"),
        (lambda: LossSettings(cross_entropy=math.nan), r".*\.cross_entropy must be a finite"),
        (lambda: LossSettings(cross_entropy=0), "LossSettings: nothing trains the masks"),
        (lambda: ScheduleSettings("step"), "ScheduleSettings: 'step' needs milestones"),
    ],
)
def test_settings_classes_check_their_arguments(make: Callable[[], object], message: str) -> None:
    with pytest.raises(InputError, match=f"^{message}"):
        make()


def test_settings_made_from_a_mapping_differ_from_the_defaults_only_there() -> None:
    made = StaticAugmentation(colours={"clip": {"brightness": 0.3}})  # type: ignore[arg-type]
    default = StaticAugmentation()
    assert made.colours.clip.brightness == 0.3
    assert made.colours.clip.contrast == default.colours.clip.contrast != 0
    assert made.colours.frame == default.colours.frame
    assert pickle.loads(pickle.dumps(made)) == copy.deepcopy(made) == made != default


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("size", True, "size must be a valid integer, not True"),
        ("size", 0, "size must be greater than or equal to 1, not 0"),
        ("scale", math.nan, "scale must be a finite number"),
        (
            "precision",
            "fp8",
            "precision must be 'auto', 'fp32', 'tf32', 'bf16' or 'fp16', not 'fp8'",
        ),
        ("objects_per_batch", 1.5, "objects_per_batch must be a valid integer"),
        ("max_objects", 255, "max_objects must be less than or equal to 254"),
        ("block_bytes", -1, "block_bytes must be"),
        ("compile", "no", "compile must be a valid boolean"),
        ("memory", 5, "memory must be a dictionary or an instance of MemorySettings, not 5"),
        ("memory", {"every": 0}, r"memory\.every must be"),
        ("memory", {"kernel": 5.6}, r"memory\.kernel must be a dictionary"),
        ("memory", {"kernel": {"width": 1}}, r"memory\.kernel\.width: no such setting"),
        ("memory", {"max_frame": 3}, r"memory\.max_frame: .*'max_frames'"),
    ],
)
def test_segmenters_check_their_arguments(name: str, value: Any, message: str) -> None:
    with pytest.raises(InputError, match=f"^{message}"):
        VideoSegmenter(build_small("stm"), **{name: value})


@pytest.mark.parametrize("scales", [[], [0.0], ["1"], 1.0])
def test_augmented_segmenter_checks_its_scales(scales: Any) -> None:
    with pytest.raises(InputError, match=r"^scales.* (must|should)"):
        AugmentedSegmenter(build_small("stm"), scales=scales)


SWITCHES = [
    ("refinement", "banana", "refinement must be a valid boolean, not 'banana'"),
    ("head", 5, "head must be a valid boolean, not 5"),
    ("key_dim", True, "key_dim must be a valid integer"),
    ("value_dim", 0, "value_dim must be greater than 0"),
    ("decoder", "unet", "decoder must be 'basnet' or 'stm', not 'unet'"),
    ("similarity", None, "similarity must be 'dot' or 'l2'"),
    ("refinment", False, r"refinment: no such setting \(did you mean 'refinement'\?\)"),
]


@pytest.mark.parametrize(("name", "value", "message"), SWITCHES)
def test_build_model_checks_the_switches(name: str, value: Any, message: str) -> None:
    with pytest.raises(InputError, match=f"^model 'scmn': {message}"):
        build_model("scmn", **{name: value})


@pytest.mark.parametrize("suffix", [".safetensors", ".pt"])
def test_weights_files_with_wrong_switches_are_refused(suffix: str, tmp_path: Path) -> None:
    network = build_small("scmn")
    assert network.description is not None
    path = tmp_path / f"weights{suffix}"
    for name, value, message in SWITCHES:
        settings = {**network.description.settings, name: value}
        description = {"name": "scmn", "settings": settings}
        if suffix == ".pt":
            torch.save({"model": network.state_dict(), "description": description}, path)
        else:
            save_file(network.state_dict(), path, {"description": json.dumps(description)})
        with pytest.raises(InputError, match=rf"^{path}: model\.{message}"):
            build_model("scmn", weights=path)

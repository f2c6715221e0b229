"""Settings in YAML, overrides and Python are checked by their types and ranges."""

from __future__ import annotations

import copy
import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from scmn import InputError, load_config
from scmn.config import Config, check_config, parse_config

STAGE = "training.stages.main"
DATA = f"{STAGE}.data.videos"
BASE: dict[str, Any] = {
    "training": {
        "stages": {
            "main": {
                "iterations": 100,
                "loss": {"mask_quality": 0.0, "bootstrap": {"start": 5, "end": 10}},
                "data": {
                    "videos": {"kind": "davis2017-train", "video_augmentation": {}},
                    "scenes": {"kind": "synthetic", "synthetic": {}},
                    "stills": {"kind": "static", "still_augmentation": {}},
                },
            }
        }
    },
    "memory": {"kernel": {"sigma": 5.0}, "long_term": {"prototypes": 64}},
}

INTEGERS = {
    "memory.every": 0,
    "memory.max_frames": -1,
    "memory.top_k": 0,
    "memory.long_term.min_frames": 1,
    "memory.long_term.max_frames": 0,
    "memory.long_term.prototypes": 0,
    "memory.long_term.max_elements": 0,
    "evaluation.size": -1,
    "evaluation.objects_per_batch": 0,
    "evaluation.max_objects": 255,
    "evaluation.processes": 0,
    "training.seed": 2**70,
    "training.workers": -1,
    "training.log_every": 0,
    "training.pictures_every": 0,
    "training.checkpoint_every": -3,
    "training.keep_checkpoints": -1,
    "training.validation.max_frames": 0,
    "training.validation.size": 0,
    f"{STAGE}.iterations": -1,
    f"{STAGE}.batch_size": 0,
    f"{STAGE}.clips_per_pass": 0,
    f"{STAGE}.clip.frames": 1,
    f"{STAGE}.clip.max_objects": 255,
    f"{STAGE}.clip.redraws": -1,
    f"{STAGE}.memory.every": 0,
    f"{STAGE}.memory.max_frames": 0,
    f"{STAGE}.loss.bootstrap.start": -1,
    f"{STAGE}.schedule.warm_up": -1,
    f"{DATA}.repeat": 0,
    f"{DATA}.frame_interval": 0,
    f"{DATA}.scenes": 0,
    f"{STAGE}.data.scenes.synthetic.frames": 0,
    f"{DATA}.video_augmentation.paste.max_count": 9,
}
"""Integers, each with a value out of its range."""
NUMBERS = {
    "memory.kernel.sigma": 0.0,
    "training.averaging.decay": 1.0,
    f"{STAGE}.clip.minimum_area": 1.5,
    f"{STAGE}.loss.cross_entropy": -1.0,
    f"{STAGE}.loss.auxiliary": -0.5,
    f"{STAGE}.loss.bootstrap.fraction": 0.0,
    f"{STAGE}.optimizer.learning_rate": -1e-3,
    f"{STAGE}.optimizer.weight_decay": 1e300,
    f"{STAGE}.optimizer.epsilon": 0.0,
    f"{STAGE}.optimizer.clip_gradient_norm": 0.0,
    f"{STAGE}.schedule.gamma": 1.1,
    f"{STAGE}.schedule.rise": -0.1,
    f"{DATA}.video_augmentation.flip": 2.0,
    f"{DATA}.video_augmentation.motion.shear": 90.0,
    f"{DATA}.video_augmentation.blur.length": 0.0,
    f"{DATA}.video_augmentation.paste.drift": -0.1,
    f"{STAGE}.data.scenes.synthetic.minimum_area": 0.3,
    f"{STAGE}.data.stills.still_augmentation.spline_scale": 0.3,
    f"{STAGE}.data.stills.still_augmentation.colours.clip.hue": 0.6,
}
"""Other numbers, each with a value out of its range."""
FLAGS = (
    "memory.keep_previous",
    "evaluation.compile",
    "training.train_affine",
    "training.averaging.enabled",
    f"{DATA}.stills",
    f"{STAGE}.data.scenes.synthetic.shadows",
)
OTHERS: list[tuple[str, Any, str]] = [
    ("model.name", 5, "must be a valid string"),
    ("memory.every", "5", "must be a valid integer, not '5'"),
    ("memory.long_term", {"min_frames": 1}, r"min_frames must be greater than or equal to 2"),
    (
        "memory.long_term",
        {"min_frames": 9, "max_frames": 9},
        "memory.long_term: max_frames must be",
    ),
    ("evaluation.direction", "back", "must be 'forward' or 'both', not 'back'"),
    ("memory.eviction", "newest", "must be 'oldest' or 'usage', not 'newest'"),
    ("memory.every", 5.0, r"must be a valid integer, not 5\.0"),
    ("training.train_affine", 1, "must be a valid boolean, not 1"),
    (f"{STAGE}.loss.soft_iou", math.inf, "must be a finite number, not inf"),
    (f"{STAGE}.loss.soft_iou", True, "must be a valid number, not True"),
    ("model.pretrained_backbone", 1, "must be true, false or a file"),
    ("evaluation.precision", "fp8", "must be 'auto', 'fp32', 'tf32', 'bf16' or 'fp16', not 'fp8'"),
    ("evaluation.augmentation.scales", [], "at least 1 item"),
    ("evaluation.augmentation.scales", [1.0, 0], r"scales\.1 must be greater than 0"),
    ("training.norm", "frozn", "must be 'frozen' or 'batch'"),
    ("training.stages", [1], "must be a valid dictionary"),
    (STAGE, 3, "must be a dictionary"),
    (f"{STAGE}.clip", None, "must be a dictionary"),
    (f"{STAGE}.clip.size", [50, 64], r"size\.0 must be a multiple of 16, not 50"),
    (f"{STAGE}.clip.size", [64], r"size\.1 is not set"),
    (f"{STAGE}.optimizer.betas", [0.9, 1.0], r"betas\.1 must be less than 1"),
    (f"{STAGE}.optimizer.name", "sgd", "must be 'adam' or 'adamw'"),
    (f"{STAGE}.schedule.name", "cosin", "must be 'fixed', 'step', 'cosine' or 'one_cycle'"),
    (f"{STAGE}.schedule.milestones", [5, 5], r"milestones must rise, not \[5, 5\]"),
    (f"{DATA}.curriculum", [1, 2], r"curriculum\.0 must be a valid tuple, not 1"),
    (f"{DATA}.curriculum", [[0.5, 2]], "must have progress that rises from 0"),
    (f"{DATA}.curriculum", [[0, 2.5]], "must be a multiple of 1"),
    (f"{DATA}.exclude", [12], r"exclude\.0 must be a valid string, not 12"),
    (f"{DATA}.video_augmentation.crop_area", [0.9, 0.1], "must have its minimum first"),
    (f"{DATA}.video_augmentation.paste.size", [1, 5], r"size\.1 must be less than or equal to 4"),
    (
        f"{STAGE}.data.scenes.synthetic.objects",
        [0, 3],
        r"objects\.0 must be greater than or equal to 1",
    ),
]
RELATED = [
    (f"{STAGE}.schedule.warm_up", 100, f"{STAGE}: schedule.warm_up is 100, but the stage has 100"),
    (f"{STAGE}.schedule.name", "step", f"{STAGE}.schedule: 'step' needs milestones"),
    (f"{STAGE}.loss.cross_entropy", 0, f"{STAGE}.loss: nothing trains the masks"),
    (f"{STAGE}.loss.bootstrap.start", 11, f"{STAGE}.loss.bootstrap: needs start <= end, not 11"),
    ("training.validation.every", 5, "training.validation: needs dataset and root"),
]
"""Values that are wrong together with others."""


def wrong_values() -> list[tuple[str, Any, str]]:
    cases = [(key, value, key) for key, value in (INTEGERS | NUMBERS).items()]
    cases += [(key, True, f"{key} must be a valid integer") for key in INTEGERS]
    cases += [(key, math.nan, f"{key} must be a finite number") for key in NUMBERS]
    cases += [(key, "banana", f"{key} must be a valid boolean") for key in FLAGS]
    return cases + OTHERS + RELATED


def with_value(key: str, value: Any) -> dict[str, Any]:
    content = copy.deepcopy(BASE)
    *blocks, last = key.split(".")
    block = content
    for name in blocks:
        block = block.setdefault(name, {})
    block[last] = value
    return content


def from_yaml(key: str, value: Any, folder: Path) -> Config:
    path = folder / "a.yaml"
    path.write_text(yaml.safe_dump(with_value(key, value)))
    return load_config(path)


def from_override(key: str, value: Any, folder: Path) -> Config:
    path = folder / "a.yaml"
    path.write_text(yaml.safe_dump(BASE))
    text = (
        f".{value}" if isinstance(value, float) and not math.isfinite(value) else json.dumps(value)
    )
    return load_config(path, [f"{key}={text}"])


def from_python(key: str, value: Any, folder: Path) -> Config:
    config = parse_config(yaml.safe_dump(BASE), "base")
    *blocks, last = key.split(".")
    owner: Any = config
    for name in blocks:
        owner = owner[name] if isinstance(owner, dict) else getattr(owner, name)
    if isinstance(owner, dict):
        owner[last] = value
    else:
        vars(owner)[last] = value  # as code could that ignores frozen classes
    return check_config(config)


@pytest.mark.parametrize("load", [from_yaml, from_override, from_python])
def test_wrong_values_are_refused_in_one_line(
    load: Callable[[str, Any, Path], Config], tmp_path: Path
) -> None:
    parse_config(yaml.safe_dump(BASE), "base")
    for key, value, message in wrong_values():
        with pytest.raises(InputError, match=message) as caught:
            load(key, value, tmp_path)
        text = str(caught.value)
        assert "\n" not in text
        assert len(text) < 400
        assert load is not from_yaml or text.startswith(f"{tmp_path / 'a.yaml'}: "), text
        assert load is not from_override or text.startswith(f"override '{key}="), text


def test_several_mistakes_are_reported_together_each_with_its_source(tmp_path: Path) -> None:
    path = tmp_path / "a.yaml"
    path.write_text("training: {seed: -1, log_every: 5}")
    with pytest.raises(InputError) as caught:
        load_config(path, ["training.log_every=0", "evaluation.size=1.5"])
    assert str(caught.value) == (
        "override 'evaluation.size=1.5': evaluation.size must be a valid integer, not 1.5; "
        f"{path}: training.seed must be greater than or equal to 0, not -1; "
        "override 'training.log_every=0': training.log_every must be greater than or equal to 1, "
        "not 0"
    )


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("evaluation.device=${nowhere}", r"evaluation\.device: .*nowhere"),
        ("evaluation.size=${oc.env:SCMN_TEST_UNSET}", r"evaluation\.size: .*SCMN_TEST_UNSET"),
        ("model.switches.head=${model.nothing}", r"model\.switches\.head: .*nothing"),
        ("memory.every=${evaluation.device}", r"memory\.every must be a valid integer"),
        ("training.device=???", r"training\.device: .*issing"),
    ],
)
def test_interpolations_are_resolved_before_the_check(override: str, message: str) -> None:
    with pytest.raises(InputError, match=message) as caught:
        load_config(None, [override, "training.workers=3"])
    assert str(caught.value).startswith(f"override '{override}': ")


def test_interpolations_may_name_what_a_later_source_sets() -> None:
    config = load_config(None, ["memory.every=${evaluation.processes}", "evaluation.processes=7"])
    assert config.memory == {"every": 7}

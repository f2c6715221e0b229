"""Every setting of a configuration with values of a wrong type or out of its range.

The settings are found in the dataclasses that declare them, so a new one is tested without a word.
"""

from __future__ import annotations

import types
from collections.abc import Iterator
from dataclasses import dataclass, is_dataclass
from typing import Literal, Union, get_args, get_origin, get_type_hints

import pytest

from scmn.config import ModelSettings
from scmn.data.clips.sources import DataSettings
from scmn.evaluation.settings import EvaluationSettings
from scmn.inference.memory.settings import MemorySettings
from scmn.networks.registry import MODELS
from scmn.training.settings import StageSettings, TrainingSettings
from tests.robustness.campaign import Case, cases
from tests.robustness.scene import Scene

STAGE = "training.stages.main"
VIDEOS = f"{STAGE}.data.videos"
STILLS = "training.stages.pretrain.data.stills"
WRONG: dict[type, list[str]] = {
    bool: ["banana"],
    int: ["1.5", "-1"],
    float: ["banana", ".nan", "-1"],
    str: ["[a]"],
    list: ["banana"],
}
"""No setting of this project may be negative."""


@dataclass(frozen=True)
class Setting:
    key: str
    kind: type
    optional: bool
    choice: bool = False
    """One of some names."""

    def wrong_values(self) -> list[str]:
        wrong = [*WRONG[self.kind]]
        if self.choice:
            wrong.append("banana")
        if not self.optional:
            wrong.append("null")
        return wrong


def settings(declared: type, prefix: str) -> Iterator[Setting]:
    """Yield the settings that a dataclass declares, those of its parts included."""
    for name, hint in get_type_hints(declared).items():
        key = f"{prefix}.{name}"
        kinds = [hint]
        if get_origin(hint) in (Union, types.UnionType):
            kinds = list(get_args(hint))
        optional = type(None) in kinds
        (kind, *others) = [k for k in kinds if k is not type(None)]
        if others:
            continue  # what is wrong depends on the other kind
        kind = get_origin(kind) or kind
        if is_dataclass(kind):
            yield from settings(kind, key)
        elif kind is Literal:
            yield Setting(key, str, optional, choice=True)
        elif kind in (list, tuple):
            yield Setting(key, list, optional)
        elif kind in WRONG:
            yield Setting(key, kind, optional)


def all_settings() -> list[Setting]:
    data = [*settings(DataSettings, VIDEOS), *settings(DataSettings, STILLS)]
    return [
        *settings(TrainingSettings, "training"),
        *settings(EvaluationSettings, "evaluation"),
        *settings(MemorySettings, "memory"),
        *settings(ModelSettings, "model"),
        *settings(StageSettings, STAGE),
        # Either augmentation applies to one kind of data; the other settings are the same.
        *(s for s in data if (".still_augmentation." in s.key) == s.key.startswith(STILLS)),
    ]


def case(setting: Setting, value: str) -> Case:
    override = f"{setting.key}={value}"
    program = "eval" if setting.key.startswith(("evaluation", "memory")) else "train"

    def given(scene: Scene) -> list[object]:
        if program == "train":
            return scene.train(override)
        return scene.evaluate(override)

    return Case(override, given, says=rf"\b{setting.key.split('.')[-1]}\b", program=program)


GENERATED = [case(setting, value) for setting in all_settings() for value in setting.wrong_values()]


@cases(*GENERATED)
def test_wrong_values_of_settings(
    case: Case, scene: Scene, capsys: pytest.CaptureFixture[str]
) -> None:
    case.check(scene, capsys)


def switch_cases() -> Iterator[Case]:
    """Yield a case for every argument of every network."""
    for network in ("scmn", "stm", "stcn"):
        for name, default in MODELS[network].setting_defaults.items():
            if name == "backbone":
                continue  # an argument of its own
            for value in ["banana"] if isinstance(default, bool) else ["banana", "-1", "[1]"]:
                yield Case(
                    f"{network}.{name}={value}",
                    lambda scene, override=f"model.switches.{name}={value}", network=network: (
                        scene.train(override, f"model.name={network}")
                    ),
                    says=rf"\b{name}\b",
                    program="train",
                )


@cases(*switch_cases())
def test_wrong_switches_of_networks(
    case: Case, scene: Scene, capsys: pytest.CaptureFixture[str]
) -> None:
    case.check(scene, capsys)

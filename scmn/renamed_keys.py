"""Keys of earlier versions in configurations and checkpoints, under today's names."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from scmn.data.clips.sources import STILL_KINDS
from scmn.errors import InputError
from scmn.inference.memory.settings import current_names

REMOVED: Mapping[str, tuple[tuple[str, Any], ...]] = {
    "": (("detach_memory", False),),
    "loss": (("lovasz", 0), ("soft_dice", 0)),
    "optimizer": (("backbone_factor", 1), ("decay_norms_and_biases", True)),
    "schedule": (("power", 0.9),),
}
"""Part of a stage -> removed settings, each with the value that is today's behaviour."""


def rename_keys(config: dict[str, Any], source: str) -> None:
    """Rename the keys of earlier versions in place.

    Raises:
        InputError: the configuration uses a removed setting; its ``source`` is named.
    """
    if "memory" in config and config["memory"] is None:
        del config["memory"]
    if isinstance(config.get("memory"), dict):
        config["memory"] = current_names(config["memory"])
    training = config.get("training")
    stages = training.get("stages") if isinstance(training, dict) else None
    for name, stage in (stages if isinstance(stages, dict) else {}).items():
        if not isinstance(stage, dict):
            continue
        _drop_removed(stage, f"{source}: training.stages.{name}")
        data = stage.get("data")
        for entry in (data if isinstance(data, dict) else {}).values():
            if isinstance(entry, dict):
                _rename_augmentation(entry)


def _drop_removed(stage: dict[str, Any], where: str) -> None:
    for part, settings in REMOVED.items():
        values = stage.get(part) if part else stage
        if not isinstance(values, dict):
            continue
        for key, default in settings:
            if values.pop(key, default) != default:
                place = ".".join(filter(None, (where, part, key)))
                raise InputError(f"{place} no longer exists; remove it")


def _rename_augmentation(data: dict[str, Any]) -> None:
    """Earlier versions had one ``augmentation`` for all kinds of data."""
    if "augmentation" in data and data.get("kind"):
        stills = data["kind"] in STILL_KINDS or data.get("stills")
        augmentation = data.pop("augmentation")
        if augmentation:
            data["still_augmentation" if stills else "video_augmentation"] = augmentation
    if data.get("kind") != "synthetic" and data.get("synthetic") == {}:
        del data["synthetic"]
    for block in ("still_augmentation", "video_augmentation"):
        if isinstance(data.get(block), dict):
            paste = data[block].get("paste")
            if isinstance(paste, dict) and "most" in paste:
                paste.setdefault("max_count", paste.pop("most"))

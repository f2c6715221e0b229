"""Training checkpoints: everything needed to resume a run, as plain data and tensors.

The file is read with ``weights_only=True`` and can be used as a weights file.
"""

from __future__ import annotations

import random
import zipfile
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

import scmn
from scmn.config import Config, parse_config
from scmn.errors import InputError
from scmn.networks.base import MemoryNetwork, ModelDescription
from scmn.training.resuming import Change, changes
from scmn.weights.files import WeightsFile, load_tensors_only, load_weights, read_description

FORMAT = "scmn-checkpoint"


@dataclass(frozen=True)
class Checkpoint:
    """The state of a run between two steps."""

    model: Mapping[str, Tensor]
    """State dict of the bare network."""
    description: ModelDescription
    """Arguments with which ``build_model`` rebuilds it."""
    optimizer: Mapping[str, Any]
    iteration: int
    """Optimizer steps since the start of the run, over all its stages."""
    stage: str
    stage_iteration: int
    """Optimizer steps since the start of the stage, on which the schedules depend."""
    config: str
    """The resolved configuration as YAML."""
    random_states: list[dict[str, Any]]
    """``random_state()`` of every process, by rank; for networks that draw numbers. What the
    samples draw depends on their numbers alone."""
    scaler: Mapping[str, Any] | None = None
    """State of the gradient scaler (fp16)."""
    average: Mapping[str, Any] | None = None
    """State of the :class:`~scmn.training.averaging.WeightAverage`."""
    best: float | None = None
    """The best validation score so far."""
    validation_due: bool = False
    """Whether the validation at this iteration had not been done yet."""
    history: list[str] = field(default_factory=list)
    """Settings changed when the run was resumed, as ``from step N: key: old -> new``."""
    path: Path | None = field(default=None, compare=False)
    """Where it was read from."""

    @property
    def weights(self) -> WeightsFile:
        """The network's weights as trained."""
        return WeightsFile(self.path or Path("checkpoint"), dict(self.model), self.description)

    @property
    def averaged_weights(self) -> WeightsFile | None:
        """The moving average of the weights, if the run keeps one."""
        if self.average is None:
            return None
        state = dict(self.average["weights"])
        return WeightsFile(self.path or Path("checkpoint"), state, self.description)

    def restore_network(self, network: MemoryNetwork) -> None:
        """Load the weights; InputError names the tensors that do not fit."""
        load_weights(network, self.weights)

    def changed_settings(self, config: Config) -> list[Change]:
        """Return what ``config`` changes in the run.

        Raises:
            InputError: it changes what the run computes; the first such key is named.
        """
        found = changes(parse_config(self.config, f"{self.path}: config"), config)
        refused = [change for change in found if not change.free]
        if refused:
            raise InputError(
                f"{self.path} has another configuration ({refused[0]}); use the same one, "
                "or start a run in another --output with --weights of that checkpoint"
            )
        return found


def checkpoint_content(checkpoint: Checkpoint) -> dict[str, Any]:
    """Return the content of a checkpoint file.

    Raises:
        TypeError: something in it could not be read again with ``weights_only=True``: better
            noticed when the first checkpoint is written than when a run has to be resumed.
    """
    content = {
        "format": FORMAT,
        "versions": {"scmn": scmn.__version__, "torch": str(torch.__version__)},
        "model": dict(checkpoint.model),
        "description": {
            "name": checkpoint.description.name,
            "settings": dict(checkpoint.description.settings),
        },
        "optimizer": dict(checkpoint.optimizer),
        "scaler": None if checkpoint.scaler is None else dict(checkpoint.scaler),
        "ema": None if checkpoint.average is None else dict(checkpoint.average),
        "iteration": checkpoint.iteration,
        "stage": checkpoint.stage,
        "stage_iteration": checkpoint.stage_iteration,
        "config": checkpoint.config,
        "rng": checkpoint.random_states,
        "best": checkpoint.best,
        "validation_due": checkpoint.validation_due,
        "history": list(checkpoint.history),
    }
    _check_plain(content, "checkpoint")
    return content


def read_checkpoint(path: str | Path) -> Checkpoint:
    """Read a training checkpoint onto the CPU, after comparing its checksums.

    Raises:
        InputError: the file is missing, damaged, refused (it holds pickled objects), or not a
            training checkpoint.
    """
    path = Path(path)
    if not path.is_file():
        raise InputError(f"checkpoint not found: {path}")
    if not zipfile.is_zipfile(path):
        raise InputError(f"{path} is damaged or not a checkpoint")
    content = load_tensors_only(path)
    if content.get("format") != FORMAT:
        raise InputError(
            f"{path} is not a training checkpoint: a run can start from its weights (--weights), "
            "but not resume from it"
        )
    try:
        return Checkpoint(
            model=content["model"],
            description=read_description(content["description"], path),
            optimizer=content["optimizer"],
            iteration=content["iteration"],
            stage=content["stage"],
            stage_iteration=content["stage_iteration"],
            config=content["config"],
            random_states=content["rng"],
            scaler=content["scaler"],
            average=content["ema"],
            best=content["best"],
            # Files of earlier versions lack these.
            validation_due=content.get("validation_due", False),
            history=content.get("history", []),
            path=path,
        )
    except KeyError as error:
        raise InputError(
            f"{path} is an incomplete training checkpoint: {error} is missing"
        ) from error


def _check_plain(value: Any, where: str) -> None:
    """Raise TypeError for anything that ``weights_only=True`` refuses, such as NumPy scalars."""
    kind = type(value)
    if kind in (dict, OrderedDict):
        for key, member in value.items():
            _check_plain(key, f"a key of {where}")
            _check_plain(member, f"{where}[{key!r}]")
    elif kind in (list, tuple):
        for index, member in enumerate(value):
            _check_plain(member, f"{where}[{index}]")
    elif not isinstance(value, Tensor) and kind not in (bool, int, float, str, type(None)):
        raise TypeError(f"{where} is a {kind.__module__}.{kind.__qualname__}, not plain data")


def seed_everything(seed: int) -> None:
    """Seed Python, NumPy and torch on all devices."""
    random.seed(seed)
    np.random.seed(seed % 2**32)  # noqa: NPY002 (libraries draw from the global generator)
    torch.manual_seed(seed)


def random_state(device: torch.device) -> dict[str, Any]:
    """Return the states of Python's, NumPy's and torch's global generators.

    They are tensors, numbers, strings and lists, which ``torch.load(weights_only=True)`` reads.

    Args:
        device: this process's device, whose generator is included if it is a GPU.
    """
    version, numbers, gauss = random.getstate()
    kind, keys, position, has_gauss, cached = np.random.get_state()  # noqa: NPY002
    return {
        "python": {"version": version, "numbers": list(numbers), "gauss": gauss},
        "numpy": {
            "kind": str(kind),
            "keys": torch.from_numpy(np.asarray(keys).astype(np.int64)),
            "position": int(position),
            "has_gauss": int(has_gauss),
            "cached": float(cached),
        },
        "torch": torch.get_rng_state(),
        "cuda": torch.cuda.get_rng_state(device) if device.type == "cuda" else None,
    }


def restore_random_state(state: Mapping[str, Any], device: torch.device) -> None:
    """Set the generators to what :func:`random_state` returned.

    The state of a GPU is restored only on a GPU; other devices draw other numbers anyway.
    """
    python, numpy = state["python"], state["numpy"]
    random.setstate((python["version"], tuple(python["numbers"]), python["gauss"]))
    np.random.set_state(  # noqa: NPY002
        (
            numpy["kind"],
            numpy["keys"].numpy().astype(np.uint32),
            numpy["position"],
            numpy["has_gauss"],
            numpy["cached"],
        )
    )
    torch.set_rng_state(state["torch"].cpu())
    if state["cuda"] is not None and device.type == "cuda":
        torch.cuda.set_rng_state(state["cuda"].cpu(), device)

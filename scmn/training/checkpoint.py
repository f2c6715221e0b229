"""Training checkpoints: everything that a run needs to go on, as plain data and tensors.

The file is read with ``weights_only=True`` and serves as a file of weights as well.
"""

from __future__ import annotations

import zipfile
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

import scmn
from scmn.errors import InputError
from scmn.networks.base import MemoryNetwork, ModelDescription
from scmn.weights.files import WeightsFile, load_tensors_only, load_weights

FORMAT = "scmn-checkpoint"


@dataclass(frozen=True)
class Checkpoint:
    """The state of a run between two steps."""

    model: Mapping[str, Tensor]
    """State dict of the bare network."""
    description: ModelDescription
    """What ``build_model`` needs to make it again."""
    optimizer: Mapping[str, Any]
    iteration: int
    """Optimizer steps since the start of the run, over all its stages."""
    stage: str
    stage_iteration: int
    """Optimizer steps since the start of the stage: drives the schedules."""
    sample_number: int
    """Number of the stage's next training sample."""
    config: str
    """The resolved configuration as YAML."""
    random_states: list[dict[str, Any]]
    """``random_state()`` of every process, by rank."""
    scaler: Mapping[str, Any] | None = None
    """State of the gradient scaler (fp16)."""
    average: Mapping[str, Any] | None = None
    """State of the :class:`~scmn.training.averaging.WeightAverage`."""
    best: float | None = None
    """The best validation score so far."""
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


def checkpoint_content(checkpoint: Checkpoint) -> dict[str, Any]:
    """Return what the file of a checkpoint holds.

    Raises:
        TypeError: something in it would not load again under ``weights_only=True``. It is found
            when the first checkpoint is written, not when a run must be saved.
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
        "sample_number": checkpoint.sample_number,
        "config": checkpoint.config,
        "rng": checkpoint.random_states,
        "best": checkpoint.best,
    }
    _check_plain(content, "checkpoint")
    return content


def read_checkpoint(path: str | Path) -> Checkpoint:
    """Read a training checkpoint onto the CPU, after comparing its checksums.

    Raises:
        InputError: the file is missing, damaged, refused (it holds pickled objects), or it is no
            training checkpoint.
    """
    path = Path(path)
    if not path.is_file():
        raise InputError(f"checkpoint not found: {path}")
    _verify(path)
    content = load_tensors_only(path)
    if content.get("format") != FORMAT:
        raise InputError(
            f"{path} is no training checkpoint: a run can start from its weights, but not resume"
        )
    try:
        return Checkpoint(
            model=content["model"],
            description=ModelDescription(**content["description"]),
            optimizer=content["optimizer"],
            iteration=content["iteration"],
            stage=content["stage"],
            stage_iteration=content["stage_iteration"],
            sample_number=content["sample_number"],
            config=content["config"],
            random_states=content["rng"],
            scaler=content["scaler"],
            average=content["ema"],
            best=content["best"],
            path=path,
        )
    except KeyError as error:
        raise InputError(f"{path} is an incomplete training checkpoint: no {error}") from error


def _verify(path: Path) -> None:
    # torch.load does not compare the checksums that torch.save writes: a flipped bit would become
    # a weight.
    try:
        with zipfile.ZipFile(path) as archive:
            damaged = archive.testzip()
    except (zipfile.BadZipFile, OSError, EOFError) as error:
        raise InputError(f"{path} is damaged or no checkpoint: {_line(error)}") from error
    if damaged is not None:
        raise InputError(f"{path} is damaged: wrong checksum of its part {damaged}")


def _check_plain(value: Any, where: str) -> None:
    """Raise TypeError at anything that ``weights_only=True`` would refuse, NumPy's scalars too."""
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


def _line(error: Exception) -> str:
    return " ".join(str(error).split())[:200]

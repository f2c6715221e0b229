"""Files of weights <-> networks: this package's formats, and the published STM and STCN.

Only tensors and plain data are ever loaded (``weights_only=True`` or safetensors).
"""

from __future__ import annotations

import hashlib
import json
import logging
import pickle
import warnings
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from scmn.errors import InputError, in_one_line, some_of
from scmn.networks.base import MemoryNetwork, ModelDescription
from scmn.networks.registry import FORMER_SETTINGS, MODELS
from scmn.settings import check_arguments
from scmn.tensor_files import read_tensors, write_tensors
from scmn.weights.published import convert_published, published_network

DEFAULT_WEIGHTS = "default"
"""What users give in place of a file for the weights that are bundled with the package."""
DEFAULT_MODEL = "scmn_small"
"""The model that is used when the user names none."""
NEW_PARTS = ("mask_quality", "temporal_embedding")
"""Modules that training may add to a network whose weights were trained without them."""

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class WeightsFile:
    """The tensors of a file, under this package's names."""

    path: Path
    state: dict[str, Tensor]
    description: ModelDescription | None
    """Their model, if the file names it."""

    @cached_property
    def digest(self) -> str:
        """The first 16 hexadecimal digits of the file's SHA-256."""
        return hashlib.sha256(self.path.read_bytes()).hexdigest()[:16]


def read_weights(weights: str | Path, *, model: str = DEFAULT_MODEL) -> WeightsFile:
    """Read a file of weights.

    Args:
        weights: a published STM or STCN file, a ``.safetensors`` file, training checkpoint or
            state dict of this package, or "default": the bundled weights of ``model``. If a
            checkpoint has averaged weights, those are read: they are what was validated.
        model: name of the model that "default" refers to.

    Raises:
        InputError: the file is missing, damaged, not a file of weights, or holds pickled objects;
            or there are no bundled weights.
    """
    if not isinstance(weights, str | Path):
        raise InputError(
            f"weights must be 'default' or the path of a file, not of type {type(weights).__name__}"
        )
    path = _bundled_weights(model) if str(weights) == DEFAULT_WEIGHTS else Path(weights)
    if path.is_dir():
        raise InputError(f"weights must be a file, but {path} is a folder")
    if not path.is_file():
        raise InputError(f"weights file not found: {path}")
    if path.suffix == ".safetensors":
        return _read_safetensors(path)
    content = load_tensors_only(path)
    description = None
    if isinstance(content.get("model"), Mapping):
        if "description" in content:
            description = read_description(content["description"], path)
        average = content.get("ema")
        if isinstance(average, Mapping) and isinstance(average.get("weights"), Mapping):
            content = average["weights"]
        else:
            content = content["model"]
    if not content or not all(
        isinstance(name, str) and isinstance(value, Tensor) for name, value in content.items()
    ):
        raise InputError(f"{path} is not a file of weights: expected a state dict of tensors")
    network = published_network(content)
    if network is None:
        return WeightsFile(path, _used(content, description), description)
    return WeightsFile(
        path, convert_published(content, network), ModelDescription(network, settings={})
    )


def load_weights(network: MemoryNetwork, file: WeightsFile, *, new_parts: bool = False) -> None:
    """Load ``file`` into ``network``.

    Args:
        network: any network.
        file: its weights.
        new_parts: keep the initial weights of those of ``NEW_PARTS`` of which the file has none.

    Raises:
        InputError: tensors are missing, unknown, of another shape or type, or not finite; they are
            named.
    """
    own = network.state_dict()
    missing = [n for n in own if n not in file.state and not n.endswith("num_batches_tracked")]
    added = [part for part in NEW_PARTS if new_parts and _is_new(part, network, file)]
    missing = [name for name in missing if name.split(".")[0] not in added]
    unknown = [name for name in file.state if name not in own]
    differing = [
        f"{name} {tuple(file.state[name].shape)} instead of {tuple(own[name].shape)}"
        for name in own
        if name in file.state and file.state[name].shape != own[name].shape
    ]
    problems = [
        f"{label} {some_of(names)}"
        for label, names in (("lacks", missing), ("has unknown", unknown), ("has", differing))
        if names
    ]
    if problems:
        raise InputError(
            f"{file.path} does not fit {type(network).__name__}: it {'; it '.join(problems)}"
        )
    check_finite(file.state, str(file.path))
    network.load_state_dict({**own, **file.state})
    if added:
        logger.info("new in the network, not in %s: %s", file.path, ", ".join(added))


def _is_new(part: str, network: MemoryNetwork, file: WeightsFile) -> bool:
    prefix = f"{part}."
    in_network, in_file = (
        any(name.startswith(prefix) for name in names)
        for names in (network.state_dict(), file.state)
    )
    return in_network and not in_file


def check_finite(state: Mapping[str, Tensor], source: str) -> None:
    """Check that weights are finite floating-point numbers.

    Raises:
        InputError: they are not; the ``source`` and the tensors are named.
    """
    wrong = [
        f"{name} of {value.dtype}"
        for name, value in state.items()
        if not value.is_floating_point() and not name.endswith("num_batches_tracked")
    ]
    if wrong:
        raise InputError(f"{source} has weights that are not floating-point: {some_of(wrong)}")
    numbers = [(name, value) for name, value in state.items() if value.is_floating_point()]
    finite = torch.stack([value.float().isfinite().all() for _, value in numbers]).tolist()
    wrong = [name for (name, _), good in zip(numbers, finite, strict=True) if not good]
    if wrong:
        raise InputError(f"{source} has NaN or infinite numbers in {some_of(wrong)}")


def save_weights(
    network: MemoryNetwork, path: str | Path, *, dtype: torch.dtype | None = None
) -> None:
    """Write ``network`` as ``.safetensors`` with its description in the metadata, atomically.

    Args:
        network: a network from ``build_model``.
        path: where to write.
        dtype: data type of the floating-point tensors (None: as they are).
    """
    if network.description is None:
        raise ValueError("the network has no description: build it with build_model")
    state = {
        name: value.to(dtype) if dtype and value.is_floating_point() else value
        for name, value in network.state_dict().items()
    }
    metadata = {
        "format": "scmn",
        "description": json.dumps(
            {"name": network.description.name, "settings": dict(network.description.settings)}
        ),
    }
    write_tensors(Path(path), state, metadata)


def _bundled_weights(model: str) -> Path:
    path = Path(__file__).parent / f"{model}.safetensors"
    if not path.is_file():
        bundled = ", ".join(sorted(file.stem for file in path.parent.glob("*.safetensors")))
        raise InputError(f"no weights of '{model}' are bundled, only of {bundled}: give a file")
    return path


def _read_safetensors(path: Path) -> WeightsFile:
    state, metadata = read_tensors(path)
    if "description" not in metadata:
        return WeightsFile(path, state, None)
    try:
        description = json.loads(metadata["description"])
    except json.JSONDecodeError as error:
        raise InputError(f"{path}: its metadata 'description' is not JSON: {error}") from error
    described = read_description(description, path)
    return WeightsFile(path, _used(state, described), described)


def load_tensors_only(path: Path) -> dict[str, Any]:
    """Read a torch file that holds a dictionary of tensors and plain data.

    The checksums of its parts, which ``torch.save`` writes, are compared.

    Raises:
        InputError: it cannot be read, or holds anything else.
    """
    damaged = None
    try:
        if zipfile.is_zipfile(path):  # torch's format until 1.6 has no checksums
            with zipfile.ZipFile(path) as archive:
                damaged = archive.testzip()
        with warnings.catch_warnings():
            # Of the pickle protocol: what cannot be read is refused below, in one line.
            warnings.simplefilter("ignore", UserWarning)
            content = None if damaged else torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        raise InputError(
            f"{path} refused: it is damaged or holds pickled objects other than tensors, "
            "which could run code when loaded"
        ) from error
    except (RuntimeError, EOFError, zipfile.BadZipFile, OSError, ValueError) as error:
        raise InputError(
            f"{path} cannot be read as a file of weights: {in_one_line(error)}"
        ) from error
    if damaged is not None:
        raise InputError(f"{path} is damaged: wrong checksum of {damaged}")
    if not isinstance(content, dict):
        raise InputError(f"{path} is not a file of weights: it holds a {type(content).__name__}")
    return content


def read_description(content: Any, path: Path) -> ModelDescription:
    """Read the description in a file, of this or an earlier version.

    Raises:
        InputError: it is not one; the ``path`` of the file is named.
    """
    if not isinstance(content, Mapping) or not {"name", "settings"} <= set(content):
        raise InputError(f"{path}: its description lacks 'name' and 'settings'")
    if not isinstance(content["settings"], Mapping):
        raise InputError(f"{path}: the settings in its description are not names and values")
    name, settings = str(content["name"]), content["settings"]
    if name not in MODELS:
        return ModelDescription(name, settings)
    network = MODELS[name].network
    settings = check_arguments(network.__init__, settings, lambda key: f"{path}: model.{key}")
    known = MODELS[name].setting_defaults
    former = {key: value for key, value in FORMER_SETTINGS.items() if key in known}
    return ModelDescription(name, {**former, **settings})


def _used(state: Mapping[str, Tensor], description: ModelDescription | None) -> dict[str, Tensor]:
    """Leave out a projection that earlier versions held even where nothing used it."""
    unused = description is not None and description.settings.get("read_concat") == "key"
    return {
        name: tensor
        for name, tensor in state.items()
        if not (unused and name.startswith("query_projection.value."))
    }

"""Typed configuration: dataclasses <- YAML (with ``base:`` files) <- dotted overrides.

omegaconf checks names and types and suggests the nearest key; its errors become one line each.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Optional, Union, cast

from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException
from yaml import YAMLError

from scmn.errors import InputError, nearest_name
from scmn.inference.memory.settings import check_settings
from scmn.training.settings import TrainingSettings

# omegaconf reads these annotations at run time and, on Python 3.10, wants Optional and Union.


@dataclass
class ModelSettings:
    """What ``build_model`` is called with."""

    name: str = "scmn"
    backbone: Optional[str] = None  # noqa: UP045
    pretrained_backbone: Union[bool, str] = False  # noqa: UP007
    """true: ImageNet weights, downloaded once; or a file of them."""
    switches: dict[str, Any] = field(default_factory=dict)
    """Further arguments of the network."""


@dataclass
class AugmentationSettings:
    """Test-time augmentation: every combination is run, probabilities are averaged."""

    flip: bool = False
    scales: list[float] = field(default_factory=lambda: [1.0])
    """Factors on the evaluation size."""


@dataclass
class EvaluationSettings:
    """How ``eval.py`` runs a network over videos."""

    device: str = "auto"
    """auto (CUDA if there is one, else CPU), cpu, cuda, cuda:1, mps."""
    precision: str = "fp32"
    """fp32, bf16 or fp16 (automatic mixed precision)."""
    compile: bool = False
    """Compile encoders and decoder, on a GPU into CUDA graphs: pays for many frames of one size."""
    size: Optional[int] = None  # noqa: UP045
    """Scale frames down to this shorter side (null: what the data set's protocol says)."""
    objects_per_batch: Optional[int] = None  # noqa: UP045
    """Decode at most so many objects at a time (null: as many as the device bears)."""
    max_objects: int = 254
    """Refuse videos with more objects."""
    processes: Optional[int] = None  # noqa: UP045
    """Processes for scoring (null: one per core)."""
    augmentation: AugmentationSettings = field(default_factory=AugmentationSettings)


@dataclass
class Config:
    """Everything that a YAML file of ``configs/`` can say."""

    model: ModelSettings = field(default_factory=ModelSettings)
    memory: dict[str, Any] = field(default_factory=dict)
    """Differences from the network's memory policy (see ``MemorySettings``)."""
    evaluation: EvaluationSettings = field(default_factory=EvaluationSettings)
    training: TrainingSettings = field(default_factory=TrainingSettings)


def load_config(
    path: str | Path | None, overrides: Sequence[str] = (), defaults: Config | None = None
) -> Config:
    """Read a YAML file (see ``find_config``) and apply ``key=value`` overrides in order.

    A file may name another under ``base:`` (relative to itself); its own values win. What neither
    says is as in ``defaults``.

    Raises:
        InputError: a file is missing or no YAML, or a key or a value is wrong.
    """
    config = OmegaConf.structured(defaults or Config())
    if path is not None:
        for file, content in _with_bases(find_config(path)):
            config = _merged(config, content, str(file))
    for override in overrides:
        config = _merged(config, _parsed_override(override), f"override '{override}'")
    loaded = cast(Config, OmegaConf.to_object(config))
    loaded.memory = check_settings(loaded.memory)
    return loaded


def find_config(name_or_path: str | Path) -> Path:
    """Return the file of a configuration: a path, or the name of a shipped one such as ``scmn``.

    Raises:
        InputError: there is no such file.
    """
    path = Path(name_or_path)
    if path.is_file():
        return path
    folder = Path(__file__).parent / "configs"
    if not folder.is_dir():  # a wheel has it in the package, a checkout beside it
        folder = Path(__file__).parent.parent / "configs"
    shipped = {file.stem: file for file in sorted(folder.glob("*.yaml"))}
    if str(path) in shipped:
        return shipped[str(path)]
    raise InputError(
        f"config file not found: {path}{nearest_name(path.stem, shipped)}; "
        f"shipped configurations: {', '.join(shipped)}"
    )


def config_to_yaml(config: Config) -> str:
    """Return the resolved configuration as YAML."""
    return OmegaConf.to_yaml(OmegaConf.structured(config))


def _with_bases(path: Path) -> list[tuple[Path, DictConfig]]:
    """Return the file's chain of bases, the most basic first."""
    chain: list[tuple[Path, DictConfig]] = []
    current: Path | None = path
    while current is not None:
        if any(current.resolve() == file.resolve() for file, _ in chain):
            raise InputError(f"{path}: its chain of 'base:' files comes back to {current}")
        content = _read_yaml(current)
        base = content.pop("base", None)
        chain.append((current, content))
        current = None if base is None else current.parent / str(base)
    return chain[::-1]


def _read_yaml(path: Path) -> DictConfig:
    if not path.is_file():
        raise InputError(f"config file not found: {path}")
    try:
        content = OmegaConf.load(path)
    except (YAMLError, OmegaConfBaseException, UnicodeDecodeError, OSError) as error:
        raise InputError(f"{path} is not valid YAML: {' '.join(str(error).split())}") from error
    if not isinstance(content, DictConfig):
        raise InputError(f"{path} must hold 'key: value' pairs")
    return content


def _parsed_override(override: str) -> DictConfig:
    if "=" not in override:
        raise InputError(f"override '{override}' is not of the form key=value")
    try:
        return OmegaConf.from_dotlist([override])
    except (YAMLError, OmegaConfBaseException) as error:
        raise InputError(f"override '{override}': {' '.join(str(error).split())}") from error


def _merged(config: DictConfig, content: DictConfig, source: str) -> DictConfig:
    try:
        return cast(DictConfig, OmegaConf.merge(config, content))
    except OmegaConfBaseException as error:
        key = f"{error.full_key}: " if error.full_key else ""
        # The first line says what is wrong and suggests the nearest key; the rest is internal.
        raise InputError(f"{source}: {key}{str(error).splitlines()[0]}") from error

"""Configuration: the settings of all packages, loaded from YAML files and ``key=value`` overrides.

omegaconf checks names and types and suggests the nearest key; its errors become one line each.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException
from yaml import YAMLError

from scmn.errors import InputError, nearest_name
from scmn.evaluation.settings import EvaluationSettings
from scmn.inference.memory.settings import MemorySettings
from scmn.renamed_keys import rename_keys
from scmn.training.settings import TrainingSettings


@dataclass
class ModelSettings:
    """Arguments of ``build_model``."""

    name: str = "scmn"
    backbone: str | None = None
    """null: the network's own."""
    pretrained_backbone: bool | str = False
    """true: ImageNet weights, downloaded once; or a file of them."""
    switches: dict[str, Any] = field(default_factory=dict)
    """Further arguments of the network."""


@dataclass
class Config:
    """The content of a configuration file."""

    model: ModelSettings = field(default_factory=ModelSettings)
    memory: dict[str, Any] = field(default_factory=dict)
    """Differences from the network's ``memory_defaults``; the keys are those of
    ``MemorySettings``."""
    evaluation: EvaluationSettings = field(default_factory=EvaluationSettings)
    training: TrainingSettings = field(default_factory=TrainingSettings)


def load_config(path: str | Path | None, overrides: Sequence[str] = ()) -> Config:
    """Read a YAML file (see ``find_config``) and apply ``key=value`` overrides in order.

    A file may name another one under ``base:`` (relative to itself) and override its values.

    Raises:
        InputError: a file is missing or not YAML, or a key or a value is wrong.
    """
    config = OmegaConf.structured(Config())
    source = "configuration"
    if path is not None:
        for file, content in _with_bases(find_config(path)):
            source = str(file)
            config = _merge(config, content, source)
    for override in overrides:
        source = f"override '{override}'"
        config = _merge(config, _parse_override(override), source)
    return _to_object(config, source)


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


def parse_config(text: str, source: str) -> Config:
    """Read what :func:`config_to_yaml` returned, in this version or an earlier one.

    Raises:
        InputError: it uses a setting that this version does not have; ``source`` is named.
    """
    content = cast(DictConfig, OmegaConf.create(text))
    return _to_object(_merge(OmegaConf.structured(Config()), content, source), source)


def config_to_yaml(config: Config) -> str:
    """Return the resolved configuration as YAML."""
    return OmegaConf.to_yaml(OmegaConf.structured(config))


def _with_bases(path: Path) -> list[tuple[Path, DictConfig]]:
    """Return the file and its chain of bases, the base of all others first."""
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


def _parse_override(override: str) -> DictConfig:
    if "=" not in override:
        raise InputError(f"override '{override}' is not of the form key=value")
    try:
        return OmegaConf.from_dotlist([override])
    except (YAMLError, OmegaConfBaseException) as error:
        raise InputError(f"override '{override}': {' '.join(str(error).split())}") from error


def _merge(config: DictConfig, content: DictConfig, source: str) -> DictConfig:
    plain = cast(dict[str, Any], OmegaConf.to_container(content))
    rename_keys(plain, source)
    prefix = ""
    try:
        if isinstance(plain.get("memory"), dict):
            prefix = "memory."
            typed = OmegaConf.merge(OmegaConf.structured(MemorySettings), plain["memory"])
            plain["memory"] = {key: typed[key] for key in plain["memory"]}
            prefix = ""
        return cast(DictConfig, OmegaConf.merge(config, plain))
    except OmegaConfBaseException as error:
        key = f"{prefix}{error.full_key}: " if error.full_key else ""
        # The first line says what is wrong and suggests the nearest key; the rest is internal.
        raise InputError(f"{source}: {key}{str(error).splitlines()[0]}") from error


def _to_object(config: DictConfig, source: str) -> Config:
    try:
        return cast(Config, OmegaConf.to_object(config))
    except InputError as error:
        raise InputError(f"{source}: {error}") from error

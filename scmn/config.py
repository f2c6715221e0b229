"""Configuration: the settings of all packages, loaded from YAML files and ``key=value`` overrides.

omegaconf reads them and resolves ``${...}``; ``scmn.settings`` checks the result.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, field
from functools import partial
from pathlib import Path
from typing import Annotated, Any, cast

from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException
from pydantic import PlainValidator
from yaml import YAMLError

from scmn.errors import InputError, in_one_line, nearest_name
from scmn.evaluation.settings import EvaluationSettings
from scmn.inference.memory.settings import MemorySettings
from scmn.renamed_keys import rename_keys
from scmn.settings import SomeOf, check, settings
from scmn.training.settings import TrainingSettings


def _flag_or_file(value: Any) -> Any:
    if not isinstance(value, bool | str):
        raise ValueError("must be true, false or a file")
    return value


@settings()
class ModelSettings:
    """Arguments of ``build_model``."""

    name: str = "scmn"
    backbone: str | None = None
    """null: the network's own."""
    pretrained_backbone: Annotated[bool | str, PlainValidator(_flag_or_file)] = False
    """true: ImageNet weights, downloaded once; or a file of them."""
    switches: dict[str, Any] = field(default_factory=dict)
    """Further arguments of the network."""

    def __post_init__(self) -> None:
        for name in ("name", "backbone", "weights", "pretrained_backbone", "new_parts"):
            if name in self.switches:
                raise InputError(f"switches: '{name}' is no switch of a network")


@settings()
class Config:
    """The content of a configuration file."""

    data: str | None = None
    """What ``${data}`` in other values stands for, such as the folder of your own data."""
    model: ModelSettings = field(default_factory=ModelSettings)
    memory: Annotated[dict[str, Any], SomeOf(MemorySettings)] = field(default_factory=dict)
    """Differences from the network's ``memory_defaults``; the keys are those of
    ``MemorySettings``."""
    evaluation: EvaluationSettings = field(default_factory=EvaluationSettings)
    training: TrainingSettings = field(default_factory=TrainingSettings)


Source = tuple[str, dict[str, Any]]
"""A file or an override by its name, and what it sets."""


def load_config(path: str | Path | None, overrides: Sequence[str] = ()) -> Config:
    """Read a YAML file (see ``find_config``) and apply ``key=value`` overrides in order.

    A file may name another one under ``base:`` (relative to itself) and override its values.

    Raises:
        InputError: a file is missing or not YAML, or a key or a value is wrong.
    """
    sources: list[Source] = []
    if path is not None:
        sources += [(str(file), content) for file, content in _with_bases(find_config(path))]
    sources += [(f"override '{override}'", _parse_override(override)) for override in overrides]
    return _compose(sources)


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
    return _compose([(source, _plain(OmegaConf.create(text)))])


def check_config(config: Config) -> Config:
    """Return a configuration that Python code has made or changed.

    Raises:
        InputError: a value is wrong.
    """
    return check(Config, asdict(config))


def config_to_yaml(config: Config) -> str:
    """Return the resolved configuration as YAML."""
    return OmegaConf.to_yaml(OmegaConf.create(asdict(config)))


def _with_bases(path: Path) -> list[tuple[Path, dict[str, Any]]]:
    """Return the file and its chain of bases, the base of all others first."""
    chain: list[tuple[Path, dict[str, Any]]] = []
    current: Path | None = path
    while current is not None:
        content = read_yaml(current)
        if any(current.samefile(file) for file, _ in chain):
            raise InputError(f"{path}: its chain of 'base:' files comes back to {current}")
        base = content.pop("base", None)
        chain.append((current, content))
        current = None if base is None else current.parent / str(base)
    return chain[::-1]


def read_yaml(path: Path) -> dict[str, Any]:
    """Read the ``key: value`` pairs of a YAML file; ``${...}`` is not resolved.

    Raises:
        InputError: the file is missing or not YAML, or holds something else.
    """
    if not path.is_file():
        raise InputError(f"config file not found: {path}")
    try:
        content = OmegaConf.load(path)
    except (YAMLError, OmegaConfBaseException, UnicodeDecodeError, OSError) as error:
        raise InputError(f"{path} is not valid YAML: {in_one_line(error)}") from error
    if not isinstance(content, DictConfig):
        raise InputError(f"{path} must hold 'key: value' pairs")
    return _plain(content)


def _parse_override(override: str) -> dict[str, Any]:
    if "=" not in override:
        raise InputError(f"override '{override}' is not of the form key=value")
    try:
        return _plain(OmegaConf.from_dotlist([override]))
    except (YAMLError, OmegaConfBaseException) as error:
        raise InputError(f"override '{override}': {in_one_line(error)}") from error


def _plain(content: Any) -> dict[str, Any]:
    return cast(dict[str, Any], OmegaConf.to_container(content))


def _compose(sources: Sequence[Source]) -> Config:
    """Merge the sources in order and check the result; a mistake is reported with its source."""
    merged: Any = asdict(Config())  # whose values ${...} may name
    for source, content in sources:
        rename_keys(content, source)
        merged = _merged(merged, content)
    named = partial(_with_source, sources=sources)
    try:
        # For hundreds of values omegaconf takes a second, so it is asked only where it is needed.
        if _means_something_else(merged):
            unresolved = OmegaConf.create(merged)
            merged = OmegaConf.to_container(unresolved, resolve=True, throw_on_missing=True)
    except OmegaConfBaseException as error:
        # The first line says what is wrong; the rest is internal.
        raise InputError(f"{named(error.full_key or '')}: {str(error).splitlines()[0]}") from error
    return check(Config, merged, named)


def _means_something_else(value: Any) -> bool:
    """Return whether ``value`` or a part of it is ``${...}`` or omegaconf's ``???``."""
    if isinstance(value, dict):
        return any(map(_means_something_else, value.values()))
    if isinstance(value, list | tuple):
        return any(map(_means_something_else, value))
    return isinstance(value, str) and ("${" in value or value == "???")


def _merged(base: Any, change: Any) -> Any:
    if not isinstance(base, dict) or not isinstance(change, dict):
        return change
    return base | {key: _merged(base.get(key), value) for key, value in change.items()}


def _with_source(key: str, sources: Sequence[Source]) -> str:
    """Return a dotted key after the last source that sets it or, if none does, its block."""
    parts = key.split(".")

    def depth(source: Source) -> int:
        content: Any = source[1]
        for number, part in enumerate(parts):
            if not isinstance(content, dict) or part not in content:
                return number
            content = content[part]
        return len(parts)

    name, _ = max(reversed(sources), key=depth, default=("", {}))
    return f"{name}: {key}".strip(": ")

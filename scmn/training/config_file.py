"""``config.yaml`` in the folder of a run, headed by the settings that were changed on the way."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from scmn.config import Config, config_to_yaml
from scmn.data.atomic import atomic_path
from scmn.errors import InputError

NAME = "config.yaml"


def write_config(folder: Path, config: Config, changes: Sequence[str]) -> None:
    """Write the configuration of a run to its folder; InputError if that fails."""
    with atomic_path(folder / NAME) as temporary:
        changed = "".join(f"# changed {change}\n" for change in changes)
        temporary.write_text(changed + config_to_yaml(config), encoding="utf-8")


def require_own_config(folder: Path, config: Config) -> None:
    """Raise InputError if the folder of a new run has the ``config.yaml`` of something else.

    A run that was killed before its first checkpoint has left its own.
    """
    path = folder / NAME
    if path.exists() and not path.read_bytes().endswith(config_to_yaml(config).encode()):
        raise InputError(
            f"{path} is not of this run, which would replace it; "
            "move it away or choose another --output"
        )

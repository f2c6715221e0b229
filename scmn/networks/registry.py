"""Names of models -> network classes and their settings."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from scmn.networks.base import MemoryNetwork
from scmn.networks.scmn import SCMN
from scmn.networks.stcn import STCN
from scmn.networks.stm import STM


@dataclass(frozen=True)
class ModelEntry:
    """A network class and the arguments that make it this model."""

    network: type[MemoryNetwork]
    settings: Mapping[str, Any] = field(default_factory=dict)

    @property
    def setting_names(self) -> tuple[str, ...]:
        """Arguments that the network's constructor takes."""
        parameters = inspect.signature(self.network.__init__).parameters
        return tuple(name for name in parameters if name != "self")


MODELS: dict[str, ModelEntry] = {
    "scmn": ModelEntry(SCMN),
    "stm": ModelEntry(STM),
    "stcn": ModelEntry(STCN),
}


def list_models() -> list[str]:
    """Return the names that ``build_model`` takes."""
    return sorted(MODELS)

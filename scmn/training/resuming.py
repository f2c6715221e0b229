"""Which settings may differ when a run is resumed: those that leave its mathematics as they were.

Where the data lie, how much of a batch is computed at a time, and in which precision, changes
rounding and speed. What is learned from which samples is fixed when the run starts.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from fnmatch import fnmatchcase
from typing import Any

from scmn.config import Config

FREE_TO_CHANGE = (
    "data",  # what ${data} stands for is compared where it is used
    "memory.*",  # used to validate only
    "evaluation.*",
    "training.device",
    "training.workers",
    "training.precision",
    "training.compile",
    "training.channels_last",
    "training.activation_checkpointing",
    "training.validation.*",
    "training.log_every",
    "training.pictures_every",
    "training.checkpoint_every",
    "training.keep_checkpoints",
    "training.stages.*.clips_per_pass",
    "training.stages.*.optimizer.fused",
    "training.stages.*.data.*.root",
    "training.stages.*.data.*.annotations",
    "training.stages.*.data.*.paste_from",
)
"""Patterns of the keys that may differ."""
MOVED_ONLY = (".paste_from", ".annotations")
"""Paths that may be others, but neither begin nor end to be given."""
IN_ORDER = ("training.stages", "training.stages.*.data")
"""Mappings whose order counts: that of the stages, and of the data sets, by which samples are
numbered."""


@dataclass(frozen=True)
class Change:
    """A setting that differs from the checkpoint's."""

    key: str
    old: Any
    new: Any
    free: bool
    """Whether the run may be resumed with the new value."""

    @property
    def changes_scores(self) -> bool:
        """Whether validation scores from before and after it cannot be compared."""
        return (
            self.key.startswith(("memory.", "training.validation."))
            and self.key != "training.validation.every"
        )

    def __str__(self) -> str:
        return f"{self.key}: {self.old} -> {self.new}"


def changes(saved: Config, given: Config) -> list[Change]:
    """Return the settings in which ``given`` differs from the ``saved`` configuration of a run."""
    return [
        Change(key, old, new, _is_free(key, old, new, given))
        for key, old, new in _differences(asdict(saved), asdict(given), "")
    ]


def _differences(saved: Any, given: Any, key: str) -> Iterator[tuple[str, Any, Any]]:
    if isinstance(saved, Mapping) and isinstance(given, Mapping):
        for name in {**saved, **given}:
            inner = f"{key}.{name}" if key else str(name)
            yield from _differences(saved.get(name), given.get(name), inner)
        if any(fnmatchcase(key, pattern) for pattern in IN_ORDER):
            both = {n for n in saved if saved[n] is not None and given.get(n) is not None}
            old, new = ([name for name in names if name in both] for names in (saved, given))
            if old != new:
                yield key, old, new
    elif saved != given:
        yield key, saved, given


def _is_free(key: str, old: Any, new: Any, config: Config) -> bool:
    if not any(fnmatchcase(key, pattern) for pattern in FREE_TO_CHANGE):
        return False
    if key.endswith(MOVED_ONLY):
        return old is not None and new is not None
    # Learning batch norms compute their statistics over the clips of a pass.
    return not (key.endswith(".clips_per_pass") and config.training.norm == "batch")

"""Memory settings: which frames are remembered and how they are read."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any, Literal, get_args

from scmn.errors import InputError, nearest_name

Eviction = Literal["oldest", "usage"]

OLD_NAMES = {"keep_first": "keep_annotated"}
"""Earlier names of settings, which files may still hold."""


@dataclass
class KernelSettings:
    """Kernelised read (KMN, Seong et al., ECCV 2020, 3.2): each remembered position is read mainly
    near the query position that is most similar to it.

    Attributes:
        sigma: standard deviation of the Gaussian, in positions at stride 16 of frames whose shorter
            side is 480 pixels; it scales with the resolution.
    """

    sigma: float = 5.6

    def __post_init__(self) -> None:
        """
        Raises:
            InputError: a width that is not positive and finite.
        """
        number = isinstance(self.sigma, int | float) and not isinstance(self.sigma, bool)
        if not (number and 0 < self.sigma < math.inf):
            raise InputError(f"memory.kernel.sigma must be a number above 0, not {self.sigma!r}")


@dataclass
class MemorySettings:
    """Which frames are remembered and how they are read.

    The published policy of each network is its ``memory_defaults``.

    Attributes:
        every: remember every n-th frame after the last one that was given with masks (None: only
            annotated and previous frames).
        keep_annotated: never forget frames that were given with masks.
        keep_previous: remember the previous frame until the next one replaces it.
        max_frames: remember at most this many frames besides those that are never forgotten and,
            with ``keep_previous``, the previous frame (None: no limit).
        eviction: which frame is dropped then: the oldest, or, with "usage", the one to which the
            objects have paid least attention (RMem, Zhou et al., CVPR 2024, 3.2).
        top_k: read only the k most similar positions (None: all).
        kernel: kernelised read (None: every position is read everywhere).
    """

    every: int | None
    keep_annotated: bool
    keep_previous: bool
    max_frames: int | None
    top_k: int | None
    kernel: KernelSettings | None = None
    eviction: Eviction = "oldest"

    def __post_init__(self) -> None:
        """
        Raises:
            InputError: a wrong value.
        """
        vars(self).update(check_settings(vars(self)))


def complete_settings(
    memory: MemorySettings | Mapping[str, Any] | None, defaults: Mapping[str, Any]
) -> MemorySettings:
    """Complete some memory settings from a network's policy.

    Args:
        memory: the settings that differ from the policy, or complete settings, which replace it.
        defaults: ``memory_defaults`` of the network.

    Raises:
        InputError: an unknown setting, or a wrong value.
    """
    if isinstance(memory, MemorySettings):
        return memory
    return MemorySettings(**{**defaults, **check_settings(memory or {})})


def check_settings(memory: Mapping[str, Any]) -> dict[str, Any]:
    """Check some memory settings and return them under their current names.

    Raises:
        InputError: an unknown setting, or a wrong value.
    """
    settings = current_names(memory)
    known = [field.name for field in fields(MemorySettings)]
    for name, value in settings.items():
        if name not in known:
            raise InputError(
                f"unknown memory setting '{name}'{nearest_name(name, known)}; "
                f"known: {', '.join(known)}"
            )
        if name == "kernel":
            settings[name] = _kernel(value)
        elif name == "eviction":
            if value not in get_args(Eviction):
                raise InputError(
                    f"memory.eviction must be {' or '.join(get_args(Eviction))}, not {value!r}"
                )
        elif name.startswith("keep_"):
            if not isinstance(value, bool):
                raise InputError(f"memory.{name} must be true or false, not {value!r}")
        elif value is not None and (type(value) is not int or value < 1):
            raise InputError(f"memory.{name} must be an integer above 0 or null, not {value!r}")
    return settings


def _kernel(value: Any) -> KernelSettings | None:
    if value is None or isinstance(value, KernelSettings):
        return value
    if not isinstance(value, Mapping) or not set(value) <= {"sigma"}:
        raise InputError(f"memory.kernel must be null or {{sigma: NUMBER}}, not {value!r}")
    return KernelSettings(**value)


def current_names(memory: Mapping[str, Any]) -> dict[str, Any]:
    """Return memory settings under their current names; a current name wins over its old one."""
    settings = dict(memory)
    for old, new in OLD_NAMES.items():
        if old in settings:
            settings.setdefault(new, settings.pop(old))
    return settings

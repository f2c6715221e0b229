"""Memory settings: which frames are remembered and how they are read."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from scmn.settings import Count, Positive, check, settings, within

Eviction = Literal["oldest", "usage"]

OLD_NAMES = {"keep_first": "keep_annotated"}
"""Earlier names of settings, which files may still hold."""


@settings()
class KernelSettings:
    """Kernelised read (KMN, Seong et al., ECCV 2020, 3.2): each remembered position is read mainly
    near the query position that is most similar to it.

    Attributes:
        sigma: standard deviation of the Gaussian, in positions at stride 16 of frames whose shorter
            side is 480 pixels; it scales with the resolution.
    """

    sigma: Positive = 5.6


@settings()
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

    every: Count | None
    keep_annotated: bool
    keep_previous: bool
    max_frames: Count | None
    top_k: Count | None
    kernel: KernelSettings | None = None
    eviction: Eviction = "oldest"


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
    given: Any = {} if memory is None else memory
    if isinstance(given, Mapping):
        given = {**defaults, **current_names(given)}
    return check(MemorySettings, given, within("memory"))


def current_names(memory: Mapping[str, Any]) -> dict[str, Any]:
    """Return memory settings under their current names; a current name wins over its old one."""
    current = dict(memory)
    for old, new in OLD_NAMES.items():
        if old in current:
            current.setdefault(new, current.pop(old))
    return current

"""Memory settings: which frames are remembered and how they are read."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import Field

from scmn.errors import InputError
from scmn.settings import Count, Positive, Share, check, settings, within

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
        half_size: search for the most similar position on maps of half the size, in a sixteenth of
            the time.
    """

    sigma: Positive = 5.6
    half_size: bool = False


@settings()
class LongTermSettings:
    """Long-term memory (XMem, Cheng and Schwing, ECCV 2022, 3.3): frames that are no longer among
    the newest are replaced by prototypes, their most used positions.

    Attributes:
        min_frames: this many frames, the first one included, are left when the others become
            prototypes.
        max_frames: frames become prototypes as soon as there are this many, the first one included.
        prototypes: how many the frames are replaced by each time.
        max_elements: the most prototypes that an object has; the least used ones are replaced.
    """

    min_frames: Annotated[int, Field(ge=2)] = 5
    max_frames: Count = 10
    prototypes: Count = 128
    max_elements: Count = 10_000

    def __post_init__(self) -> None:
        """
        Raises:
            InputError: the sizes contradict each other.
        """
        if self.max_frames <= self.min_frames:
            raise InputError(
                f"max_frames must be above min_frames={self.min_frames}, not {self.max_frames}"
            )
        if self.max_elements < self.prototypes:
            raise InputError(
                f"max_elements must be at least prototypes={self.prototypes}, not "
                f"{self.max_elements}"
            )


@settings()
class GateSettings:
    """Remember an object only from frames where its mask is trusted.

    Attributes:
        confidence: the least confidence of a mask; that of a given one is 1.
    """

    confidence: Share = 0.8


@settings()
class AbsenceSettings:
    """An object has an empty mask where its mask is hardly more probable than the background: it is
    taken for absent.

    Attributes:
        confidence: the least mean of ``1 - p0 / p`` over the mask, of the probabilities of
            background and object.
    """

    confidence: Share = 0.6


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
        long_term: make prototypes of frames that are no longer among the newest, instead of
            ``max_frames`` (None: frames are kept or dropped).
        gate: remember an object only where its mask is trusted, and where no object that was added
            with it is trusted on an n-th frame, the next frame on which one is (None: whatever its
            mask is like).
        absence: empty the mask of an object that is taken for absent (None: no object is).
        weigh_cells: weigh each remembered position by how certain its pixels were.
    """

    every: Count | None
    keep_annotated: bool
    keep_previous: bool
    max_frames: Count | None
    top_k: Count | None
    kernel: KernelSettings | None = None
    eviction: Eviction = "oldest"
    long_term: LongTermSettings | None = None
    gate: GateSettings | None = None
    absence: AbsenceSettings | None = None
    weigh_cells: bool = False

    def __post_init__(self) -> None:
        """
        Raises:
            InputError: the memory would be limited in two ways.
        """
        if self.long_term is not None and self.max_frames is not None:
            raise InputError(f"max_frames must be null beside long_term, not {self.max_frames}")


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

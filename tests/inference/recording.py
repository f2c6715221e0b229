"""Records what a segmenter's network computes, for tests that repeat a memory's decisions."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from scmn.networks.base import MemoryNetwork


def recurring(frames: int) -> Iterator[np.ndarray]:
    """Return a video of three images that take turns, each time a little different."""
    rng = np.random.default_rng(0)
    images = rng.integers(0, 225, (3, 50, 70, 3), dtype=np.uint8)
    for time in range(frames):
        yield images[(time * time) % 3] + rng.integers(0, 30, (50, 70, 3), dtype=np.uint8)


def distinct(network: MemoryNetwork) -> MemoryNetwork:
    """Enlarge the keys of random weights, so that some frames get more attention than others."""
    for part, parameter in network.named_parameters():
        if "key" in part:
            parameter.data *= 3
    return network


def recorded(method: Callable[..., Any], results: dict[str, Any], name: str) -> Callable[..., Any]:
    """Return a method that also leaves its result in ``results``."""

    def call(*args: Any, **options: Any) -> Any:
        results[name] = method(*args, **options)
        return results[name]

    return call

"""Which frames a measured speed leaves out."""

from __future__ import annotations

from collections import Counter

WARM_UP_FRAMES = 3
"""A CUDA graph is compiled with the first frame and recorded with the second; the third is a
margin."""


class WarmUp:
    """Tells warm-up from measured frames, over all sequences of a process.

    Warm-up are the first ``WARM_UP_FRAMES`` segmented frames of every frame size and number of
    objects: with them a network is compiled, kernels are chosen and memory is reserved.
    """

    def __init__(self) -> None:
        self._seen: Counter[tuple[tuple[int, ...], int]] = Counter()

    def includes(self, frame_size: tuple[int, ...], objects: int) -> bool:
        """Count a segmented frame, and return whether it is warm-up."""
        case = (frame_size, objects)
        self._seen[case] += 1
        return self._seen[case] <= WARM_UP_FRAMES

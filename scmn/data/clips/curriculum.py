"""Temporal distance between the frames of a training clip, and how it changes during training.

STM and STCN start with neighbouring frames and increase the distance; STCN ends with near ones.
"""

from __future__ import annotations

from typing import Annotated

import numpy as np
from pydantic import AfterValidator, Field

from scmn.settings import settings


def _from_0(steps: tuple[tuple[float, float], ...]) -> tuple[tuple[float, float], ...]:
    starts = [start for start, _ in steps]
    if not starts or starts[0] != 0 or starts != sorted(set(starts)):
        raise ValueError("must have progress that rises from 0")
    return steps


Progress = Annotated[float, Field(ge=0, lt=1)]
Frames = Annotated[float, Field(ge=0, multiple_of=1)]
Steps = Annotated[
    tuple[Annotated[tuple[Progress, Frames], Field(strict=False)], ...],
    Field(strict=False),
    AfterValidator(_from_0),
]
"""(progress from which it applies, maximum skip in frames of the video)."""


@settings(frozen=True)
class SkipCurriculum:
    """The maximum skip as a function of progress; the default is STCN's on DAVIS."""

    steps: Steps = (
        (0.0, 5),
        (0.1, 10),
        (0.2, 15),
        (0.3, 20),
        (0.4, 25),
        (0.9, 5),
    )

    def maximum_skip(self, progress: float, *, frame_interval: int = 1) -> int:
        """Return the maximum skip at ``progress`` in [0, 1], in annotated frames.

        ``frame_interval`` is the number of video frames from one annotated frame to the next (5 on
        YouTube-VOS); a skip of at least one frame is at least one annotated frame.
        """
        skip = next(int(skip) for start, skip in reversed(self.steps) if progress >= start)
        return max(skip // frame_interval, min(skip, 1))


def choose_frames(
    length: int, *, frames: int, maximum_skip: int, rng: np.random.Generator
) -> list[int]:
    """Choose ``frames`` of ``length`` annotated frames in time order (STCN's rule).

    With m = min(length, maximum_skip), the first is drawn from 0..length - m, each further one is
    1..m + 1 later. Each is limited so that the remaining ones can still differ; only a sequence
    with fewer frames than the clip repeats its last.
    """
    limit = min(length, maximum_skip)
    chosen: list[int] = []
    for left in reversed(range(frames)):
        earliest = chosen[-1] + 1 if chosen else 0
        drawn = earliest + int(rng.integers(0, limit if chosen else length - limit, endpoint=True))
        chosen.append(min(drawn, max(length - 1 - left, earliest), length - 1))
    return chosen

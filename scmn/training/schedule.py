"""Learning-rate schedules as pure functions of the iteration: they have no state to save.

cosine: Loshchilov and Hutter, ICLR 2017, without restarts.
one_cycle: Smith and Topin, 2019, with cosine annealing.
"""

from __future__ import annotations

import math
from collections.abc import Callable

from scmn.training.settings import ScheduleSettings


def learning_rate_factor(iteration: int, *, total: int, settings: ScheduleSettings) -> float:
    """Return the factor on the base learning rate for the step number ``iteration``.

    The warm-up multiplies the schedule's first value by 1 / (warm_up + 1), 2 / (warm_up + 1), ...;
    from iteration ``warm_up`` the schedule runs over the remaining iterations. Milestones are
    counted from the start of the stage, warm-up included.

    Args:
        iteration: from 0, within the stage.
        total: iterations of the stage.
        settings: the schedule.
    """
    warm_up = min(1.0, (iteration + 1) / (settings.warm_up + 1))
    if settings.name == "step":
        passed = sum(iteration >= milestone for milestone in settings.milestones)
        return warm_up * settings.gamma**passed
    length = max(total - settings.warm_up, 1)
    progress = min(max(iteration - settings.warm_up, 0) / length, 1.0)
    return warm_up * _SHAPES[settings.name](progress, settings)


def _cosine(progress: float, settings: ScheduleSettings) -> float:
    return _half_cosine(1.0, settings.final, progress)


def _one_cycle(progress: float, settings: ScheduleSettings) -> float:
    if progress < settings.rise:
        return _half_cosine(settings.initial, 1.0, progress / settings.rise)
    fall = 1 - settings.rise
    return _half_cosine(1.0, settings.final, (progress - settings.rise) / fall if fall else 0.0)


def _half_cosine(start: float, end: float, progress: float) -> float:
    return end + (start - end) * (1 + math.cos(math.pi * progress)) / 2


_SHAPES: dict[str, Callable[[float, ScheduleSettings], float]] = {
    "fixed": lambda progress, settings: 1.0,
    "cosine": _cosine,
    "one_cycle": _one_cycle,
}

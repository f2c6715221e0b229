"""Plots of the report: a line per object, J over the scored frames. ``page.html`` draws them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from scmn.evaluation.scores import ObjectScores, SequenceScores

WIDTH, HEIGHT = 360, 132
LEFT, RIGHT, TOP, BOTTOM = 28, 8, 8, 20
"""Margins around the plotted area, in the units of the view box."""
LINE_COLOURS = 8
"""Number of line colours in the style sheet; further objects reuse them."""


@dataclass(frozen=True)
class Mark:
    """A horizontal grid line and its label."""

    y: float
    text: str


@dataclass(frozen=True)
class Line:
    """One object, from the first frame on which it counts."""

    object_id: int
    colour: int
    mean: float
    title: str
    points: tuple[tuple[float, float], ...]
    """(x, y) of each frame, in the units of the view box."""


@dataclass(frozen=True)
class Plot:
    """J of the objects of a sequence by frame."""

    name: str
    first_frame: str
    last_frame: str
    marks: tuple[Mark, ...]
    lines: tuple[Line, ...]
    width: int = WIDTH
    height: int = HEIGHT
    left: int = LEFT
    right: int = WIDTH - RIGHT


def frame_plot(sequence: SequenceScores) -> Plot:
    """Lay out J of every object on the scored frames."""
    return Plot(
        sequence.name,
        sequence.frames[0],
        sequence.frames[-1],
        tuple(Mark(_y(value), f"{100 * value:.0f}") for value in (0.0, 0.5, 1.0)),
        tuple(_line(sequence, order, scored) for order, scored in enumerate(sequence.objects)),
    )


def _line(sequence: SequenceScores, order: int, scored: ObjectScores) -> Line:
    positions = {name: index for index, name in enumerate(sequence.frames)}
    step = (WIDTH - LEFT - RIGHT) / max(1, len(sequence.frames) - 1)
    points = tuple(
        (round(LEFT + positions[name] * step, 1), _y(value))
        for name, value in zip(scored.frames, scored.region_similarity, strict=True)
    )
    return Line(scored.object_id, order % LINE_COLOURS, scored.j.mean, _description(scored), points)


def _description(scored: ObjectScores) -> str:
    lowest = int(np.argmin(scored.region_similarity))
    return (
        f"object {scored.object_id}: mean {100 * scored.j.mean:.1f}, "
        f"lowest {100 * scored.region_similarity[lowest]:.1f} on frame {scored.frames[lowest]}"
    )


def _y(value: float) -> float:
    return round(TOP + (1 - value) * (HEIGHT - TOP - BOTTOM), 1)

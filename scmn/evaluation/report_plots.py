"""Plots of the report as inline SVG: a line per object, J over the scored frames."""

from __future__ import annotations

from html import escape

import numpy as np

from scmn.evaluation.scores import ObjectScores, SequenceScores

WIDTH, HEIGHT = 360, 132
LEFT, RIGHT, TOP, BOTTOM = 28, 8, 8, 20
"""Margins around the plotted area, in the units of the view box."""
LINE_COLOURS = 8
"""The style sheet has this many line colours; further objects take them again."""


def frame_plot(sequence: SequenceScores) -> str:
    """Return an SVG element and its legend: J of every object on the scored frames."""
    label = escape(f"J by frame of {sequence.name}")
    lines = "".join(
        f'<g class="{_colour(order)}">{_line(sequence, scored)}</g>'
        for order, scored in enumerate(sequence.objects)
    )
    return (
        f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{label}">'
        f"{_axes(sequence)}{lines}</svg>{_legend(sequence)}"
    )


def _axes(sequence: SequenceScores) -> str:
    marks = []
    for value in (0.0, 0.5, 1.0):
        y = _y(value)
        marks.append(f'<line class="grid" x1="{LEFT}" y1="{y}" x2="{WIDTH - RIGHT}" y2="{y}"/>')
        marks.append(f'<text x="{LEFT - 5}" y="{y}" dy="3.5" class="end">{100 * value:.0f}</text>')
    first, last = escape(sequence.frames[0]), escape(sequence.frames[-1])
    below = HEIGHT - 5
    marks.append(f'<text x="{LEFT}" y="{below}">{first}</text>')
    if len(sequence.frames) > 1:
        marks.append(f'<text x="{WIDTH - RIGHT}" y="{below}" class="end">{last}</text>')
    return "".join(marks)


def _line(sequence: SequenceScores, scored: ObjectScores) -> str:
    """Draw one object: from the frame where it begins to count to the last."""
    positions = {name: index for index, name in enumerate(sequence.frames)}
    step = (WIDTH - LEFT - RIGHT) / max(1, len(sequence.frames) - 1)
    points = [
        (round(LEFT + positions[name] * step, 1), _y(value))
        for name, value in zip(scored.frames, scored.region_similarity, strict=True)
    ]
    title = f"<title>{escape(_description(scored))}</title>"
    if len(points) == 1:
        x, y = points[0]
        return f'<circle cx="{x}" cy="{y}" r="2.5">{title}</circle>'
    path = " ".join(f"{x},{y}" for x, y in points)
    return f'<polyline points="{path}">{title}</polyline>'


def _description(scored: ObjectScores) -> str:
    lowest = int(np.argmin(scored.region_similarity))
    return (
        f"object {scored.object_id}: mean {100 * scored.j.mean:.1f}, "
        f"lowest {100 * scored.region_similarity[lowest]:.1f} on frame {scored.frames[lowest]}"
    )


def _legend(sequence: SequenceScores) -> str:
    entries = "".join(
        f'<li class="{_colour(order)}">object {scored.object_id} '
        f"<b>{100 * scored.j.mean:.1f}</b></li>"
        for order, scored in enumerate(sequence.objects)
    )
    return f'<ul class="legend">{entries}</ul>'


def _colour(order: int) -> str:
    return f"line{order % LINE_COLOURS}"


def _y(value: float) -> float:
    return round(TOP + (1 - value) * (HEIGHT - TOP - BOTTOM), 1)

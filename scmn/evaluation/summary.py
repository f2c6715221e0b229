"""The table that eval.py prints at the end."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from scmn.evaluation.scores import DatasetScores

if TYPE_CHECKING:
    from scmn.evaluation.evaluate import Result


def result_table(result: Result) -> str:
    """Return scores, speed and memory with what they were measured on, and the files written."""
    lines = [] if result.scores is None else [score_table(result.scores), ""]
    facts = result.speed.facts()
    width = max(map(len, facts))
    lines += [f"{name.ljust(width)}  {value}" for name, value in facts.items()]
    return "\n".join([*lines, "", *(f"wrote {path}" for path in result.files)])


def score_table(scores: DatasetScores) -> str:
    """Return the scores of all objects and their mean, in percent."""
    rows: list[tuple[str, ...]] = [("sequence", "object", "J&F", "J", "F")]
    for sequence in scores.sequences:
        for scored in sequence.objects:
            mean = (scored.j.mean + scored.f.mean) / 2
            row = (sequence.name, str(scored.object_id))
            rows.append((*row, *_percent(mean, scored.j.mean, scored.f.mean)))
    summary = scores.summary
    means = _percent(summary["J&F-Mean"], summary["J-Mean"], summary["F-Mean"])
    rows.append(("mean", f"{len(scores.objects)} objects", *means))
    lines = _aligned(rows)
    lines.insert(-1, "-" * len(lines[0]))
    detail = "  ".join(f"{name} {100 * value:.1f}" for name, value in summary.items())
    notes = [f"note: {note}" for note in scores.notes]
    return "\n".join([*lines, "", f"protocol {scores.protocol}: {detail}", *notes])


def _percent(*values: float) -> tuple[str, ...]:
    return tuple(f"{100 * value:.1f}" for value in values)


def _aligned(rows: Sequence[tuple[str, ...]]) -> list[str]:
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    return [
        "  ".join(
            cell.ljust(width) if column == 0 else cell.rjust(width)
            for column, (cell, width) in enumerate(zip(row, widths, strict=True))
        )
        for row in rows
    ]

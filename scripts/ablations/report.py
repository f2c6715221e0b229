"""The recorded results of an ablation as Markdown tables and a plot."""

from __future__ import annotations

import os
import statistics
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pages import plot, table

from ablations.plan import Column, Plan
from scmn.data.atomic import atomic_path
from scmn.errors import InputError

SCORES = {"J": "J-Mean", "J&F": "J&F-Mean", "J, last quarter": "J-Last-Quarter"}
"""Column -> name in the record."""
INTRODUCTION = """\
# {title}

Made by `python scripts/ablation.py {plan}` from
[{results}]({results}), which holds the command, scores and scores by sequence of every evaluation.
{introduction}Scores are means over the seeds, ± their standard deviation where there are several.
J is region similarity, J&F its mean with contour accuracy, in percent. Machine: {machine}.

![J of every run on every test set]({picture})
"""
ABSENCES = """\

*Found* are the objects that reach an IoU of 0.5 within ten frames of their return. *Ghost* is the
area that is predicted for an object while it is absent, in percent of its area where it is present
(`scripts/absences.py`).
"""


def write_report(plan: Plan, plan_path: Path, results: Mapping[str, Any], root: Path) -> list[Path]:
    """Write plot and Markdown; return their paths.

    Args:
        plan: the ablation.
        plan_path: its file, which the text names.
        results: the recorded results.
        root: folder to which the plan's paths are relative.
    """
    if not results.get("runs"):
        raise InputError(f"nothing is recorded in {plan.results} yet")
    report, picture = root / plan.report, root / plan.picture
    _plot(plan, results["runs"], picture)
    text = INTRODUCTION.format(
        title=plan.title,
        plan=plan_path,
        results=os.path.relpath(root / plan.results, report.parent),
        introduction=f"{plan.introduction.strip()}\n" if plan.introduction else "",
        machine=results["machine"],
        picture=os.path.relpath(picture, report.parent),
    )
    columns = {column for evaluation in plan.evaluations.values() for column in evaluation.columns}
    if columns & {"found", "ghost"}:
        text += ABSENCES
    for group in dict.fromkeys(group for run in plan.runs.values() for group in run.groups):
        text += f"\n## {group}\n\n{_table(plan, group, results['runs'])}"
    if plan.conclusions:
        text += f"\n## What came out\n\n{plan.conclusions.strip()}\n"
    with atomic_path(report) as temporary:
        temporary.write_text(text, encoding="utf-8")
    return [picture, report]


def _table(plan: Plan, group: str, runs: Mapping[str, Any]) -> str:
    rows = []
    for name, run in plan.runs.items():
        if group not in run.groups:
            continue
        row = {"run": run.title, "seeds": str(len(runs.get(name, {})))}
        for key, evaluation in plan.evaluations.items():
            records = _records(runs, name, key)
            for column in evaluation.columns:
                row[f"{evaluation.title}: {column}"] = _cell(column, records)
        rows.append(row)
    return table(rows)


def _records(runs: Mapping[str, Any], name: str, evaluation: str) -> list[Mapping[str, Any]]:
    """Return a record for every evaluated seed."""
    return [seed[evaluation] for seed in runs.get(name, {}).values() if evaluation in seed]


def _cell(column: Column, records: Sequence[Mapping[str, Any]]) -> str:
    """Return what a table shows of the records of all seeds."""
    key = "absences" if column in ("found", "ghost") else SCORES.get(column, column)
    values = [record[key] for record in records if key in record]
    if not values:
        return "not run"
    if column in SCORES:
        return _mean_and_spread([100 * value for value in values])
    if column == "found":
        return " of ".join(str(sum(value[k] for value in values)) for k in ("found", "returns"))
    if column == "ghost":
        ghosts = [100 * value["ghost"] for value in values if value["ghost"] is not None]
        return _mean_and_spread(ghosts) if ghosts else "no absence"
    return ", ".join(value.partition(" (")[0] for value in values)  # without the definition


def _mean_and_spread(values: list[float]) -> str:
    mean = f"{statistics.mean(values):.1f}"
    return mean if len(values) == 1 else f"{mean} ± {statistics.stdev(values):.1f}"


def _plot(plan: Plan, runs: Mapping[str, Any], path: Path) -> None:
    """Draw a row per run with a mark per seed and test set."""
    with plot(path, height=0.36 * len(plan.runs) + 1.2) as axes:
        for order, (key, evaluation) in enumerate(plan.evaluations.items()):
            marks = [
                (100 * record["J-Mean"], row)
                for row, name in enumerate(plan.runs)
                for record in _records(runs, name, key)
            ]
            x, y = zip(*marks, strict=True) if marks else ((), ())
            axes.plot(x, y, "osD^v"[order % 5], label=evaluation.title, alpha=0.8)
        axes.set_yticks(range(len(plan.runs)), [run.title for run in plan.runs.values()])
        axes.invert_yaxis()
        axes.set_xlabel("J, percent")
        axes.grid(axis="x", alpha=0.3)
        axes.legend(loc="best", fontsize="small")

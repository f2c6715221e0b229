"""The recorded results of an ablation as Markdown tables and a plot."""

from __future__ import annotations

import os
import statistics
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pages import plot, table

from ablations.plan import Plan
from scmn.data.atomic import atomic_path
from scmn.errors import InputError

SCORES = {"J": "J-Mean", "J&F": "J&F-Mean"}
"""Column -> name in the record."""
INTRODUCTION = """\
# Results under one budget

Made by `python scripts/ablation.py {plan}` from
[{results}]({results}), which holds the command, scores and scores by sequence of every evaluation.
All networks have the same data and iterations; scores are means over the seeds, ± their standard
deviation where there are several. J is region similarity, J&F its mean with contour accuracy, in
percent. Machine: {machine}.

![J of every network on every test set]({picture})
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
        plan=plan_path,
        results=os.path.relpath(root / plan.results, report.parent),
        machine=results["machine"],
        picture=os.path.relpath(picture, report.parent),
    )
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
        row = {"network": run.title, "seeds": str(len(runs.get(name, {})))}
        for key, evaluation in plan.evaluations.items():
            for score, mean in SCORES.items():
                values = scores_of(runs, name, key, mean)
                row[f"{evaluation.title}: {score}"] = (
                    _mean_and_spread(values) if values else "not run"
                )
        rows.append(row)
    return table(rows)


def scores_of(runs: Mapping[str, Any], name: str, evaluation: str, score: str) -> list[float]:
    """Return a score for every evaluated seed, in percent."""
    seeds = runs.get(name, {}).values()
    return [100 * float(seed[evaluation][score]) for seed in seeds if evaluation in seed]


def _mean_and_spread(values: list[float]) -> str:
    mean = f"{statistics.mean(values):.1f}"
    return mean if len(values) == 1 else f"{mean} ± {statistics.stdev(values):.1f}"


def _plot(plan: Plan, runs: Mapping[str, Any], path: Path) -> None:
    """Draw a row per network with a mark per seed and test set."""
    with plot(path, height=0.36 * len(plan.runs) + 1.2) as axes:
        for order, (key, evaluation) in enumerate(plan.evaluations.items()):
            marks = [
                (value, row)
                for row, name in enumerate(plan.runs)
                for value in scores_of(runs, name, key, "J-Mean")
            ]
            x, y = zip(*marks, strict=True) if marks else ((), ())
            axes.plot(x, y, "osD^v"[order % 5], label=evaluation.title, alpha=0.8)
        axes.set_yticks(range(len(plan.runs)), [run.title for run in plan.runs.values()])
        axes.invert_yaxis()
        axes.set_xlabel("J, percent")
        axes.grid(axis="x", alpha=0.3)
        axes.legend(loc="best", fontsize="small")

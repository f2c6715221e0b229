"""The plan of an ablation: a YAML file of runs, seeds and evaluations."""

from __future__ import annotations

from dataclasses import field
from pathlib import Path
from typing import Literal

from scmn.config import read_yaml
from scmn.errors import InputError
from scmn.settings import check, settings

Column = Literal["J", "J&F", "J, last quarter", "frames/s", "peak memory", "found", "ghost"]
"""``found`` and ``ghost`` are those of ``scripts/absences.py``."""


@settings()
class EvaluationPlan:
    """A data set on which all runs are scored."""

    title: str
    dataset: str
    """A data set of ``scmn.data.datasets``."""
    data: str
    sequences: list[str] = field(default_factory=list)
    """Only these (empty: all)."""
    columns: list[Column] = field(default_factory=lambda: ["J", "J&F"])
    """What the tables show."""


@settings()
class RunPlan:
    """A network that is trained, or another way to evaluate one."""

    title: str
    groups: list[str] = field(default_factory=list)
    """Headings of the tables that list it."""
    overrides: list[str] = field(default_factory=list)
    """key=value of the configuration, for training and evaluation."""
    weights: str | None = None
    """Evaluate these weights instead of training: what ``eval.py --weights`` takes."""


@settings()
class Plan:
    """All runs of an ablation."""

    title: str
    """Of the report."""
    output: str
    """Folder of the runs."""
    results: str
    """JSON file of the measurements; the report is generated from it alone."""
    report: str
    """Markdown file."""
    picture: str
    """Plot in the report."""
    config: str | None = None
    """Configuration file of trainings and evaluations (null: the weights name their networks)."""
    introduction: str = ""
    """What the runs have in common, for the report."""
    conclusions: str = ""
    """Text below the tables."""
    overrides: list[str] = field(default_factory=list)
    """Overrides common to all runs."""
    seeds: list[int] = field(default_factory=lambda: [0])
    evaluations: dict[str, EvaluationPlan] = field(default_factory=dict)
    runs: dict[str, RunPlan] = field(default_factory=dict)


def read_plan(path: Path) -> Plan:
    """Read a plan; InputError if it is missing or wrong."""
    if not path.is_file():
        raise InputError(f"plan not found: {path}")
    plan = check(Plan, read_yaml(path), lambda key: f"{path}: {key}")
    if plan.config is None:
        for name, run in plan.runs.items():
            if run.weights is None:
                raise InputError(f"{path}: runs.{name} has no weights, and config is not set")
    return plan

#!/usr/bin/env python
"""Train networks under one budget, or take trained ones, score them on the same data, and report.

    python scripts/ablation.py configs/ablation/small.yaml
    python scripts/ablation.py configs/ablation/small.yaml --only scmn --seed 1
    python scripts/ablation.py configs/ablation/small.yaml --report-only

Finished runs are skipped; an interrupted training or evaluation is resumed. Several processes may
work on one plan at once, each with runs of its own; their speeds then say little.
"""

from __future__ import annotations

from pathlib import Path

from ablations.plan import read_plan
from ablations.report import write_report
from ablations.runs import REPOSITORY, read_results, results_lock, run

from scmn.errors import InputError, nearest_name
from scmn.program import ArgumentParser, run_program


def main() -> None:
    parser = ArgumentParser.of_program(__doc__ or "")
    add = parser.add_argument
    add("plan", type=Path, help="YAML file of runs")
    add("--only", action="append", metavar="NAME", help="only this run (repeatable)")
    add("--seed", action="append", type=int, help="only this seed (repeatable)")
    add("--report-only", action="store_true", help="run nothing")
    given = parser.parse_args()
    plan = read_plan(given.plan)
    for name in given.only or []:
        if name not in plan.runs:
            raise InputError(f"{given.plan} has no run '{name}'{nearest_name(name, plan.runs)}")
    if not given.report_only:
        for name in given.only or plan.runs:
            for seed in given.seed or plan.seeds:
                run(plan, name, seed)
    with results_lock(plan):
        written = write_report(plan, given.plan, read_results(plan), REPOSITORY)
    for path in written:
        print(f"wrote {path}")


if __name__ == "__main__":
    run_program(main, resumes=True)

"""Runs train.py and eval.py for a plan; both resume where they stopped."""

from __future__ import annotations

import contextlib
import json
import statistics
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from absences import sequence_absences, summary
from filelock import FileLock
from pages import machine

from ablations.plan import EvaluationPlan, Plan, RunPlan
from scmn.data.atomic import atomic_path
from scmn.data.datasets import open_dataset
from scmn.errors import InputError

REPOSITORY = Path(__file__).resolve().parents[2]
SCORES = ("J-Mean", "F-Mean", "J&F-Mean")
FACTS = ("frames/s", "peak memory")


def run(plan: Plan, name: str, seed: int) -> None:
    """Train (unless finished or given weights), evaluate, and record the scores of a run."""
    this = plan.runs[name]
    weights = this.weights
    if weights is None:
        training = Path(plan.output) / f"{name}-{seed}" / "training"
        _call(_training_command(plan, this, seed, training))
        weights = str(training / "last.pt")
    for key, evaluation in plan.evaluations.items():
        output = Path(plan.output) / f"{name}-{seed}" / key
        command = _evaluation_command(plan, this, evaluation, weights, output)
        _call(command)
        record = {"command": " ".join(["python", *command]), **_measured(evaluation, output)}
        _record(plan, name, seed, key, record)


def _measured(evaluation: EvaluationPlan, output: Path) -> dict[str, Any]:
    """Return what is recorded of an evaluation."""
    measured = json.loads((REPOSITORY / output / "results.json").read_text(encoding="utf-8"))
    sequences = measured["sequences"]
    record = {
        **{score: measured["summary"][score] for score in SCORES},
        "J-Last-Quarter": _last_quarter(sequences),
        **{fact: measured["facts"][fact] for fact in FACTS},
        "sequences": {
            sequence: {k: objects[k]["J"]["mean"] for k in objects}
            for sequence, objects in sequences.items()
        },
    }
    if {"found", "ghost"} & set(evaluation.columns):
        dataset = open_dataset(evaluation.dataset, REPOSITORY / evaluation.data, sequences)
        masks = REPOSITORY / output / "masks"
        absences = [sequence_absences(sequence, masks) for sequence in dataset.sequences]
        record["absences"] = summary([absence for each in absences for absence in each])
    return record


def _last_quarter(sequences: Mapping[str, Any]) -> float:
    """Return the mean over all objects of their J in the last quarter of the scored frames."""
    scored = [each["J_per_frame"] for objects in sequences.values() for each in objects.values()]
    return statistics.fmean(statistics.fmean(j[len(j) * 3 // 4 :]) for j in scored)


def _training_command(plan: Plan, this: RunPlan, seed: int, output: Path) -> list[str]:
    return [
        "train.py",
        *_config(plan),
        *("--output", str(output)),
        *plan.overrides,
        *this.overrides,
        f"training.seed={seed}",
    ]


def _evaluation_command(
    plan: Plan, this: RunPlan, evaluation: EvaluationPlan, weights: str, output: Path
) -> list[str]:
    sequences = [part for name in evaluation.sequences for part in ("--sequence", name)]
    return [
        "eval.py",
        *_config(plan),
        *("--weights", weights),
        *("--dataset", evaluation.dataset, "--data", evaluation.data),
        *sequences,
        *("--output", str(output)),
        *plan.overrides,
        *this.overrides,
    ]


def _config(plan: Plan) -> list[str]:
    return [] if plan.config is None else ["--config", plan.config]


def _call(command: list[str]) -> None:
    """Run a program of the repository with inherited output."""
    print("$ python", *command, flush=True)
    ended = subprocess.run([sys.executable, *command], cwd=REPOSITORY, check=False)
    if ended.returncode:
        raise InputError(f"{command[0]} ended with status {ended.returncode}; see above")


def _record(plan: Plan, name: str, seed: int, evaluation: str, record: dict[str, Any]) -> None:
    """Add a record to the file of results."""
    with results_lock(plan), atomic_path(REPOSITORY / plan.results) as temporary:
        results = read_results(plan)
        results.setdefault("machine", machine())
        scores = results.setdefault("runs", {}).setdefault(name, {}).setdefault(str(seed), {})
        scores[evaluation] = record
        temporary.write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")


@contextlib.contextmanager
def results_lock(plan: Plan) -> Iterator[None]:
    """Keep other processes of the same plan from changing results and report meanwhile."""
    folder = REPOSITORY / plan.output
    folder.mkdir(parents=True, exist_ok=True)
    with FileLock(folder / "results.lock"):
        yield


def read_results(plan: Plan) -> dict[str, Any]:
    """Return the results recorded so far."""
    path = REPOSITORY / plan.results
    if not path.is_file():
        return {}
    content: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return content

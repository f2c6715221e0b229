"""Runs train.py and eval.py for a plan; both resume where they stopped."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

from pages import machine

from ablations.plan import EvaluationPlan, Plan, RunPlan
from scmn.data.atomic import atomic_path
from scmn.errors import InputError

REPOSITORY = Path(__file__).resolve().parents[2]
LAST = "last.pt"
SCORES = ("J-Mean", "F-Mean", "J&F-Mean")


def run(plan: Plan, name: str, seed: int) -> None:
    """Train (unless finished), evaluate, and record the scores of one run with one seed."""
    this = plan.runs[name]
    trained = this.weights_of or name
    weights = _training_folder(plan, trained, seed) / LAST
    if this.weights_of is None:
        _call(_training_command(plan, name, seed))
    elif not (REPOSITORY / weights).is_file():
        raise InputError(f"train run '{trained}' with seed {seed} first: {weights} does not exist")
    for key, evaluation in plan.evaluations.items():
        output = Path(plan.output) / f"{name}-{seed}" / key
        command = _evaluation_command(plan, this, evaluation, weights, output)
        _call(command)
        file = REPOSITORY / output / "results.json"
        measured = json.loads(file.read_text(encoding="utf-8"))
        record = {
            "command": " ".join(["python", *command]),
            **{score: measured["summary"][score] for score in SCORES},
            "frames/s": measured["facts"]["frames/s"],
            "sequences": {
                sequence: {k: objects[k]["J"]["mean"] for k in objects}
                for sequence, objects in measured["sequences"].items()
            },
        }
        _record(plan, name, seed, key, record)


def _training_folder(plan: Plan, name: str, seed: int) -> Path:
    return Path(plan.output) / f"{name}-{seed}" / "training"


def _training_command(plan: Plan, name: str, seed: int) -> list[str]:
    return [
        "train.py",
        *("--config", plan.config),
        *("--output", str(_training_folder(plan, name, seed))),
        *plan.overrides,
        *plan.runs[name].overrides,
        f"training.seed={seed}",
    ]


def _evaluation_command(
    plan: Plan, this: RunPlan, evaluation: EvaluationPlan, weights: Path, output: Path
) -> list[str]:
    sequences = [part for name in evaluation.sequences for part in ("--sequence", name)]
    return [
        "eval.py",
        *("--config", plan.config),
        *("--weights", str(weights)),
        *("--dataset", evaluation.dataset, "--data", evaluation.data),
        *sequences,
        *("--output", str(output)),
        *plan.overrides,
        *([] if this.weights_of is None else plan.runs[this.weights_of].overrides),
        *this.overrides,
    ]


def _call(command: list[str]) -> None:
    """Run a program of the repository with inherited output."""
    print("$ python", *command, flush=True)
    ended = subprocess.run([sys.executable, *command], cwd=REPOSITORY, check=False)
    if ended.returncode:
        raise InputError(f"{command[0]} ended with status {ended.returncode}; see above")


def _record(plan: Plan, name: str, seed: int, evaluation: str, record: dict[str, Any]) -> None:
    """Add a record to the file of results."""
    path = REPOSITORY / plan.results
    results = read_results(plan)
    results.setdefault("machine", machine())
    scores = results.setdefault("runs", {}).setdefault(name, {}).setdefault(str(seed), {})
    scores[evaluation] = record
    with atomic_path(path) as temporary:
        temporary.write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")


def read_results(plan: Plan) -> dict[str, Any]:
    """Return the results recorded so far."""
    path = REPOSITORY / plan.results
    if not path.is_file():
        return {}
    content: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return content

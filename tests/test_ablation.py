"""The ablation on tiny data, end to end."""

from __future__ import annotations

import importlib
import json
import subprocess
import sys
import tempfile
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import yaml

from scmn import build_model, load_config
from scmn.data.synthetic import SyntheticSettings, write_davis
from scmn.inference.memory.settings import complete_settings
from scmn.networks.base import MemoryNetwork
from scmn.weights.files import read_weights, save_weights
from tests.conftest import REPOSITORY
from tests.programs import run_here, start

SCRIPT = "scripts/ablation.py"
SHIPPED_PLANS = sorted((REPOSITORY / "configs/ablation").glob("*.yaml"))
MODEL = {
    "name": "scmn",
    "backbone": "resnet10_half",
    "switches": {"key_dim": 8, "value_dim": 16, "hidden_dim": 8, "refinement": False},
}


@pytest.fixture(scope="module")
def plan(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A plan of three runs over two tiny sequences, of which one trains a network."""
    folder = tmp_path_factory.mktemp("ablation")
    write_davis(
        folder / "data",
        sequences=2,
        settings=SyntheticSettings(
            size=(64, 96), frames=20, objects=(1, 1), occluders=(0, 0), out_of_view=1.0
        ),
        split="train",
    )
    config = {
        "model": MODEL,
        "training": {
            "norm": "batch",
            "device": "cpu",
            "workers": 0,
            "stages": {
                "main": {
                    "iterations": 1,
                    "batch_size": 2,
                    "clip": {"frames": 2, "size": [48, 64]},
                    "data": {"v": {"kind": "davis2017-train", "root": str(folder / "data")}},
                }
            },
        },
    }
    (folder / "config.yaml").write_text(yaml.safe_dump(config))
    network = build_model(MODEL["name"], backbone=MODEL["backbone"], **MODEL["switches"])
    save_weights(network, folder / "given.safetensors")
    content = {
        "title": "Small networks",
        "introduction": "All are tiny.",
        "config": str(folder / "config.yaml"),
        "output": str(folder / "runs"),
        "results": str(folder / "docs/results.json"),
        "report": str(folder / "docs/results.md"),
        "picture": str(folder / "docs/images/plot.svg"),
        "evaluations": {
            "train": {
                "title": "training sequences",
                "dataset": "davis2017-train",
                "data": str(folder / "data"),
                "columns": [
                    "J",
                    "J&F",
                    "J, last quarter",
                    "frames/s",
                    "peak memory",
                    "found",
                    "ghost",
                ],
            }
        },
        "runs": {
            "scmn": {"title": "SCMN", "groups": ["Networks"]},
            "first": {
                "title": "first frame",
                "groups": ["Memory"],
                "weights": str(folder / "given.safetensors"),
                "overrides": ["memory.every=null", "memory.keep_previous=false"],
            },
            "given": {
                "title": "given weights",
                "groups": ["Memory"],
                "weights": str(folder / "given.safetensors"),
            },
        },
    }
    path = folder / "plan.yaml"
    path.write_text(yaml.safe_dump(content))
    return path


def fork_programs() -> None:
    """Let a script start train.py and eval.py as forks that have torch imported."""

    def run(command: Any, **options: Any) -> Any:
        if command[0] != sys.executable:
            return run_command(command, **options)
        with tempfile.TemporaryDirectory() as printed:
            return start(Path(printed), *command[1:]).end()

    run_command, subprocess.run = subprocess.run, run  # type: ignore[assignment]


def test_ablation_records_and_reports_runs(plan: Path, tmp_path: Path) -> None:
    content = yaml.safe_load(plan.read_text())
    del content["config"], content["runs"]["scmn"]
    without_training = plan.with_stem("without_training")
    without_training.write_text(yaml.safe_dump(content))
    # Two at once record in one file.
    started = []
    for arguments in ((plan, "--only", "scmn"), (without_training,)):
        folder = tmp_path / arguments[0].stem
        folder.mkdir()
        started.append(start(folder, SCRIPT, *arguments, prepare=fork_programs))
    for ended in [*[program.end() for program in started], run_here(SCRIPT, plan, "--report-only")]:
        assert ended.returncode == 0, ended.stderr
    results = json.loads((plan.parent / "docs/results.json").read_text())
    scored = {name: seeds["0"]["train"] for name, seeds in results["runs"].items()}
    assert set(scored) == {"scmn", "first", "given"}
    assert "memory.keep_previous=false" in scored["first"]["command"]
    assert scored["scmn"]["command"].count("scmn-0/training/last.pt") == 1
    assert f"eval.py --weights {plan.parent / 'given.safetensors'} " in scored["given"]["command"]
    text = (plan.parent / "docs/results.md").read_text()
    assert text.startswith("# Small networks\n")
    assert "All are tiny.\n" in text
    assert "## Networks" in text
    assert "## Memory" in text
    for name, title in (("scmn", "SCMN"), ("first", "first frame"), ("given", "given weights")):
        assert f"\n{row_of(title, scored[name])}\n" in text
    scores = json.loads((plan.parent / "runs/given-0/train/results.json").read_text())
    last = [objects["1"]["J_per_frame"][13:] for objects in scores["sequences"].values()]
    assert [len(j) for j in last] == [5, 5]  # of 18 scored frames
    assert scored["given"]["J-Last-Quarter"] == pytest.approx(np.mean(last))
    assert "<svg" in (plan.parent / "docs/images/plot.svg").read_text()


def row_of(title: str, record: dict[str, Any]) -> str:
    """Return the row of a run in the tables."""
    absences = record["absences"]
    assert absences["returns"] > 0
    cells = [
        title,
        "1",
        *(f"{100 * record[score]:.1f}" for score in ("J-Mean", "J&F-Mean", "J-Last-Quarter")),
        *(record[fact].split(" (")[0] for fact in ("frames/s", "peak memory")),
        f"{absences['found']} of {absences['returns']}",
        f"{100 * absences['ghost']:.1f}",
    ]
    return f"| {' | '.join(cells)} |"


def test_ablation_report_needs_the_record_alone(plan: Path, tmp_path: Path) -> None:
    paths = {"results": "r.json", "report": "r.md", "picture": "r.svg"}
    content = yaml.safe_load(plan.read_text())
    content.update({key: str(tmp_path / name) for key, name in paths.items()})
    content["conclusions"] = "More is better."
    path = tmp_path / "plan.yaml"
    path.write_text(yaml.safe_dump(content))
    scores = [{"J-Mean": j, "J&F-Mean": 0.4} for j in (0.3, 0.5)]
    seeds = {str(seed): {"train": of_seed} for seed, of_seed in enumerate(scores)}
    (tmp_path / "r.json").write_text(json.dumps({"machine": "a", "runs": {"scmn": seeds}}))
    ended = run_here(SCRIPT, path, "--report-only")
    assert ended.returncode == 0, ended.stderr
    text = (tmp_path / "r.md").read_text()
    assert "| SCMN | 2 | 40.0 ± 14.1 |" in text
    assert "| first frame | 0 | not run | not run |" in text
    assert text.endswith("## What came out\n\nMore is better.\n")


@pytest.mark.parametrize(
    ("change", "arguments", "message"),
    [
        ({}, ["--only", "scmm"], "no run 'scmm' (did you mean 'scmn'?)"),
        ({"sedes": [1]}, [], "sedes: no such setting (did you mean 'seeds'?)"),
        ({"runs": {"a": {"groups": ["b"]}}}, [], "runs.a.title is not set"),
        ({"config": None}, [], "runs.scmn has no weights, and config is not set"),
        ({"results": "none.json"}, ["--report-only"], "nothing is recorded"),
    ],
)
def test_ablation_reports_mistakes_in_one_line(
    change: dict[str, object], arguments: list[str], message: str, plan: Path, tmp_path: Path
) -> None:
    path = tmp_path / "plan.yaml"
    path.write_text(yaml.safe_dump({**yaml.safe_load(plan.read_text()), **change}))
    ended = run_here(SCRIPT, path, *arguments)
    assert ended.returncode == 2
    assert message in ended.stderr
    assert len(ended.stderr.strip().splitlines()) == 1


@pytest.mark.parametrize("shipped", SHIPPED_PLANS, ids=lambda path: path.stem)
def test_ablation_shipped_plan_is_valid(shipped: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(REPOSITORY / "scripts")
    read_plan = importlib.import_module("ablations.plan").read_plan
    trained = {
        f"{plan.output}/{name}-{seed}/training/last.pt": (plan, run)
        for plan in map(read_plan, SHIPPED_PLANS)
        for name, run in plan.runs.items()
        for seed in plan.seeds
    }
    own = SimpleNamespace(weights=None, overrides=[])
    trained |= {
        f"runs/{config.stem}/last.pt": (SimpleNamespace(config=config, overrides=[]), own)
        for config in (REPOSITORY / "configs").glob("*.yaml")
    }
    networks: dict[str, MemoryNetwork] = {}
    plan = read_plan(shipped)
    for run in plan.runs.values():
        if (name := run.weights or run.title) not in networks:
            networks[name] = network_of(*trained.get(run.weights, (plan, run)))
        config = load_config(plan.config, [*plan.overrides, *run.overrides])
        complete_settings(config.memory, networks[name].memory_defaults)
        assert run.weights is not None or config.training.stages_in_order
    assert "has no run 'none'" in run_here(SCRIPT, shipped, "--only", "none").stderr


@pytest.mark.parametrize("shipped", SHIPPED_PLANS, ids=lambda path: path.stem)
def test_ablation_shipped_report_follows_from_its_record(
    shipped: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(REPOSITORY / "scripts")
    plan = importlib.import_module("ablations.plan").read_plan(shipped)
    results = json.loads((REPOSITORY / plan.results).read_text())
    report = importlib.import_module("ablations.report")
    report.write_report(plan, shipped.relative_to(REPOSITORY), results, tmp_path)
    assert (tmp_path / plan.report).read_text() == (REPOSITORY / plan.report).read_text()


def network_of(plan: Any, run: Any) -> MemoryNetwork:
    """Build the network of a run with its weights, or with initial ones if it is trained."""
    if run.weights is not None:
        file = read_weights(run.weights)
        assert file.description is not None
        return build_model(file.description.name, weights=file)
    model = load_config(plan.config, [*plan.overrides, *run.overrides]).model
    return build_model(model.name, backbone=model.backbone, **model.switches)

"""The ablation, end to end on tiny data: it runs, resumes, records, reports."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from scmn.data.synthetic import SyntheticSettings, write_davis
from tests.conftest import REPOSITORY

SCRIPT = [sys.executable, "scripts/ablation.py"]


def call(*arguments: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*SCRIPT, *map(str, arguments)],
        cwd=REPOSITORY,
        env={**os.environ, "PYTHONPATH": str(REPOSITORY)},
        capture_output=True,
        text=True,
        check=False,
        timeout=200,
    )


@pytest.fixture(scope="module")
def plan(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A plan of two runs over three tiny sequences, one of which is not trained."""
    folder = tmp_path_factory.mktemp("ablation")
    write_davis(
        folder / "data",
        sequences=2,
        settings=SyntheticSettings(size=(64, 96), frames=5, objects=(1, 1)),
        split="train",
    )
    config = {
        "model": {
            "name": "scmn",
            "backbone": "resnet10_half",
            "switches": {"key_dim": 8, "value_dim": 16, "hidden_dim": 8, "refinement": False},
        },
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
    content = {
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
            }
        },
        "runs": {
            "scmn": {"title": "SCMN", "group": "Networks"},
            "first": {
                "title": "first frame",
                "group": "Memory",
                "weights_of": "scmn",
                "overrides": ["memory.every=null", "memory.keep_previous=false"],
            },
        },
    }
    path = folder / "plan.yaml"
    path.write_text(yaml.safe_dump(content))
    return path


def test_runs_are_recorded_and_reported(plan: Path) -> None:
    ended = call(plan)
    assert ended.returncode == 0, ended.stderr
    results = json.loads((plan.parent / "docs/results.json").read_text())
    scored = {name: seeds["0"]["train"] for name, seeds in results["runs"].items()}
    assert set(scored) == {"scmn", "first"}
    assert "memory.keep_previous=false" in scored["first"]["command"]
    assert scored["first"]["command"].count("scmn-0/training/last.pt") == 1
    text = (plan.parent / "docs/results.md").read_text()
    for name, title in (("scmn", "SCMN"), ("first", "first frame")):
        j, both = (100 * scored[name][score] for score in ("J-Mean", "J&F-Mean"))
        assert f"| {title} | {j:.1f} | {both:.1f} |" in text
    assert "## Networks" in text
    assert "## Memory" in text
    assert "<svg" in (plan.parent / "docs/images/plot.svg").read_text()


def test_the_report_is_made_from_the_record_alone(plan: Path) -> None:
    results = plan.parent / "docs/results.json"
    if not results.is_file():
        pytest.skip("the run that records was not chosen")
    record = json.loads(results.read_text())
    record["runs"]["scmn"]["1"] = {"train": {**record["runs"]["scmn"]["0"]["train"], "J-Mean": 0.5}}
    record["runs"]["scmn"]["0"]["train"]["J-Mean"] = 0.3
    results.write_text(json.dumps(record))
    ended = call(plan, "--report-only")
    assert ended.returncode == 0, ended.stderr
    assert "| SCMN | 40.0 ± 14.1 |" in (plan.parent / "docs/results.md").read_text()


@pytest.mark.parametrize(
    ("change", "arguments", "message"),
    [
        ({}, ["--only", "scmm"], "no run 'scmm' (did you mean 'scmn'?)"),
        ({"sedes": [1]}, [], "'sedes'"),
        ({"runs": {"a": {"title": "a", "group": "b", "weights_of": "c"}}}, [], "no run 'c'"),
        ({"results": "none.json"}, ["--report-only"], "nothing is recorded"),
    ],
)
def test_mistakes_are_one_line(
    change: dict[str, object], arguments: list[str], message: str, plan: Path, tmp_path: Path
) -> None:
    path = tmp_path / "plan.yaml"
    path.write_text(yaml.safe_dump({**yaml.safe_load(plan.read_text()), **change}))
    ended = call(path, *arguments)
    assert ended.returncode == 2
    assert message in ended.stderr
    assert len(ended.stderr.strip().splitlines()) == 1


def test_the_shipped_plan_names_only_what_there_is() -> None:
    ended = call("configs/ablation/small.yaml", "--only", "none")
    assert "has no run 'none'" in ended.stderr

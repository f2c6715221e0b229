"""The ablation on tiny data, end to end."""

from __future__ import annotations

import importlib
import json
from pathlib import Path

import pytest
import yaml

from scmn import build_model, load_config
from scmn.data.synthetic import SyntheticSettings, write_davis
from tests.conftest import REPOSITORY
from tests.programs import run_python

SCRIPT = "scripts/ablation.py"
SHIPPED_PLAN = REPOSITORY / "configs/ablation/small.yaml"


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
            "scmn": {"title": "SCMN", "groups": ["Networks"]},
            "first": {
                "title": "first frame",
                "groups": ["Memory"],
                "weights_of": "scmn",
                "overrides": ["memory.every=null", "memory.keep_previous=false"],
            },
        },
    }
    path = folder / "plan.yaml"
    path.write_text(yaml.safe_dump(content))
    return path


def test_ablation_records_and_reports_runs(plan: Path) -> None:
    ended = run_python(SCRIPT, plan)
    assert ended.returncode == 0, ended.stderr
    results = json.loads((plan.parent / "docs/results.json").read_text())
    scored = {name: seeds["0"]["train"] for name, seeds in results["runs"].items()}
    assert set(scored) == {"scmn", "first"}
    assert "memory.keep_previous=false" in scored["first"]["command"]
    assert scored["first"]["command"].count("scmn-0/training/last.pt") == 1
    text = (plan.parent / "docs/results.md").read_text()
    for name, title in (("scmn", "SCMN"), ("first", "first frame")):
        j, both = (100 * scored[name][score] for score in ("J-Mean", "J&F-Mean"))
        assert f"| {title} | 1 | {j:.1f} | {both:.1f} |" in text
    assert "## Networks" in text
    assert "## Memory" in text
    assert "<svg" in (plan.parent / "docs/images/plot.svg").read_text()


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
    ended = run_python(SCRIPT, path, "--report-only")
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
        ({"runs": {"a": {"title": "a", "groups": ["b"], "weights_of": "c"}}}, [], "no run 'c'"),
        ({"results": "none.json"}, ["--report-only"], "nothing is recorded"),
    ],
)
def test_ablation_reports_mistakes_in_one_line(
    change: dict[str, object], arguments: list[str], message: str, plan: Path, tmp_path: Path
) -> None:
    path = tmp_path / "plan.yaml"
    path.write_text(yaml.safe_dump({**yaml.safe_load(plan.read_text()), **change}))
    ended = run_python(SCRIPT, path, *arguments)
    assert ended.returncode == 2
    assert message in ended.stderr
    assert len(ended.stderr.strip().splitlines()) == 1


def test_ablation_shipped_plan_is_valid(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(REPOSITORY / "scripts")
    plan = importlib.import_module("ablations.plan").read_plan(SHIPPED_PLAN)
    for run in plan.runs.values():
        config = load_config(REPOSITORY / plan.config, [*plan.overrides, *run.overrides])
        model = config.model
        build_model(model.name, backbone=model.backbone, **model.switches)
        assert config.training.stages_in_order
    assert "has no run 'none'" in run_python(SCRIPT, SHIPPED_PLAN, "--only", "none").stderr

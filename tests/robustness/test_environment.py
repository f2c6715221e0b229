"""Faults of the surroundings, for which the programs run as real processes."""

from __future__ import annotations

import resource
import shutil
import signal
from pathlib import Path
from typing import Any

import pytest

from tests.programs import run_python, start
from tests.robustness.campaign import Case, Ending, check_unchanged, snapshot
from tests.robustness.scene import Scene

FULL = Path("/dev/full")


@pytest.mark.skipif(not FULL.exists(), reason="needs /dev/full")
def test_training_on_a_full_standard_output_leaves_no_run(scene: Scene, tmp_path: Path) -> None:
    before = snapshot(scene.root)
    ended = start(tmp_path, "train.py", *scene.train(), stdout=FULL).end()
    ending = Ending(ended.returncode, ended.stderr)
    Case("", Scene.train, says="No space left").check_ending(ending)
    check_unchanged(before, snapshot(scene.root))


def test_ascii_locale_reads_and_writes_any_name(scene: Scene) -> None:
    video = scene.root / "Gänse 雁"
    shutil.copytree(scene.frames, video)
    before = snapshot(scene.root)
    plain = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
    arguments = scene.segment("--output", scene.new, video=video)
    ended = run_python("eval.py", *arguments, environment=plain)
    assert ended.returncode == 0, ended.stderr
    check_unchanged(before, snapshot(scene.root), ["new/*"])
    assert len(list((scene.new / "masks" / video.name).iterdir())) == 4


def limit_of_files() -> None:
    """Writing more than 1 MB to a file fails, as on a full disk or over a quota."""
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 20, 1 << 20))


def test_checkpoint_that_cannot_be_written_is_one_line(scene: Scene, tmp_path: Path) -> None:
    """The checkpoints have 8 MB."""
    before = snapshot(scene.root)
    ended = start(tmp_path, "train.py", *scene.train(), prepare=limit_of_files).end()
    ending = Ending(ended.returncode, ended.stderr)
    Case("", Scene.train, says=r"cannot write checkpoint .*File too large").check_ending(ending)
    written = ["new/config.yaml", "new/tensorboard/*"]
    check_unchanged(before, snapshot(scene.root), written)


@pytest.mark.parametrize(
    "environment",
    [
        {"WORLD_SIZE": "2"},
        {"WORLD_SIZE": "banana"},
        {"WORLD_SIZE": "2", "RANK": "0", "LOCAL_RANK": "x", "MASTER_ADDR": "a", "MASTER_PORT": "1"},
    ],
    ids=["alone", "no number", "no rank"],
)
def test_wrong_variables_of_torchrun(
    environment: dict[str, str], scene: Scene, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    def damage(scene: Scene) -> list[object]:
        for name, value in environment.items():
            monkeypatch.setenv(name, value)
        return scene.train()

    Case("", damage, says="WORLD_SIZE|LOCAL_RANK", program="train").check(scene, capsys)

"""Faults of the surroundings, for which the programs run as real processes."""

from __future__ import annotations

import os
import resource
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import IO, Any

import pytest

from tests.conftest import REPOSITORY
from tests.robustness.campaign import Case, Ending, check_unchanged, snapshot
from tests.robustness.scene import Scene

FULL = Path("/dev/full")


def run(
    program: str,
    arguments: list[object],
    *,
    environment: Mapping[str, str] | None = None,
    stdout: int | IO[Any] = subprocess.DEVNULL,
    prepare: Callable[[], object] | None = None,
) -> Ending:
    """Run train.py or eval.py as a process of its own."""
    ended = subprocess.run(
        [sys.executable, REPOSITORY / f"{program}.py", *map(str, arguments)],
        cwd=REPOSITORY,
        env={**os.environ, "PYTHONPATH": str(REPOSITORY), **(environment or {})},
        stdout=stdout,
        stderr=subprocess.PIPE,
        check=False,
        timeout=300,
        preexec_fn=prepare,
    )
    # Not as text, in which a carriage return, with which a bar begins, would become a line break.
    return Ending(ended.returncode, ended.stderr.decode(errors="replace"))


@pytest.mark.skipif(not FULL.exists(), reason="needs /dev/full")
def test_training_on_a_full_standard_output_leaves_no_run(scene: Scene) -> None:
    before = snapshot(scene.root)
    with FULL.open("w") as full:
        ending = run("train", scene.train(), stdout=full)
    Case("", Scene.train, says="No space left").check_ending(ending)
    check_unchanged(before, snapshot(scene.root))


def test_ascii_locale_reads_and_writes_any_name(scene: Scene) -> None:
    video = scene.root / "Gänse 雁"
    shutil.copytree(scene.frames, video)
    before = snapshot(scene.root)
    plain = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
    ending = run("eval", scene.segment("--output", scene.new, video=video), environment=plain)
    assert ending.status == 0, ending.stderr
    check_unchanged(before, snapshot(scene.root), ["new/*"])
    assert len(list((scene.new / "masks" / video.name).iterdir())) == 4


def limit_of_files() -> None:
    """Writing more than 1 MB to a file fails, as on a full disk or over a quota."""
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 20, 1 << 20))


def test_checkpoint_that_cannot_be_written_is_one_line(scene: Scene) -> None:
    """The checkpoints have 8 MB."""
    before = snapshot(scene.root)
    ending = run("train", scene.train(), prepare=limit_of_files)
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

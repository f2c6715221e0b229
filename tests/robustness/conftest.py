"""The scene of the campaign: made once for each test process, restored for each case."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

import pytest

from scmn.cli import eval_main, train_main
from tests.robustness.campaign import Snapshot, snapshot
from tests.robustness.scene import Scene

if sys.platform == "win32":  # has no pipes, devices and signals of this kind
    collect_ignore_glob = ["test_*.py"]


@pytest.fixture(scope="session")
def made_scene(tmp_path_factory: pytest.TempPathFactory) -> tuple[Scene, Path, Snapshot]:
    """The scene, an untouched copy of it, and what its files were before the last case."""
    folder = tmp_path_factory.mktemp("scene")
    scene = Scene(folder / "scene")
    scene.build()
    eval_main([str(argument) for argument in scene.segment()])
    train_main([str(argument) for argument in scene.resume()])
    for output in (scene.results, scene.run):
        (output / "notes.txt").write_text("of the user")
    shutil.copytree(scene.root, folder / "original", symlinks=True)
    return scene, folder / "original", snapshot(scene.root)


@pytest.fixture
def scene(made_scene: tuple[Scene, Path, Snapshot]) -> Scene:
    """Good inputs and the results of complete runs; a case may damage them."""
    scene, original, before = made_scene
    after = snapshot(scene.root)
    if changed := {path for path in before | after if before.get(path) != after.get(path)}:
        for name in {Path(path).parts[0] for path in changed}:
            scene.restore(name, original)
        before.clear()
        before.update(snapshot(scene.root))
    return scene

"""The public names of the package, and the wheel that brings it to users."""

from __future__ import annotations

import ast
import os
import pydoc
import re
import shutil
import subprocess
import sys
from email.message import Message
from email.parser import Parser
from importlib.metadata import EntryPoint
from pathlib import Path
from zipfile import ZipFile

import pytest

import scmn
from tests.conftest import REPOSITORY

FILES = ("LICENSE", "README.md", "pyproject.toml", "setup.py")
FOLDERS = ("configs", "scmn")


def test_dir_lists_the_public_names() -> None:
    assert set(scmn.__all__) <= set(dir(scmn))
    assert {"VideoSegmenter", "build_model", "open_dataset", "overlay"} <= set(scmn.__all__)


@pytest.mark.parametrize("name", scmn.__all__)
def test_public_name_is_documented(name: str) -> None:
    assert getattr(scmn, name).__doc__


def test_help_shows_every_public_name() -> None:
    text = pydoc.render_doc(scmn, renderer=pydoc.plaintext)
    assert [name for name in scmn.__all__ if name not in text.partition("DATA")[0]] == []


def test_type_checkers_see_the_public_names() -> None:
    tree = ast.parse(Path(scmn.__file__).read_text(encoding="utf-8"))
    (block,) = (node for node in tree.body if isinstance(node, ast.If))
    imported = {
        alias.asname: node.module
        for node in block.body
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    }
    assert imported == scmn._MODULES


def test_import_and_configuration_do_not_load_torch() -> None:
    code = "import sys, scmn.config; dir(scmn); sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], cwd=REPOSITORY, check=False).returncode == 0


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A wheel built from a copy of the sources."""
    source = tmp_path_factory.mktemp("source")
    for name in FILES:
        shutil.copy(REPOSITORY / name, source)
    for name in FOLDERS:
        ignored = shutil.ignore_patterns("__pycache__")
        shutil.copytree(REPOSITORY / name, source / name, ignore=ignored)
    code = "from setuptools.build_meta import build_wheel; build_wheel('dist')"
    built = subprocess.run(
        [sys.executable, "-c", code], cwd=source, capture_output=True, text=True, check=False
    )
    assert built.returncode == 0, built.stderr
    (path,) = (source / "dist").iterdir()
    return path


def metadata(wheel: Path) -> Message:
    with ZipFile(wheel) as archive:
        (name,) = (name for name in archive.namelist() if name.endswith(".dist-info/METADATA"))
        return Parser().parsestr(archive.read(name).decode())


def test_wheel_holds_the_package_and_the_configurations(wheel: Path) -> None:
    expected = {
        str(path.relative_to(REPOSITORY))
        for path in (REPOSITORY / "scmn").rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    expected |= {f"scmn/configs/{path.name}" for path in (REPOSITORY / "configs").glob("*.yaml")}
    with ZipFile(wheel) as archive:
        found = {name for name in archive.namelist() if ".dist-info/" not in name}
    assert found == expected


def test_wheel_declares_version_licence_and_programs(wheel: Path) -> None:
    fields = metadata(wheel)
    assert fields["Version"] == scmn.__version__
    assert fields["License-Expression"] == "Apache-2.0"
    assert fields["Requires-Python"] == ">=3.10"
    assert {"dev", "docs", "coco", "demo", "notebooks"} <= set(fields.get_all("Provides-Extra"))
    with ZipFile(wheel) as archive:
        (name,) = (name for name in archive.namelist() if name.endswith("/entry_points.txt"))
        programs = archive.read(name).decode().splitlines()
    assert "scmn-train = scmn.cli:train_main" in programs
    assert "scmn-eval = scmn.cli:eval_main" in programs
    assert "scmn-demo = scmn.demo.program:main" in programs


@pytest.mark.parametrize("program", ["scmn-train", "scmn-eval", "scmn-demo"])
def test_console_script_calls_a_function(program: str) -> None:
    declared = re.search(
        rf'^{program} = "(.+)"$', (REPOSITORY / "pyproject.toml").read_text(), re.MULTILINE
    )
    assert declared is not None
    assert callable(EntryPoint(program, declared[1], "console_scripts").load())


def test_wheel_finds_its_configurations_and_weights(wheel: Path, tmp_path: Path) -> None:
    with ZipFile(wheel) as archive:
        archive.extractall(tmp_path / "site")
    code = """
from scmn import build_model, load_config
print(load_config('scmn').model.name)
build_model('scmn_small', weights='default')
"""
    loaded = subprocess.run(
        [sys.executable, "-c", code],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(tmp_path / "site")},
        capture_output=True,
        text=True,
        check=False,
    )
    assert loaded.stdout == "scmn\n", loaded.stderr

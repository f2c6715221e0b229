"""The documentation names what exists: public names, pages, commands and configurations."""

from __future__ import annotations

import importlib
import json
import re
from pathlib import Path

import pytest

import scmn
from scmn import load_config
from tests.conftest import REPOSITORY

PAGES = [
    *(REPOSITORY / name for name in ("README.md", "CONTRIBUTING.md", "CHANGELOG.md")),
    *sorted((REPOSITORY / "docs").glob("*.md")),
]
CONFIGURATIONS = [
    pytest.param(block, id=f"{path.stem}-{number}")
    for path in PAGES
    for number, block in enumerate(re.findall(r"```yaml\n(.+?)```", path.read_text(), re.DOTALL))
]


def test_reference_lists_every_public_name() -> None:
    text = (REPOSITORY / "docs" / "api.md").read_text()
    assert sorted(re.findall(r"^::: scmn\.(\w+)$", text, re.MULTILINE)) == sorted(scmn.__all__)


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.stem)
def test_page_links_to_files_that_exist(path: Path) -> None:
    links = re.findall(r"\]\((?!https?://)([^)#]+)", path.read_text())
    assert [link for link in links if not (path.parent / link).exists()] == []


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.stem)
def test_page_names_programs_that_exist(path: Path) -> None:
    text = path.read_text()
    programs = re.findall(r"(?:python|bash) ((?:scripts/)?\w+\.(?:py|sh))", text)
    assert [name for name in programs if not (REPOSITORY / name).is_file()] == []


@pytest.mark.parametrize("content", CONFIGURATIONS)
def test_configuration_in_a_page_loads(content: str, tmp_path: Path) -> None:
    path = tmp_path / "page.yaml"
    path.write_text(content)
    load_config(path)


def test_citation_names_the_version() -> None:
    assert f"\nversion: {scmn.__version__}\n" in (REPOSITORY / "CITATION.cff").read_text()


def test_performance_page_follows_from_its_record(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(REPOSITORY / "scripts")
    docs = REPOSITORY / "docs"
    page = importlib.import_module("benchmarks.performance_page")
    content = json.loads((docs / "performance.json").read_text())
    record, picture = tmp_path / "performance.json", tmp_path / "images/performance.svg"
    page.write_page(tmp_path / "performance.md", record, picture, content)
    assert (tmp_path / "performance.md").read_text() == (docs / "performance.md").read_text()
    assert "<svg" in picture.read_text()

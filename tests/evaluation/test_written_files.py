"""Which files an evaluation may replace and remove: those that its journal lists, unchanged."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

from scmn import InputError
from scmn.data.atomic import atomic_path
from scmn.data.masks import write_label_map
from scmn.evaluation.written_files import WrittenFiles

NAME = "masks/clip/00000.png"


def files_of(root: Path) -> WrittenFiles:
    return WrittenFiles(root, root / "records" / "clip.jsonl")


def labels(value: int) -> np.ndarray:
    return np.full((32, 32), value, dtype=np.uint8)


@pytest.fixture
def files(tmp_path: Path) -> WrittenFiles:
    """A journal with one mask, read again from the disk."""
    written = files_of(tmp_path)
    written.restart({"frames": "clip.mp4"})
    write_label_map(tmp_path / NAME, labels(1), before_rename=written.claim)
    return files_of(tmp_path)


def test_written_files_are_known_to_the_next_run(files: WrittenFiles) -> None:
    (path,) = files
    assert path == files.root / NAME
    assert files.is_intact(path)
    assert files.header == {"frames": "clip.mp4"}
    write_label_map(path, labels(2), before_rename=files.claim)
    assert files_of(files.root).is_intact(path)


def test_written_files_refuse_a_file_of_the_user(files: WrittenFiles) -> None:
    path = files.root / "masks/clip/00001.png"
    write_label_map(path, labels(9))
    before = path.read_bytes()
    with pytest.raises(InputError, match=r"00001\.png was not written by an evaluation into"):
        write_label_map(path, labels(1), before_rename=files.claim)
    assert path.read_bytes() == before
    assert sorted(file.name for file in path.parent.iterdir()) == ["00000.png", "00001.png"]


def test_written_files_refuse_a_changed_file(files: WrittenFiles) -> None:
    path = files.root / NAME
    write_label_map(path, labels(9))
    with pytest.raises(InputError, match=r"00000\.png has been changed since it was written"):
        files.require_own(files)
    with pytest.raises(InputError, match="has been changed"):
        write_label_map(path, labels(1), before_rename=files.claim)


@pytest.mark.parametrize("damage", ["missing", "empty", "cut", "flipped"])
def test_written_files_may_replace_a_lost_or_damaged_mask(files: WrittenFiles, damage: str) -> None:
    path = files.root / NAME
    content = bytearray(path.read_bytes())
    if damage == "missing":
        path.unlink()
    else:
        content[-30] ^= 1
        path.write_bytes({"empty": b"", "cut": content[:-20], "flipped": content}[damage])
    assert not files.is_intact(path)
    write_label_map(path, labels(1), before_rename=files.claim)
    assert files.is_intact(path)


def test_written_files_know_a_file_whose_replacement_was_killed(files: WrittenFiles) -> None:
    path = files.root / NAME

    def killed(temporary: Path, target: Path) -> None:
        files.claim(temporary, target)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_label_map(path, labels(2), before_rename=killed)
    again = files_of(files.root)
    assert not again.is_intact(path)  # the old content, which is not the last one listed
    again.require_own(again)
    again.restart({})
    assert not path.exists()


def test_written_files_read_a_journal_that_ends_in_a_torn_line(files: WrittenFiles) -> None:
    journal = files.root / "records/clip.jsonl"
    with journal.open("a", encoding="utf-8") as file:
        file.write('{"file": "masks/clip/00001.png", "si')
    again = files_of(files.root)
    write_label_map(files.root / "masks/clip/00001.png", labels(2), before_rename=again.claim)
    last = files_of(files.root)
    assert [path.name for path in last if last.is_intact(path)] == ["00000.png", "00001.png"]


@pytest.mark.parametrize("link", [NAME, "masks/clip", "masks"])
def test_written_files_refuse_symbolic_links(
    files: WrittenFiles, link: str, tmp_path: Path
) -> None:
    (files.root / link).rename(tmp_path / "elsewhere")
    (files.root / link).symlink_to(tmp_path / "elsewhere")
    with pytest.raises(InputError, match=r"symbolic link|not written by"):
        files.require_own(files)


def test_written_files_allow_a_linked_root(files: WrittenFiles, tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(files.root, target_is_directory=True)
    linked = files_of(tmp_path / "link")
    assert all(linked.is_intact(path) for path in linked)


def test_written_files_sync_files_and_folders(
    files: WrittenFiles, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced = []

    def fsync(descriptor: int) -> None:
        synced.append(os.readlink(f"/proc/self/fd/{descriptor}"))

    monkeypatch.setattr(os, "fsync", fsync)
    files.sync()
    names = {Path(path).relative_to(files.root).as_posix() for path in synced}
    assert names == {NAME, "masks/clip", "masks", ".", "records", "records/clip.jsonl"}


def test_remove_leaves_files_that_are_not_listed(files: WrittenFiles) -> None:
    other = files.root / "other.png"
    with atomic_path(other) as temporary:
        temporary.write_bytes(b"the user's")
    files.remove([files.root / NAME, other, files.root / "none.png"])
    assert other.exists()
    assert not (files.root / NAME).exists()

"""Checkpoints: damaged files, interrupted writing, and failure to write."""

from __future__ import annotations

import errno
import os
import resource
import signal
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from scmn import InputError
from scmn.training.checkpoint import read_checkpoint
from scmn.training.checkpoint_folder import CheckpointFolder
from tests.programs import FORKS
from tests.training.checkpoints import checkpoint, names


def flip_a_bit(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def cut_short(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-1000])


def empty(path: Path) -> None:
    path.write_bytes(b"")


@pytest.mark.parametrize("damage", [flip_a_bit, cut_short, empty])
def test_load_reports_damage_and_the_newest_good_checkpoint(
    folder: CheckpointFolder, damage: Callable[[Path], None]
) -> None:
    for iteration in (1, 2):
        folder.save(checkpoint(iteration))
    damage(folder.last)  # iteration-00000002.pt is the same file
    good = folder.folder / "iteration-00000001.pt"
    with pytest.raises(InputError, match="is damaged") as caught:
        folder.load()
    assert f"the newest good checkpoint is {good}" in str(caught.value)
    assert "\n" not in str(caught.value)
    good.unlink()
    with pytest.raises(InputError, match="there is no good checkpoint"):
        folder.load()
    folder.last.unlink()
    with pytest.raises(InputError, match=r"last\.pt is missing"):
        folder.load()


def test_load_resumes_from_elsewhere_only_into_an_empty_folder(tmp_path: Path) -> None:
    other = CheckpointFolder(tmp_path / "other").save(checkpoint(7))
    folder = CheckpointFolder(tmp_path / "run")
    loaded = folder.load(other)
    assert loaded is not None
    assert loaded.iteration == 7
    folder.save(checkpoint(1))
    folder.save(checkpoint(2))
    with pytest.raises(InputError, match=r"run holds checkpoints already, which .*last\.pt would"):
        folder.load(other)
    own = folder.load(folder.folder / "iteration-00000001.pt")
    assert own is not None
    assert own.iteration == 1


def test_read_checkpoint_refuses_other_files(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="not found"):
        read_checkpoint(tmp_path / "none.pt")
    weights = tmp_path / "weights.pt"
    torch.save({"model": {"a": torch.ones(1)}}, weights)
    with pytest.raises(InputError, match="not a training checkpoint"):
        read_checkpoint(weights)
    torch.save({"format": "scmn-checkpoint", "path": tmp_path}, weights)
    with pytest.raises(InputError, match="refused"):
        read_checkpoint(weights)
    torch.save({"format": "scmn-checkpoint", "model": {}}, weights)
    with pytest.raises(InputError, match="incomplete"):
        read_checkpoint(weights)


def test_save_refuses_content_that_could_not_be_read_again(folder: CheckpointFolder) -> None:
    with pytest.raises(TypeError, match=r"checkpoint\['best'\] is a numpy.float64"):
        folder.save(checkpoint(best=np.float64(0.5)))
    assert not folder.last.exists()


class Killed(BaseException):
    """Interrupts writing at a chosen point."""


@pytest.mark.parametrize("call", [0, 1, 2])
@pytest.mark.parametrize("function", ["fsync", "link", "replace"])
def test_save_interrupted_anywhere_leaves_only_complete_files(
    folder: CheckpointFolder, monkeypatch: pytest.MonkeyPatch, function: str, call: int
) -> None:
    folder.save(checkpoint(1), best=True)
    home: Any = Path if function == "replace" else os
    original, calls = getattr(home, function), iter(range(1000))

    def stop(*arguments: Any) -> Any:
        if next(calls) == call:
            raise Killed
        return original(*arguments)

    with monkeypatch.context() as patch:
        patch.setattr(home, function, stop)
        if function == "fsync" and call == 2:
            folder.save(checkpoint(2), best=True)  # one for the file, one for the folder
        else:
            with pytest.raises(Killed):
                folder.save(checkpoint(2), best=True)
    last = folder.load()
    assert last is not None
    for path in folder.folder.iterdir():
        loaded = read_checkpoint(path)
        assert loaded.model["weight"][0] == loaded.iteration
    folder.save(checkpoint(3))
    assert read_checkpoint(folder.last).iteration == 3


@pytest.mark.parametrize("code", [errno.EINVAL, errno.ENOTSUP, errno.EBADF])
def test_save_where_folders_cannot_be_synced(
    folder: CheckpointFolder, monkeypatch: pytest.MonkeyPatch, code: int
) -> None:
    monkeypatch.setattr(os, "fsync", fails_for_folders(code))
    folder.save(checkpoint(1), best=True)
    assert names(folder) == ["best.pt", "iteration-00000001.pt", "last.pt"]
    monkeypatch.setattr(os, "fsync", fails_for_folders(errno.EIO))
    with pytest.raises(InputError, match="Input/output error"):
        folder.save(checkpoint(2))


def fails_for_folders(code: int) -> Callable[[int], None]:
    def fsync(descriptor: int) -> None:
        if stat.S_ISDIR(os.fstat(descriptor).st_mode):
            raise OSError(code, os.strerror(code))

    return fsync


def killed_while_writing(path: Path) -> None:
    folder = CheckpointFolder(path)
    second = checkpoint(iteration=2)
    os.fsync = lambda descriptor: os.kill(os.getpid(), signal.SIGKILL)  # type: ignore[assignment]
    folder.save(second)


def test_save_killed_while_writing_keeps_the_old_checkpoint(folder: CheckpointFolder) -> None:
    folder.save(checkpoint(1))
    process = FORKS.Process(target=killed_while_writing, args=(folder.folder,))
    process.start()
    process.join()
    assert process.exitcode == -signal.SIGKILL
    last = folder.load()
    assert last is not None
    assert last.iteration == 1
    assert any(name.startswith(".last.") for name in names(folder))
    folder.prepare()
    assert names(folder) == ["iteration-00000001.pt", "last.pt"]


def test_save_on_a_full_disk_keeps_the_old_checkpoint(
    folder: CheckpointFolder,
) -> None:
    folder.save(checkpoint(1))
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, hard))
    try:
        with pytest.raises(InputError, match="cannot write checkpoint") as caught:
            folder.save(checkpoint(2))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert str(caught.value) == (
        f"cannot write checkpoint {folder.last}: File too large; earlier checkpoints are untouched"
    )
    assert names(folder) == ["iteration-00000001.pt", "last.pt"]
    assert read_checkpoint(folder.last).iteration == 1


def test_prepare_reports_an_unwritable_folder(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    folder = CheckpointFolder(tmp_path / "file" / "run")
    for attempt in (folder.prepare, lambda: folder.save(checkpoint())):
        with pytest.raises(InputError, match=r"cannot write checkpoint.*Not a directory"):
            attempt()

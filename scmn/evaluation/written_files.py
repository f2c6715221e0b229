"""Which files of an output folder an evaluation has written: it replaces and removes no others.

A journal lists every file with its size and checksum *before* the file gets its name. Whenever a
run is killed, the next one can tell the run's files from the user's.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import stat
import threading
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from PIL import Image

from scmn.data.atomic import atomic_path, remove_file, sync_files, sync_folder
from scmn.errors import InputError

_BLOCK = 2**20


@dataclass(frozen=True)
class Checksum:
    """The content of a file."""

    size: int
    """In bytes."""
    sha256: str

    @staticmethod
    def of(path: Path) -> Checksum:
        digest, size = hashlib.sha256(), 0
        with path.open("rb") as file:
            while block := file.read(_BLOCK):
                digest.update(block)
                size += len(block)
        return Checksum(size, digest.hexdigest())


class WrittenFiles:
    """The files below a folder that a journal lists.

    Example::

        files = WrittenFiles(output, output / "records" / "bear.jsonl")
        files.restart()
        with atomic_path(path, before_rename=files.claim) as temporary:
            ...
        files.sync()
    """

    def __init__(self, root: Path, journal: Path) -> None:
        """Read the journal if there is one; InputError if that fails."""
        self.root = root
        self.header: Mapping[str, Any] = {}
        """What ``restart`` was called with."""
        self._journal = journal
        self._checksums: dict[str, list[Checksum]] = {}
        self._torn = False
        self._lock = threading.Lock()
        self._read()

    def __iter__(self) -> Iterator[Path]:
        return (self.root / name for name in self._checksums)

    def is_intact(self, path: Path) -> bool:
        """Return whether a file is there as it was written; False if it is missing or damaged.

        A damaged file is empty, or a PNG that cannot be read.

        Raises:
            InputError: the file is the user's: it is not listed, has been changed since it was
                written, is a symbolic link, or is reached through one below the root.
        """
        name = self._name(path)
        try:
            self._refuse_links(path)
            if not stat.S_ISREG(path.lstat().st_mode) or name not in self._checksums:
                raise InputError(
                    f"{path} was not written by an evaluation into {self.root}; "
                    "move it away or choose another --output"
                )
            found = Checksum.of(path)
        except (FileNotFoundError, NotADirectoryError):
            return False
        except OSError as error:
            raise InputError(f"{path} cannot be read: {error.strerror or error}") from error
        *earlier, last = self._checksums[name]
        if found == last:
            return True
        # A run that was killed before a rename has listed a file that did not get its name.
        if found in earlier or found.size == 0 or _is_damaged_png(path):
            return False
        raise InputError(
            f"{path} has been changed since it was written; move it away or choose another --output"
        )

    def require_own(self, paths: Iterable[Path]) -> None:
        """Raise InputError if one of the files is the user's; see ``is_intact``."""
        for path in paths:
            self.is_intact(path)

    def claim(self, temporary: Path, path: Path) -> None:
        """List ``temporary``, which is about to get the name ``path``; several threads may do so.

        Raises:
            InputError: that would replace a file of the user.
        """
        self.require_own([path])
        name, checksum = self._name(path), Checksum.of(temporary)
        line = json.dumps({"file": name, **asdict(checksum)})
        with self._lock, self._journal.open("a", encoding="utf-8") as file:
            file.write(f"\n{line}\n" if self._torn else f"{line}\n")
            self._torn = False
            self._checksums.setdefault(name, []).append(checksum)

    def remove(self, paths: Iterable[Path]) -> None:
        """Remove those of the files that are listed.

        Raises:
            InputError: one has been changed since it was written, or cannot be removed.
        """
        for path in paths:
            if self._name(path) in self._checksums and self.is_intact(path):
                remove_file(path)

    def restart(self, header: Mapping[str, Any]) -> None:
        """Remove all listed files, which ``require_own`` has checked, and begin a new journal.

        Raises:
            InputError: a file cannot be removed or written.
        """
        for path in self:
            remove_file(path)
        for folder in sorted({path.parent for path in self}, reverse=True):
            with contextlib.suppress(OSError):
                folder.rmdir()  # not if it has other files
        self.header, self._checksums, self._torn = header, {}, False
        with atomic_path(self._journal, durable=True) as temporary:
            temporary.write_text(json.dumps({"header": header}) + "\n", encoding="utf-8")

    def sync(self) -> None:
        """Write the listed files, their names and the journal to disk.

        Raises:
            InputError: they cannot be written.
        """
        files = [path for path in (*self, self._journal) if path.is_file()]
        folders = {folder for path in files for folder in path.parents if self._is_inside(folder)}
        try:
            sync_files(files)
            for folder in folders:
                sync_folder(folder)
        except OSError as error:
            raise InputError(f"cannot write to {self.root}: {error.strerror or error}") from error

    def _read(self) -> None:
        try:
            text = self._journal.read_text(encoding="utf-8")
        except (FileNotFoundError, NotADirectoryError):
            return
        except (OSError, ValueError) as error:
            raise InputError(f"{self._journal} cannot be read: {error}") from error
        self._torn = bool(text) and not text.endswith("\n")
        for line in text.splitlines():
            try:
                entry = json.loads(line)
                if "header" in entry:
                    self.header = entry["header"]
                else:
                    checksum = Checksum(entry["size"], entry["sha256"])
                    self._checksums.setdefault(entry["file"], []).append(checksum)
            except (ValueError, TypeError, KeyError):
                pass  # the process was killed while it wrote this line, and did not rename the file

    def _name(self, path: Path) -> str:
        return path.relative_to(self.root).as_posix()

    def _is_inside(self, folder: Path) -> bool:
        return folder == self.root or self.root in folder.parents

    def _refuse_links(self, path: Path) -> None:
        for folder in path.parents:
            if folder == self.root:
                return
            if folder.is_symlink():
                raise InputError(
                    f"{folder} is a symbolic link, and files in it would be replaced; "
                    "remove the link or choose another --output"
                )


def _is_damaged_png(path: Path) -> bool:
    if path.suffix != ".png":
        return False
    try:
        with Image.open(path) as image:
            image.verify()  # compares the checksums in the file
    except (OSError, SyntaxError, ValueError, EOFError):
        return True
    return False

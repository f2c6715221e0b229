"""What belongs to one browser tab: a folder, a project, and at most one run at a time."""

from __future__ import annotations

import shutil
import tempfile
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from scmn.demo.footage import Footage, Limits, Upload, import_footage, sample_footage
from scmn.demo.project import Project
from scmn.demo.segmentation import Direction, Networks, Run, Settings
from scmn.errors import InputError


@dataclass(frozen=True)
class Server:
    """What all sessions share.

    Attributes:
        root: folder of the sessions' folders.
        networks: what is offered.
        device: where networks run.
        limits: of each session.
    """

    root: Path
    networks: Networks
    device: str
    limits: Limits = field(default_factory=Limits)


class Session:
    """The work of one browser tab.

    Attributes:
        project: what is worked on; None before the first upload.
        run: the current or last run of the project.
    """

    def __init__(self, server: Server) -> None:
        self.server = server
        self.folder = Path(tempfile.mkdtemp(prefix="session-", dir=server.root))
        self.project: Project | None = None
        self.run: Run | None = None
        self._changing = threading.Lock()
        self._opened = 0
        self._closed = False

    @property
    def busy(self) -> bool:
        """Whether a run is in progress: masks must not be changed."""
        return self.run is not None and not self.run.finished

    def open_uploads(self, uploads: Sequence[Upload]) -> Project:
        """Start a new project from uploaded files; they are removed in any case.

        Raises:
            InputError: see ``import_footage``; the project is still the old one.
        """
        try:
            return self._open(lambda to: import_footage(uploads, to, self.server.limits))
        finally:
            for upload in uploads:
                upload.path.unlink(missing_ok=True)

    def open_sample(self) -> Project:
        """Start a new project with the sample."""
        return self._open(sample_footage)

    def _open(self, make: Callable[[Path], Footage]) -> Project:
        with self._changing:
            if self.busy:
                raise InputError("a segmentation is running: cancel it first")
            self._opened += 1
            folder = self.folder / f"footage-{self._opened}"
            try:
                self.project = Project(make(folder), self.server.limits)
                self.run = None
            except BaseException:
                shutil.rmtree(folder, ignore_errors=True)
                raise
            finally:
                if self._closed:  # in the meantime
                    shutil.rmtree(self.folder, ignore_errors=True)
            for old in self.folder.glob("footage-*"):
                if old != folder:
                    shutil.rmtree(old, ignore_errors=True)
            return self.project

    def segment(self, settings: Settings, *, start: int, direction: Direction) -> Run:
        """Start a run of the project; InputError as ``Run``, or if one is in progress."""
        with self._changing:
            if self.project is None:
                raise InputError("there is no video yet")
            if self.busy:
                raise InputError("a segmentation is running already")
            self.run = Run(
                self.project,
                self.server.networks,
                settings,
                device=self.server.device,
                start=start,
                direction=direction,
            )
            return self.run

    def close(self) -> None:
        """Cancel the run, wait for its end, and remove all files."""
        self._closed = True
        if self.run is not None:
            self.run.cancel()
            self.run.wait()
        shutil.rmtree(self.folder, ignore_errors=True)

"""The output folder of an evaluation: what lies where, and what is done already.

::

    <output>/run.json                    what was run; another run is refused here
    <output>/masks/<sequence>/<frame>.png
    <output>/overlays/<sequence>.mp4     with --overlay
    <output>/records/<sequence>.json     written last: the sequence is complete
    <output>/pictures/<sequence>.jpg     for the report
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from scmn.data.atomic import atomic_path
from scmn.errors import InputError
from scmn.evaluation.predictions import prediction_path


@dataclass(frozen=True)
class SequenceRecord:
    """What it took to segment a sequence, and on what."""

    name: str
    fingerprint: str
    """Of the frames and masks that were segmented: see ``scmn.evaluation.fingerprint``."""
    frames: int
    objects: int
    height: int
    width: int
    """Of the frames as they are stored."""
    network_height: int
    network_width: int
    """Of the frames as the network saw them, padding included."""
    device: str
    """The GPU's name, or "cpu" with the number of threads."""
    precision: str
    processes: int
    """How many processes shared the run; the times and the memory are those of one."""
    network_seconds: float
    """Time in the segmenter: from the decoded frame to the label map at the frame's own size."""
    total_seconds: float
    """The same with reading frames and writing masks; overlays and pictures are left out."""
    peak_memory_bytes: int
    """Peak of the GPU's allocated memory, or on the CPU of the process's resident memory so far."""
    written: tuple[str, ...]
    """Names of the frames whose masks were written."""


@dataclass(frozen=True)
class RunFolder:
    """An output folder and what is in it."""

    path: Path

    @property
    def masks(self) -> Path:
        return self.path / "masks"

    def overlay(self, sequence: str) -> Path:
        return self.path / "overlays" / f"{sequence}.mp4"

    def picture(self, sequence: str) -> Path:
        return self.path / "pictures" / f"{sequence}.jpg"

    def _record(self, sequence: str) -> Path:
        return self.path / "records" / f"{sequence}.json"

    def begin(self, identity: Mapping[str, Any]) -> None:
        """Claim the folder for a run, or go on with the same run.

        Args:
            identity: everything that the masks depend on, JSON values by name.

        Raises:
            InputError: the folder holds the results of another run, or masks of unknown origin.
        """
        file = self.path / "run.json"
        if file.is_file():
            previous = _read_json(file)
            names = [n for n in {**previous, **identity} if previous.get(n) != identity.get(n)]
            if names:
                changes = ", ".join(f"{n}: {previous.get(n)} -> {identity.get(n)}" for n in names)
                raise InputError(
                    f"{self.path} holds the results of another run ({changes}); "
                    "choose another --output or remove it"
                )
            return
        if self.masks.exists():
            raise InputError(
                f"{self.masks} exists without {file}: it was not written by eval.py; "
                "choose another --output"
            )
        _write_json(file, dict(identity))

    def complete(self, sequence: str, *, fingerprint: str, overlay: bool) -> SequenceRecord | None:
        """Return the record of a sequence that is complete on disk and up to date, else None.

        Args:
            sequence: its name.
            fingerprint: of its frames and masks as they are now.
            overlay: whether an overlay video belongs to it.
        """
        if not self._record(sequence).is_file():
            return None
        content = _read_json(self._record(sequence))
        try:
            record = SequenceRecord(**{**content, "written": tuple(content["written"])})
        except (TypeError, KeyError):
            return None  # of another version: the sequence is run again
        if record.fingerprint != fingerprint:
            return None
        masks = [prediction_path(self.masks, sequence, frame) for frame in record.written]
        if not all(mask.is_file() for mask in masks):
            return None
        if overlay and not self.overlay(sequence).is_file():
            return None
        return record

    def discard(self, sequence: str) -> None:
        """Remove what an earlier run left of a sequence, so that old masks never mix with new.

        Raises InputError if a file cannot be removed.
        """
        # The record first: without it nothing that is left counts.
        masks = sorted((self.masks / sequence).glob("*.png"))
        for path in (self._record(sequence), self.overlay(sequence), *masks):
            try:
                path.unlink(missing_ok=True)
            except OSError as error:
                raise InputError(f"cannot remove {path}: {error.strerror or error}") from error

    def finish(self, record: SequenceRecord) -> None:
        """Mark a sequence as complete."""
        _write_json(self._record(record.name), asdict(record))


def _read_json(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise InputError(f"{path} cannot be read ({error}); remove it to start anew") from error
    if not isinstance(content, dict):
        raise InputError(f"{path} is not as eval.py writes it; remove it to start anew")
    return content


def _write_json(path: Path, content: Mapping[str, Any]) -> None:
    with atomic_path(path) as temporary:
        temporary.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")

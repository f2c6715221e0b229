"""The output folder of an evaluation: what lies where, and which sequences are complete.

::

    <output>/run.json                    the settings of the run; other settings are refused
    <output>/masks/<sequence>/<frame>.png
    <output>/overlays, coco, rgba, ...   with --export; see scmn.exports
    <output>/pictures/<sequence>.jpg     for the report
    <output>/records/<sequence>.jsonl    what it is segmented from, and the files written so far
    <output>/records/<sequence>.json     written last: the sequence is complete
    <output>/.results.jsonl              which result files were written, such as tables
"""

from __future__ import annotations

import json
import logging
from collections.abc import Collection, Iterable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from scmn.data.atomic import atomic_path, remove_file, remove_left_over
from scmn.errors import InputError
from scmn.evaluation.sequence_input import SequenceInput
from scmn.evaluation.written_files import WrittenFiles
from scmn.exports import EXPORTS, export_path
from scmn.inference.memory.settings import current_names

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class SequenceRecord:
    """How a sequence was segmented: sizes, device, time and memory."""

    name: str
    fingerprint: str
    """Of the frames and given masks; see ``SequenceInput``."""
    frames: int
    segmented_frames: int
    """Without those that are neither written nor needed for later ones."""
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
    timed_frames: int
    """Segmented frames after compilation and warm-up (see ``WarmUp``): those of the times."""
    network_seconds: float
    """Time in the segmenter: from the decoded frame to the label map at the frame's own size."""
    total_seconds: float
    """The same with reading frames and writing masks; overlays and pictures are left out."""
    peak_memory_bytes: int
    """Peak of the GPU's allocated memory, or on the CPU of the process's resident memory so far."""
    written: tuple[str, ...]
    """Names of the frames whose masks were written."""
    exports: tuple[str, ...]
    """Those of ``scmn.exports.EXPORTS`` that were written."""


@dataclass(frozen=True)
class RunFolder:
    """An output folder and its files."""

    path: Path

    @property
    def masks(self) -> Path:
        return self.path / "masks"

    def export(self, export: str, sequence: str) -> Path:
        return export_path(self.path, export, sequence)

    def picture(self, sequence: str) -> Path:
        return self.path / "pictures" / f"{sequence}.jpg"

    def _record(self, sequence: str) -> Path:
        return self.path / "records" / f"{sequence}.json"

    def files(self, sequence: str) -> WrittenFiles:
        """Return the list of the files that runs have written for a sequence."""
        return WrittenFiles(self.path, self.path / "records" / f"{sequence}.jsonl")

    def result_files(self) -> WrittenFiles:
        """Return the list of the result files that runs have written."""
        return WrittenFiles(self.path, self.path / ".results.jsonl")

    def check(self, sequences: Mapping[str, Iterable[Path]]) -> None:
        """Check that a run can write to the folder.

        Args:
            sequences: name -> files that the sequence is read from.

        Raises:
            InputError: a folder is a symbolic link, or an input would be replaced by its result.
        """
        for folder in self._folders(sequences):
            if folder.is_symlink():
                raise InputError(
                    f"{folder} is a symbolic link, and what it points to would be changed; "
                    "remove the link or choose another --output"
                )
        for sequence, inputs in sequences.items():
            exports = [self.export(export, sequence) for export in EXPORTS]
            own = {path.resolve() for path in (self.masks / sequence, *exports)}
            folders: dict[Path, Path] = {}
            for path in inputs:
                folder = folders.setdefault(path.parent, path.parent.resolve())
                if own & {folder, folder / path.name}:
                    raise InputError(
                        f"{path} is where its own result is written; "
                        "copy it elsewhere or choose another --output"
                    )

    def check_settings(self, settings: Mapping[str, Any]) -> None:
        """Raise InputError if the folder holds a run with other settings, or of unknown origin.

        Args:
            settings: everything that the masks depend on, JSON values by name.
        """
        file = self._settings
        if not file.is_file():
            for folder in (self.masks, self.path / "records"):
                if folder.exists():
                    raise InputError(
                        f"{folder} exists without {file}: it was not written by eval.py; "
                        "choose another --output"
                    )
            return
        old, new = _current_names(_read_json(file)), _current_names(settings)
        names = [name for name in {**old, **new} if old.get(name) != new.get(name)]
        if names:
            changes = ", ".join(f"{n}: {old.get(n)} -> {new.get(n)}" for n in names)
            raise InputError(
                f"{self.path} holds the results of another run ({changes}); "
                "choose another --output or remove it"
            )

    def begin(self, sequences: Iterable[str], settings: Mapping[str, Any] | None) -> None:
        """Remove the temporary files of killed runs and write down the settings."""
        for folder in (self.path, *self._folders(sequences)):
            if folder != self.masks:  # where scores of the masks alone may be written
                remove_left_over(folder)
        if settings is not None and not self._settings.is_file():
            _write_json(self._settings, settings)

    @property
    def _settings(self) -> Path:
        return self.path / "run.json"

    def _folders(self, sequences: Iterable[str]) -> list[Path]:
        """Return the folders of the sequences' files."""
        folders = [self.masks]
        for sequence in sequences:
            files = [self.export(export, sequence) for export in EXPORTS]
            files += [self.picture(sequence), self._record(sequence)]
            cutouts = self.export("rgba", sequence)
            folders += [file.parent for file in files]
            folders += [self.masks / sequence, cutouts, *cutouts.glob("*")]
        return list(dict.fromkeys(folders))

    def complete(
        self, sequence: str, current: SequenceInput, *, exports: Collection[str]
    ) -> SequenceRecord | None:
        """Return the record of a sequence that is complete, or None if it is to be segmented.

        Args:
            sequence: its name.
            current: its frames and masks as they are now.
            exports: those of ``scmn.exports.EXPORTS`` that belong to it.

        Raises:
            InputError: there are results of another input, or a file has been changed.
        """
        files = self.files(sequence)
        difference = current.difference(files.header) if files.header else None
        if difference is not None:
            raise InputError(
                f"'{sequence}' in {self.path} was segmented from {difference}; "
                "choose another --output"
            )
        record = self._read_record(sequence)
        if record is None or not set(exports) <= set(record.exports):
            return None
        if record.fingerprint != current.fingerprint:
            raise InputError(
                f"the frames or masks of '{sequence}' in {current.frames} have changed since they "
                f"were segmented into {self.path}; choose another --output"
            )
        expected = [prediction_path(self.masks, sequence, frame) for frame in record.written]
        for export in exports:
            place = self.export(export, sequence)
            expected += [path for path in files if place == path or place in path.parents]
        lost = [path for path in expected if not files.is_intact(path)]
        if lost:
            logger.warning("%s is missing or damaged: '%s' is segmented again", lost[0], sequence)
            return None
        return record

    def _read_record(self, sequence: str) -> SequenceRecord | None:
        path = self._record(sequence)
        if not path.is_file():
            return None
        content = _read_json(path)
        try:
            names = {name: tuple(content[name]) for name in ("written", "exports")}
            return SequenceRecord(**{**content, **names})
        except (TypeError, KeyError):
            logger.warning("%s is of another version: '%s' is segmented again", path, sequence)
            return None

    def require_own(self, sequence: str) -> None:
        """Raise InputError if one of a sequence's files was not written by a run, or changed since.

        Masks that are not listed are refused even if no frame has their names: they would mix.
        """
        files, record = self.files(sequence), self._record(sequence)
        if record.exists() and not files.header:
            raise InputError(
                f"{record} lists no written files, so it is of an earlier version or not of "
                "eval.py; choose another --output"
            )
        files.require_own(files)
        cutouts = self.export("rgba", sequence)
        exports = [self.export(export, sequence) for export in EXPORTS if export != "rgba"]
        files.require_own([*exports, self.picture(sequence)])
        # Hidden files may be temporary ones of killed runs.
        files.require_own(sorted((self.masks / sequence).glob("[!.]*.png")))
        files.require_own(sorted(cutouts.glob("*/[!.]*.png")))

    def start(self, sequence: str, current: SequenceInput) -> WrittenFiles:
        """Remove what earlier runs have written for a sequence, and begin its list of files.

        Raises:
            InputError: a file is the user's, and nothing is removed; or a file cannot be removed
                or written.
        """
        self.require_own(sequence)
        files = self.files(sequence)
        remove_file(self._record(sequence))  # it must not vouch for what is left of the masks
        files.restart(current.identity())
        return files

    def finish(self, record: SequenceRecord, files: WrittenFiles) -> None:
        """Mark a sequence as complete, once its files are on disk."""
        files.sync()
        _write_json(self._record(record.name), asdict(record))


def _current_names(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Rename settings that earlier versions wrote under another name, and add one they lacked."""
    current = {"direction": "forward", **settings}
    memory = settings.get("memory")
    if isinstance(memory, Mapping):
        current["memory"] = current_names(memory)
    return current


def _read_json(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise InputError(f"{path} cannot be read ({error}); remove it to start again") from error
    if not isinstance(content, dict):
        raise InputError(f"{path} was not written by eval.py; remove it to start again")
    return content


def _write_json(path: Path, content: Mapping[str, Any]) -> None:
    with atomic_path(path, durable=True) as temporary:
        temporary.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")


def prediction_path(masks_folder: Path, sequence_name: str, frame_name: str) -> Path:
    """Return the file of a frame's predicted label map: ``<folder>/<sequence>/<frame>.png``."""
    return masks_folder / sequence_name / f"{frame_name}.png"


def require_predictions(paths: Iterable[Path]) -> None:
    """Raise InputError if files are missing; it names the first and says how many."""
    expected = list(paths)
    missing = [path for path in expected if not path.is_file()]
    if missing:
        raise InputError(
            f"predicted mask {missing[0]} does not exist; {len(missing)} of the {len(expected)} "
            "expected masks are missing"
        )

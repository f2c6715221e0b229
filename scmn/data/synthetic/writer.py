"""Writes synthetic sequences as a DAVIS 2017 tree; what is already there and right is kept."""

from __future__ import annotations

import json
import multiprocessing
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from pathlib import Path
from typing import Any

import cv2
from PIL import Image

from scmn.data.atomic import atomic_path
from scmn.data.masks import write_label_map
from scmn.data.synthetic.sequence import SyntheticSequence
from scmn.data.synthetic.settings import SyntheticSettings
from scmn.errors import InputError

RECORD = "synthetic.json"
"""Says what a folder holds: seed, settings, and each finished sequence with its challenges."""
RENDERER = 1
"""Raised whenever the same settings, seed and number begin to give another video."""

_JPEG_QUALITY = 95


def write_davis(
    folder: Path,
    *,
    sequences: int,
    seed: int = 0,
    settings: SyntheticSettings | None = None,
    split: str = "val",
    first_number: int = 0,
    workers: int = 1,
    on_sequence: Callable[[str], None] | None = None,
) -> tuple[str, ...]:
    """Write sequences ``first_number``, ... to a folder and add them to ``split``; their names.

    The tree is that of DAVIS 2017: ``JPEGImages/480p/<name>/00000.jpg``,
    ``Annotations/480p/<name>/00000.png``, ``ImageSets/2017/<split>.txt``, and ``synthetic.json``.
    The folder is named 480p whatever the size of the frames.

    Finished sequences are kept: an interrupted call can be repeated, and further calls add
    sequences, also to other splits. ``workers`` processes render at once; the files are the same
    for any number. ``on_sequence`` is called with each name when its sequence is complete.

    Raises InputError if the folder holds something else, or sequences of another seed or other
    settings, or if it cannot be written.
    """
    settings = settings or SyntheticSettings()
    if sequences < 1:
        raise InputError(f"number of synthetic sequences is {sequences}; expected at least 1")
    if workers < 1:
        raise InputError(f"number of workers is {workers}; expected at least 1")
    if not split or Path(split).name != split:
        raise InputError(f"split '{split}' is not the name of a file; expected one like 'val'")
    wanted = [
        SyntheticSequence(settings, seed, number)
        for number in range(first_number, first_number + sequences)
    ]
    record = _open_record(folder, settings, seed)
    kept = [s for s in wanted if s.name in record["sequences"] and _is_complete(folder, s)]
    missing = [sequence for sequence in wanted if sequence not in kept]
    for sequence in kept:
        _report(on_sequence, sequence.name)
    for name, entry in _write_all(folder, missing, workers):
        record["sequences"][name] = entry
        _write_text(folder / RECORD, json.dumps(record, indent=1, sort_keys=True) + "\n")
        _report(on_sequence, name)
    names = tuple(sequence.name for sequence in wanted)
    _add_to_split(folder / "ImageSets" / "2017" / f"{split}.txt", names)
    return names


def _report(on_sequence: Callable[[str], None] | None, name: str) -> None:
    if on_sequence is not None:
        on_sequence(name)


def _open_record(folder: Path, settings: SyntheticSettings, seed: int) -> dict[str, Any]:
    """Return the folder's record, or a new one; InputError if the folder holds something else."""
    fresh: dict[str, Any] = {
        "renderer": RENDERER,
        "seed": seed,
        "settings": settings.as_json(),
        "sequences": {},
    }
    path = folder / RECORD
    if not path.exists():
        if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
            raise InputError(
                f"{folder} holds something else than synthetic sequences (no {RECORD}); "
                "expected a new or an empty folder"
            )
        _write_text(path, json.dumps(fresh, indent=1, sort_keys=True) + "\n")
        return fresh
    record = _read_record(path)
    for key in ("renderer", "seed", "settings"):
        if record[key] != fresh[key]:
            raise InputError(
                f"{path} has {_difference(key, record[key], fresh[key])}; expected the same, "
                "or another folder"
            )
    return record


def _read_record(path: Path) -> dict[str, Any]:
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise InputError(f"{path} cannot be read: {error}") from error
    keys = {"renderer", "seed", "settings", "sequences"}
    if not isinstance(record, dict) or not keys <= record.keys():
        raise InputError(f"{path} is not a record of synthetic sequences; expected {sorted(keys)}")
    if not isinstance(record["sequences"], dict):
        raise InputError(f"{path}: 'sequences' is not an object with one entry per sequence")
    return record


def _difference(key: str, there: object, asked: object) -> str:
    """Say how a folder differs from what is asked for, down to the first setting that does."""
    if isinstance(there, dict) and isinstance(asked, dict):
        for name in asked:
            if there.get(name) != asked[name]:
                return f"{key}.{name} {there.get(name)} where {asked[name]} is asked for"
    return f"{key} {there} where {asked} is asked for"


def _frame_files(folder: Path, sequence: SyntheticSequence) -> Iterator[tuple[Path, Path]]:
    for index in range(len(sequence)):
        yield (
            folder / "JPEGImages" / "480p" / sequence.name / f"{index:05d}.jpg",
            folder / "Annotations" / "480p" / sequence.name / f"{index:05d}.png",
        )


def _is_complete(folder: Path, sequence: SyntheticSequence) -> bool:
    return all(
        image.is_file() and labels.is_file() for image, labels in _frame_files(folder, sequence)
    )


def _write_all(
    folder: Path, sequences: list[SyntheticSequence], workers: int
) -> Iterator[tuple[str, dict[str, Any]]]:
    """Write sequences and yield name and record entry of each one when it is complete."""
    if workers == 1 or len(sequences) < 2:
        for sequence in sequences:
            yield sequence.name, _write_sequence(folder, sequence)
        return
    context = multiprocessing.get_context("spawn")  # a fork may copy locks that threads hold
    with ProcessPoolExecutor(
        min(workers, len(sequences)), context, initializer=cv2.setNumThreads, initargs=(1,)
    ) as pool:
        jobs = {pool.submit(_write_sequence, folder, s): s.name for s in sequences}
        try:
            for job in as_completed(jobs):
                yield jobs[job], job.result()
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise


def _write_sequence(folder: Path, sequence: SyntheticSequence) -> dict[str, Any]:
    """Write every frame of one sequence and return its entry in the record."""
    for index, (image_path, labels_path) in enumerate(_frame_files(folder, sequence)):
        image, labels = sequence.frame(index)
        with atomic_path(image_path) as temporary:
            Image.fromarray(image).save(temporary, "JPEG", quality=_JPEG_QUALITY)
        write_label_map(labels_path, labels)
    return {
        "number": sequence.number,
        "objects": list(sequence.object_ids),
        "challenges": list(sequence.challenges),
    }


def _add_to_split(path: Path, names: tuple[str, ...]) -> None:
    """Add the names that a split does not list yet."""
    listed = path.read_text(encoding="utf-8").split() if path.is_file() else []
    _write_text(path, "".join(f"{name}\n" for name in sorted({*listed, *names})))


def _write_text(path: Path, text: str) -> None:
    with atomic_path(path) as temporary:
        temporary.write_text(text, encoding="utf-8")

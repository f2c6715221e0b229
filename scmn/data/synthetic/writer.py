"""Writes synthetic sequences as a DAVIS 2017 tree and keeps the sequences that are complete."""

from __future__ import annotations

import dataclasses
import json
import multiprocessing
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from pathlib import Path

import cv2
from PIL import Image

from scmn.data.atomic import atomic_path
from scmn.data.masks import write_label_map
from scmn.data.synthetic.sequence import SyntheticSequence
from scmn.data.synthetic.synthetic_settings import SyntheticSettings
from scmn.errors import InputError

RECORD = "synthetic.json"
"""Records what a folder holds: the version of the renderer, the seed and the settings."""
RENDERER = 1
"""Increased whenever the same settings, seed and number give another video than before."""

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
    """Write sequences ``first_number``, ... to a folder, add them to ``split``, return their names.

    The tree is that of DAVIS 2017: ``JPEGImages/480p/<name>/00000.jpg``,
    ``Annotations/480p/<name>/00000.png``, ``ImageSets/2017/<split>.txt``, and ``synthetic.json``.
    The folder is called 480p whatever the size of the frames.

    Complete sequences are kept: repeat an interrupted call to resume it; further calls add
    sequences, also to other splits. ``workers`` processes render at once; the files do not depend
    on their number. ``on_sequence`` is called with each name when its sequence is complete.

    Raises:
        InputError: the folder holds other files, or sequences of another seed or other settings, or
            it cannot be written.
    """
    settings = settings or SyntheticSettings()
    for what, count in (("synthetic sequences", sequences), ("workers", workers)):
        if count < 1:
            raise InputError(f"number of {what} is {count}; expected at least 1")
    if not split or Path(split).name != split:
        raise InputError(f"split '{split}' is not a file name; expected one like 'val'")
    numbers = range(first_number, first_number + sequences)
    wanted = [SyntheticSequence(settings, seed, number) for number in numbers]
    _check_record(folder, settings, seed)
    for name in _write_missing(folder, wanted, workers):
        if on_sequence is not None:
            on_sequence(name)
    names = tuple(sequence.name for sequence in wanted)
    _add_to_split(folder / "ImageSets" / "2017" / f"{split}.txt", names)
    return names


def _check_record(folder: Path, settings: SyntheticSettings, seed: int) -> None:
    """Write the folder's record, or raise InputError if it has one that differs."""
    as_json = dict(json.loads(json.dumps(dataclasses.asdict(settings))))
    path = folder / RECORD
    if not path.exists():
        if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
            raise InputError(
                f"{folder} is not a folder of synthetic sequences (it has no {RECORD}); "
                "expected a new or an empty folder"
            )
        record = {"renderer": RENDERER, "seed": seed, "settings": as_json}
        _write_text(path, json.dumps(record, indent=1, sort_keys=True) + "\n")
        return
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
        found = {"renderer": record["renderer"], "seed": record["seed"], **record["settings"]}
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InputError(f"{path} cannot be read as a record of sequences: {error!r}") from error
    for name, value in {"renderer": RENDERER, "seed": seed, **as_json}.items():
        if found.get(name) != value:
            raise InputError(
                f"{path} has {name} {found.get(name)} but {value} was requested; "
                "use the same value or another folder"
            )


def _frame_files(folder: Path, sequence: SyntheticSequence) -> Iterator[tuple[Path, Path]]:
    for index in range(len(sequence)):
        yield (
            folder / "JPEGImages" / "480p" / sequence.name / f"{index:05d}.jpg",
            folder / "Annotations" / "480p" / sequence.name / f"{index:05d}.png",
        )


def _is_complete(folder: Path, sequence: SyntheticSequence) -> bool:
    return all(path.is_file() for pair in _frame_files(folder, sequence) for path in pair)


def _write_missing(
    folder: Path, sequences: Sequence[SyntheticSequence], workers: int
) -> Iterator[str]:
    """Write the sequences that are not complete; yield the name of each that is."""
    missing = [sequence for sequence in sequences if not _is_complete(folder, sequence)]
    yield from (sequence.name for sequence in sequences if sequence not in missing)
    if workers == 1 or len(missing) < 2:
        for sequence in missing:
            yield _write_sequence(folder, sequence)
        return
    context = multiprocessing.get_context("spawn")  # a fork may copy locks that threads hold
    with ProcessPoolExecutor(
        min(workers, len(missing)), context, initializer=cv2.setNumThreads, initargs=(1,)
    ) as pool:
        jobs = [pool.submit(_write_sequence, folder, sequence) for sequence in missing]
        try:
            for job in as_completed(jobs):
                yield job.result()
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise


def _write_sequence(folder: Path, sequence: SyntheticSequence) -> str:
    """Write every frame of one sequence and return its name."""
    for index, (image_path, labels_path) in enumerate(_frame_files(folder, sequence)):
        image, labels = sequence.frame(index)
        with atomic_path(image_path) as temporary:
            Image.fromarray(image).save(temporary, "JPEG", quality=_JPEG_QUALITY)
        write_label_map(labels_path, labels)
    return sequence.name


def _add_to_split(path: Path, names: Sequence[str]) -> None:
    listed = path.read_text(encoding="utf-8").split() if path.is_file() else []
    _write_text(path, "".join(f"{name}\n" for name in sorted({*listed, *names})))


def _write_text(path: Path, text: str) -> None:
    with atomic_path(path) as temporary:
        temporary.write_text(text, encoding="utf-8")

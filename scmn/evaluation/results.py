"""Result files: the two official CSV tables, ``results.json``, and the zip for a server.

Those of an earlier evaluation are always replaced, so that new masks never keep old scores.
"""

from __future__ import annotations

import csv
import json
import zipfile
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from scmn.data.atomic import BeforeRename, atomic_path
from scmn.data.datasets import Archive
from scmn.data.sequences import VideoSequence
from scmn.evaluation.run_folder import SequenceRecord, prediction_path, require_predictions
from scmn.evaluation.scores import DatasetScores, ObjectScores
from scmn.evaluation.written_files import WrittenFiles

UNITS = (
    "J (region similarity) and F (contour accuracy) are in 0..1, higher is better; recall is the "
    "share of frames above 0.5; decay is the mean of the first quarter of the frames minus that of "
    "the last, lower is better"
)

ARCHIVE_ROOTS: Mapping[Archive, str] = {"sequences": "", "annotations": "Annotations/"}
"""Prefix of ``<sequence>/<frame>.png``: DAVIS, MOSE and LVOS expect the first form, YouTube-VOS
the second."""
_EARLIEST_DATE = (1980, 1, 1, 0, 0, 0)
_REGULAR_FILE = 0o100644 << 16


def write_results(
    files: WrittenFiles,
    scores: DatasetScores | None,
    *,
    split: str,
    facts: Mapping[str, str] | None = None,
    records: Sequence[SequenceRecord] = (),
) -> tuple[Path, ...]:
    """Write the result files of an evaluation; return their paths.

    ``global_results-<split>.csv`` and ``per-sequence_results-<split>.csv`` have the official
    columns and three decimals. ``results.json`` has every number in full, the ``facts`` of the run
    and the record of each sequence. Without ``scores`` it is the only file, and tables of an
    earlier run are removed.

    Args:
        files: the result files of the folder that they are written to.

    Raises:
        InputError: a file cannot be written, or is the user's.
    """
    tables = table_paths(files.root, split)
    if scores is None:
        files.remove(tables)
    else:
        _write_tables(tables, scores, before_rename=files.claim)
    json_path = files.root / "results.json"
    results = {
        "split": split,
        "facts": dict(facts or {}),
        **({} if scores is None else _scores_json(scores)),
        "runs": {record.name: _record_json(record) for record in records},
    }
    with atomic_path(json_path, before_rename=files.claim) as temporary:
        text = json.dumps(results, indent=1, allow_nan=False)
        temporary.write_text(text + "\n", encoding="utf-8")
    return (json_path,) if scores is None else (*tables, json_path)


def table_paths(folder: Path, split: str) -> tuple[Path, Path]:
    """Return the files of the two tables."""
    names = ("global_results", "per-sequence_results")
    return folder / f"{names[0]}-{split}.csv", folder / f"{names[1]}-{split}.csv"


def _write_tables(
    paths: tuple[Path, Path], scores: DatasetScores, *, before_rename: BeforeRename
) -> None:
    global_path, sequence_path = paths
    summary = scores.summary
    _write_csv(
        global_path,
        list(summary),
        [[_official(value) for value in summary.values()]],
        before_rename=before_rename,
    )
    _write_csv(
        sequence_path,
        ["Sequence", "J-Mean", "F-Mean"],
        (
            [f"{sequence.name}_{of.object_id}", _official(of.j.mean), _official(of.f.mean)]
            for sequence in scores.sequences
            for of in sequence.objects
        ),
        before_rename=before_rename,
    )


def _official(value: float) -> str:
    return f"{value:.3f}"


def _write_csv(
    path: Path,
    columns: Sequence[str],
    rows: Iterable[Sequence[str]],
    *,
    before_rename: BeforeRename,
) -> None:
    with (
        atomic_path(path, before_rename=before_rename) as temporary,
        temporary.open("w", encoding="utf-8", errors="surrogateescape", newline="") as file,
    ):
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(columns)
        writer.writerows(rows)


def _scores_json(scores: DatasetScores) -> dict[str, Any]:
    return {
        "protocol": scores.protocol,
        "units": UNITS,
        "summary": scores.summary,
        **({} if scores.youtube_vos is None else {"youtube_vos": scores.youtube_vos}),
        "notes": list(scores.notes),
        "sequences": {
            sequence.name: {str(of.object_id): _object_json(of) for of in sequence.objects}
            for sequence in scores.sequences
        },
    }


def _object_json(scored: ObjectScores) -> dict[str, Any]:
    return {
        "J": asdict(scored.j),
        "F": asdict(scored.f),
        "frames": list(scored.frames),
        "J_per_frame": scored.region_similarity.tolist(),
        "F_per_frame": scored.contour_accuracy.tolist(),
    }


def _record_json(record: SequenceRecord) -> dict[str, Any]:
    # The frames of a long video would fill the file; the folder of masks lists them.
    left_out = ("name", "fingerprint", "written")
    return {name: value for name, value in asdict(record).items() if name not in left_out}


def write_submission(
    path: Path,
    sequences: Sequence[VideoSequence],
    masks_folder: Path,
    *,
    archive: Archive,
    before_rename: BeforeRename | None = None,
) -> int:
    """Write the masks that the data set's server expects to a zip; return how many.

    It holds the frames that the sequences list as written, whatever else is in the folder. The same
    masks give the same bytes: times and permissions of files are left out, and PNG files, already
    compressed, are stored uncompressed. For ``before_rename`` see ``atomic_path``.

    Raises:
        InputError: a mask is missing or the file cannot be written.
    """
    members = {
        f"{ARCHIVE_ROOTS[archive]}{sequence.name}/{name}.png": prediction_path(
            masks_folder, sequence.name, name
        )
        for sequence in sequences
        for name in sequence.frame_names
        if sequence.is_written(name)
    }
    require_predictions(members.values())
    with (
        atomic_path(path, before_rename=before_rename) as temporary,
        zipfile.ZipFile(temporary, "w") as file,
    ):
        for name, mask in members.items():
            file.writestr(_member(name), mask.read_bytes())
    return len(members)


def _member(name: str) -> zipfile.ZipInfo:
    member = zipfile.ZipInfo(name, _EARLIEST_DATE)
    member.create_system = 3  # Unix, wherever the archive is written
    member.external_attr = _REGULAR_FILE
    return member

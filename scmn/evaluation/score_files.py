"""Scores on disk: the two official CSV files, and ``results.json`` with everything.

The files are always written anew, so that new masks never keep old scores.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from scmn.data.atomic import atomic_path
from scmn.errors import InputError
from scmn.evaluation.run_folder import SequenceRecord
from scmn.evaluation.scores import DatasetScores, ObjectScores

UNITS = (
    "J (region similarity) and F (contour accuracy) are in 0..1, higher is better; recall is the "
    "share of frames above 0.5; decay is the mean of the first quarter of the frames minus that of "
    "the last, lower is better"
)


def write_results(
    folder: Path,
    scores: DatasetScores | None,
    *,
    split: str,
    facts: Mapping[str, str] | None = None,
    records: Sequence[SequenceRecord] = (),
) -> tuple[Path, ...]:
    """Write the result files of an evaluation to ``folder``; return their paths.

    ``global_results-<split>.csv`` and ``per-sequence_results-<split>.csv`` have the official
    columns and three decimals. ``results.json`` has every number in full, the ``facts`` of the run
    and what each sequence took; without ``scores`` it is the only file, and an earlier run's tables
    are removed.

    Raises InputError if a file cannot be written.
    """
    tables = _table_paths(folder, split)
    if scores is None:
        _remove(tables)
    else:
        _write_tables(tables, scores)
    json_path = folder / "results.json"
    results = {
        "split": split,
        "facts": dict(facts or {}),
        **({} if scores is None else _scores_json(scores)),
        "runs": {record.name: _record_json(record) for record in records},
    }
    with atomic_path(json_path) as temporary:
        text = json.dumps(results, indent=1, allow_nan=False)
        temporary.write_text(text + "\n", encoding="utf-8")
    return (json_path,) if scores is None else (*tables, json_path)


def _table_paths(folder: Path, split: str) -> tuple[Path, Path]:
    names = ("global_results", "per-sequence_results")
    return folder / f"{names[0]}-{split}.csv", folder / f"{names[1]}-{split}.csv"


def _remove(paths: Iterable[Path]) -> None:
    for path in paths:
        try:
            path.unlink(missing_ok=True)
        except OSError as error:
            raise InputError(f"cannot remove {path}: {error.strerror or error}") from error


def _write_tables(paths: tuple[Path, Path], scores: DatasetScores) -> None:
    global_path, sequence_path = paths
    summary = scores.summary
    _write_csv(global_path, list(summary), [[_official(value) for value in summary.values()]])
    _write_csv(
        sequence_path,
        ["Sequence", "J-Mean", "F-Mean"],
        (
            [f"{sequence.name}_{of.object_id}", _official(of.j.mean), _official(of.f.mean)]
            for sequence in scores.sequences
            for of in sequence.objects
        ),
    )


def _official(value: float) -> str:
    return f"{value:.3f}"


def _write_csv(path: Path, columns: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    with (
        atomic_path(path) as temporary,
        temporary.open("w", encoding="utf-8", newline="") as file,
    ):
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(columns)
        writer.writerows(rows)


def _scores_json(scores: DatasetScores) -> dict[str, Any]:
    return {
        "protocol": scores.protocol,
        "units": UNITS,
        "summary": scores.summary,
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
    # The written frames of a long video would fill the file; the folder of masks shows them.
    left_out = ("name", "fingerprint", "written")
    return {name: value for name, value in asdict(record).items() if name not in left_out}

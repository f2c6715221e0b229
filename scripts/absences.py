"""Measure what becomes of objects that leave the view and return, from masks and annotations.

    python eval.py --dataset davis2017-val --data DAVIS --output results/mine
    python scripts/absences.py results/mine/masks --dataset davis2017-val --data DAVIS

An object is absent on frames whose annotation does not show it although an earlier one did. When it
returns, it is *found* again if its mask has an IoU of at least 0.5 on one of the first N annotated
frames (``--within N``). Its *ghost* is the area that is predicted while it is absent, the mean over
these frames, in percent of its mean area on the others.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from scmn.data.datasets import open_dataset
from scmn.data.masks import check_size, object_ids, read_label_map
from scmn.data.sequences import VideoSequence
from scmn.evaluation.metrics import region_similarity
from scmn.evaluation.run_folder import prediction_path, require_predictions
from scmn.program import ArgumentParser, run_program

FOUND = 0.5
"""IoU from which on an object counts as found."""
WITHIN = 10
"""Annotated frames after its return on which it may be found."""


@dataclass(frozen=True)
class Absence:
    """Annotated frames in a row on which an object is out of sight."""

    frames: int
    ghost: float
    """Mean of the predicted areas, as a share of the object's mean area where it is present."""
    found: bool | None
    """Whether the object is found again; None if it does not return."""


def main() -> None:
    parser = ArgumentParser.of_program(__doc__ or "")
    add = parser.add_argument
    add("masks", type=Path, help="folder of predicted masks, <sequence>/<frame>.png")
    add("--dataset", required=True)
    add("--data", type=Path, required=True)
    add("--sequence", action="append", help="only this one (repeatable)")
    add("--within", type=int, default=WITHIN, metavar="N", help="see above (default: %(default)s)")
    given = parser.parse_args()
    if given.within < 1:
        parser.error(f"--within must be at least 1, not {given.within}")
    dataset = open_dataset(given.dataset, given.data, sequences=given.sequence)
    absences = {
        sequence.name: sequence_absences(sequence, given.masks, within=given.within)
        for sequence in dataset.sequences
    }
    together = [absence for of_sequence in absences.values() for absence in of_sequence]
    rows = {**absences, "all": together}
    width = max(map(len, rows))
    print(
        f"{'sequence':{width}} {'absences':>8} {'frames':>6} {'returns':>7} {'found':>5} ghost, %"
    )
    for name, of_sequence in rows.items():
        total = summary(of_sequence)
        ghost = "-" if total["ghost"] is None else f"{100 * total['ghost']:.2f}"
        print(
            f"{name:{width}} {total['absences']:8} {total['frames']:6} {total['returns']:7} "
            f"{total['found']:5} {ghost:>8}"
        )


def sequence_absences(
    sequence: VideoSequence, masks: Path, *, within: int = WITHIN
) -> list[Absence]:
    """Return the absences of all objects of a sequence, from the first frame that gives each.

    Args:
        sequence: with annotations.
        masks: folder of the predicted masks of all sequences.
        within: annotated frames after a return on which the object may be found.

    Raises:
        InputError: a mask is missing, cannot be read or has another size than its annotation.
    """
    frames = [
        (index, prediction_path(masks, sequence.name, sequence.frame_names[index]))
        for index in sorted(sequence.annotation_paths)
        if sequence.is_written(sequence.frame_names[index])
    ]
    require_predictions(path for _, path in frames)
    measured: dict[int, list[tuple[int, int, float]]] = {}
    for index, path in frames:
        given = sequence.given_labels(index)
        for object_id in () if given is None else object_ids(given):
            measured.setdefault(object_id, [])
        true, predicted = sequence.annotation(index), read_label_map(path)
        check_size(predicted, true.shape, path)
        for object_id, rows in measured.items():
            of_truth, of_prediction = true == object_id, predicted == object_id
            areas = int(of_truth.sum()), int(of_prediction.sum())
            rows.append((*areas, region_similarity(of_truth, of_prediction)))
    return [
        absence
        for rows in measured.values()
        for absence in object_absences(*np.array(rows).T, within=within)
    ]


def object_absences(
    true_areas: np.ndarray, predicted_areas: np.ndarray, ious: np.ndarray, *, within: int = WITHIN
) -> Iterator[Absence]:
    """Yield the absences of one object, from its areas (T,) and IoU (T,) on the annotated frames.

    It is present on the first of them.
    """
    present = true_areas > 0
    area = true_areas[present].mean()
    found = present & (ious >= FOUND)
    changes = np.flatnonzero(np.diff(np.concatenate([[True], present, [True]])))
    for first, end in changes.reshape(-1, 2):
        returns = end < len(present)
        yield Absence(
            frames=int(end - first),
            ghost=float(predicted_areas[first:end].mean() / area),
            found=bool(found[end : end + within].any()) if returns else None,
        )


def summary(absences: Sequence[Absence]) -> dict[str, float | None]:
    """Return how many absences, absent frames, returns and finds there are, and the ghost.

    The ghost is the mean over all absent frames; None if there are none.
    """
    frames = sum(absence.frames for absence in absences)
    ghost = sum(absence.frames * absence.ghost for absence in absences)
    return {
        "absences": len(absences),
        "frames": frames,
        "returns": sum(absence.found is not None for absence in absences),
        "found": sum(absence.found is True for absence in absences),
        "ghost": ghost / frames if frames else None,
    }


if __name__ == "__main__":
    run_program(main)

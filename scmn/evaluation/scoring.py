"""Scoring: predicted label maps against the annotations of a data set, one process per core.

The scored frames are the annotated ones whose masks the data set asks for, without the first and,
except in YouTube-VOS, the last; ``scmn.evaluation.protocols`` defines which objects count on them.
A sequence without such a frame, or where all of them are given, is left out and named in the notes.
"""

from __future__ import annotations

import multiprocessing
import os
from collections.abc import Mapping, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from pathlib import Path

import cv2
import numpy as np

from scmn.data.masks import read_label_map
from scmn.data.sequences import VideoSequence
from scmn.errors import InputError, nearest_name
from scmn.evaluation.metrics import score_frame
from scmn.evaluation.protocols import PROTOCOLS, ScoringProtocol
from scmn.evaluation.run_folder import prediction_path, require_predictions
from scmn.evaluation.scores import DatasetScores, ObjectScores, SequenceScores

FRAMES_WORTH_A_PROCESS = 300
"""Starting a process takes about as long as scoring this many frames."""


class NothingToScore(InputError):
    """The data set has no ground truth to compare masks with."""


def score_sequences(
    sequences: Sequence[VideoSequence],
    masks_folder: Path,
    *,
    protocol: str,
    processes: int | None = None,
) -> DatasetScores:
    """Score predicted label maps.

    Args:
        sequences: with their annotations.
        masks_folder: the predictions are ``<masks_folder>/<sequence>/<frame>.png``.
        protocol: which objects count on which frames; a name in ``PROTOCOLS``.
        processes: how many score at a time (None: all available cores where that saves time). The
            result does not depend on it. With more than one, the main program must be importable by
            its workers: it starts under ``if __name__ == "__main__"``.

    Raises:
        InputError: the protocol is unknown, a mask is missing (before anything is scored), cannot
            be read or has another size than its ground truth, or the masks are the ground truth.
        NothingToScore: no sequence or no object is left to be scored.
    """
    if protocol not in PROTOCOLS:
        raise InputError(
            f"unknown scoring protocol '{protocol}'{nearest_name(protocol, PROTOCOLS)}; "
            f"expected one of {', '.join(PROTOCOLS)}"
        )
    scorable = _scorable(sequences, masks_folder, protocol)
    count = _process_count(scorable, processes)
    if count == 1:
        scored = [_score(sequence, masks_folder, protocol) for sequence in scorable]
    else:
        scored = _score_in_processes(scorable, masks_folder, protocol, count)
    by_name = {of_sequence.name: of_sequence for of_sequence in scored}
    scores = DatasetScores(
        protocol,
        tuple(
            by_name.get(sequence.name) or _not_scored(sequence, protocol) for sequence in sequences
        ),
    )
    if not scores.objects:
        names = ", ".join(sequence.name for sequence in sequences[:3])
        raise NothingToScore(
            f"no object to score: the annotations of {names or 'no sequence'}"
            f"{' ...' if len(sequences) > 3 else ''} hold none for protocol '{protocol}'"
        )
    return scores


def score_sequence(sequence: VideoSequence, masks_folder: Path, *, protocol: str) -> SequenceScores:
    """Score one sequence in this process; errors as ``score_sequences``."""
    return score_sequences([sequence], masks_folder, protocol=protocol, processes=1).sequences[0]


def scored_frames(sequence: VideoSequence, protocol: str) -> dict[int, str]:
    """Return index -> name of the frames that are scored, in time order.

    There are none if too few frames are annotated, or if all of them are given.
    """
    end = None if PROTOCOLS[protocol].scores_last_frame else -1
    annotated = sorted(sequence.annotation_paths)[1:end]
    names = sequence.frame_names
    frames = {index: names[index] for index in annotated if sequence.is_written(names[index])}
    return frames if any(index not in sequence.given_objects for index in frames) else {}


def _scorable(
    sequences: Sequence[VideoSequence], masks_folder: Path, protocol: str
) -> list[VideoSequence]:
    """Return the sequences that have frames to score; all masks of these are there."""
    for sequence in sequences:
        _refuse_ground_truth(sequence, masks_folder)
    frames = {sequence.name: scored_frames(sequence, protocol) for sequence in sequences}
    scorable = [sequence for sequence in sequences if frames[sequence.name]]
    if sequences and not scorable:
        others = f" (nor can the {len(sequences) - 1} others)" if len(sequences) > 1 else ""
        raise NothingToScore(
            f"sequence '{sequences[0].name}' cannot be scored: "
            f"{_why_not_scored(sequences[0], protocol)}{others}"
        )
    require_predictions(
        prediction_path(masks_folder, sequence.name, name)
        for sequence in scorable
        for name in frames[sequence.name].values()
    )
    return scorable


def _why_not_scored(sequence: VideoSequence, protocol: str) -> str:
    count = len(sequence.annotation_paths)
    last = PROTOCOLS[protocol].scores_last_frame
    needed = 2 if last else 3
    if count < needed:
        left_out = "the first is" if last else "the first and the last are"
        return (
            f"it has {count} annotated frame{'' if count == 1 else 's'}, of which {left_out} "
            f"not scored; expected at least {needed}"
        )
    place = "after the first" if last else "between the first and the last"
    return (
        f"{place} of its {count} annotated frames none is among those whose masks are written and "
        "holds more than given objects"
    )


def _not_scored(sequence: VideoSequence, protocol: str) -> SequenceScores:
    reason = _why_not_scored(sequence, protocol)
    return SequenceScores(sequence.name, (), (), (f"not scored: {reason}",))


def _refuse_ground_truth(sequence: VideoSequence, masks_folder: Path) -> None:
    predictions = (masks_folder / sequence.name).resolve()
    folders = {path.parent for path in sequence.annotation_paths.values()}
    if predictions in {folder.resolve() for folder in folders}:
        raise InputError(
            f"the predicted masks and the ground truth of sequence '{sequence.name}' are the same "
            f"folder, {predictions}; give the folder that a method wrote its masks to"
        )


def _process_count(sequences: Sequence[VideoSequence], processes: int | None) -> int:
    if processes is None:
        frames = sum(len(sequence.annotation_paths) for sequence in sequences)
        processes = min(_available_cores(), frames // FRAMES_WORTH_A_PROCESS)
    return max(1, min(processes, len(sequences)))


def _available_cores() -> int:
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _score_in_processes(
    sequences: Sequence[VideoSequence], masks_folder: Path, protocol: str, processes: int
) -> list[SequenceScores]:
    # Spawned, because a forked child of a process with threads or a CUDA context may hang.
    with ProcessPoolExecutor(
        processes, mp_context=multiprocessing.get_context("spawn"), initializer=_use_one_thread
    ) as executor:
        # Longest first, so that no long sequence is left for the end.
        order = sorted(range(len(sequences)), key=lambda index: -len(sequences[index]))
        futures: dict[int, Future[SequenceScores]] = {
            index: executor.submit(_score, sequences[index], masks_folder, protocol)
            for index in order
        }
        try:
            return [futures[index].result() for index in range(len(sequences))]
        except BaseException:
            executor.shutdown(cancel_futures=True)
            raise


def _use_one_thread() -> None:
    cv2.setNumThreads(1)


def _score(sequence: VideoSequence, masks_folder: Path, protocol: str) -> SequenceScores:
    """Score a sequence frame by frame; every label map is read once."""
    rule: ScoringProtocol = PROTOCOLS[protocol]()
    rule.begin(sequence.annotation(min(sequence.annotation_paths)))
    frames = scored_frames(sequence, protocol)
    values: dict[int, list[tuple[str, float, float]]] = {}
    for index, name in frames.items():
        path = prediction_path(masks_folder, sequence.name, name)
        ground_truth, prediction = _label_maps(sequence, index, path)
        counted = rule.counted_objects(ground_truth, prediction)
        j, f = score_frame(ground_truth, prediction, counted)
        for object_id, j_of_object, f_of_object in zip(counted, j, f, strict=True):
            values.setdefault(object_id, []).append((name, j_of_object, f_of_object))
    seen = _seen_objects(sequence)
    objects = tuple(
        _object_scores(number, values[number], seen.get(number)) for number in rule.scored_objects()
    )
    notes = rule.notes() if objects else ["no object to score", *rule.notes()]
    return SequenceScores(sequence.name, tuple(frames.values()), objects, tuple(notes))


def _label_maps(sequence: VideoSequence, index: int, path: Path) -> tuple[np.ndarray, np.ndarray]:
    """Return ground truth and prediction of a frame, uint8 (H, W) each."""
    ground_truth = sequence.annotation(index)
    prediction = read_label_map(path)
    if prediction.shape != ground_truth.shape:
        (height, width), (true_height, true_width) = prediction.shape, ground_truth.shape
        raise InputError(
            f"predicted mask {path} is {width}x{height} pixels but its ground truth "
            f"{sequence.annotation_paths[index]} is {true_width}x{true_height}; "
            "predict at the size of the ground truth"
        )
    if sequence.merge_objects:
        # Everything but background is the object, also in masks of 0 and 255.
        prediction = (prediction > 0).astype(np.uint8)
    return ground_truth, prediction


def _seen_objects(sequence: VideoSequence) -> Mapping[int, bool]:
    """Return which objects are of a seen category; none if the benchmark has more annotations."""
    annotated = {sequence.frame_names[index] for index in sequence.annotation_paths}
    complete = sequence.written_frames is None or sequence.written_frames <= annotated
    return sequence.seen_objects if complete else {}


def _object_scores(
    object_id: int, values: list[tuple[str, float, float]], seen: bool | None
) -> ObjectScores:
    frames, j, f = zip(*values, strict=True)
    return ObjectScores(object_id, frames, np.array(j), np.array(f), seen)

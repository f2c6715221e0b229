"""Scoring protocols: which objects count on which of the scored frames.

- ``davis``, as the official davis2017-evaluation (semi-supervised): the objects 1..n on every
  scored frame, n the highest id of the first annotation. While an object is hidden, predicting
  nothing counts as J = F = 1.
- ``youtube``, as vos-benchmark: an object counts from the first scored frame on which the ground
  truth or the prediction contains it, so that hidden frames before it do not affect its score.
  The frame on which a later object is given counts like the others.

- ``youtube-vos``, as the YouTube-VOS benchmark describes it (the server's code is not public): an
  object counts from the frame after the one on which the annotations first show it, whose mask is
  given. Only the first annotated frame is left out.

The first two leave out the first and the last annotated frame. An object that is visible on frame 0
only, then hidden, then visible again therefore counts from frame 1 in ``davis`` and from its return
in ``youtube``: a score means little without the name of its protocol.

In a prediction, void and objects that are not in the ground truth are ignored, and a note says so.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import ClassVar, Protocol

import numpy as np

from scmn.data.masks import VOID, object_ids


class ScoringProtocol(Protocol):
    """Decides, frame by frame, which objects of one sequence count."""

    scores_last_frame: ClassVar[bool]
    """Whether the last annotated frame counts; the first never does."""

    def begin(self, first_annotation: np.ndarray) -> None:
        """Take the label map of the first annotated frame, uint8 (H, W)."""
        ...

    def counted_objects(self, ground_truth: np.ndarray, prediction: np.ndarray) -> Sequence[int]:
        """Return the ids that count on this frame; label maps uint8 (H, W) each."""
        ...

    def scored_objects(self) -> Sequence[int]:
        """Return, after the last frame, the ids of the sequence's scored objects."""
        ...

    def notes(self) -> list[str]:
        """Return, after the last frame, remarks on the score."""
        ...


class DavisProtocol:
    """Objects 1..n of the first annotation, on every scored frame."""

    scores_last_frame: ClassVar[bool] = False

    def __init__(self) -> None:
        self._objects: tuple[int, ...] = ()
        self._never_annotated: set[int] = set()
        self._ignored: Counter[int] = Counter()

    def begin(self, first_annotation: np.ndarray) -> None:
        present = object_ids(first_annotation)
        self._objects = tuple(range(1, max(present, default=0) + 1))
        self._never_annotated = set(self._objects).difference(present)

    def counted_objects(self, ground_truth: np.ndarray, prediction: np.ndarray) -> Sequence[int]:
        if prediction.max() > len(self._objects):
            self._ignored.update(_labels_not_in(self._objects, prediction))
        if self._never_annotated:
            self._never_annotated.difference_update(object_ids(ground_truth))
        return self._objects

    def scored_objects(self) -> Sequence[int]:
        return self._objects

    def notes(self) -> list[str]:
        notes = [
            f"object {object_id} is in no annotation, yet counts: ids go from 1 to the highest"
            for object_id in sorted(self._never_annotated)
        ]
        return notes + _notes_of_ignored(self._ignored)


class YoutubeProtocol:
    """Every object of the scored ground truth, from where it first appears."""

    scores_last_frame: ClassVar[bool] = False

    def __init__(self) -> None:
        self._given: tuple[int, ...] = ()
        self._started: set[int] = set()
        self._annotated: set[int] = set()
        self._predicted: Counter[int] = Counter()

    def begin(self, first_annotation: np.ndarray) -> None:
        self._given = object_ids(first_annotation)

    def counted_objects(self, ground_truth: np.ndarray, prediction: np.ndarray) -> Sequence[int]:
        annotated = object_ids(ground_truth)
        predicted = object_ids(prediction)
        self._annotated.update(annotated)
        self._started.update(annotated, predicted)
        self._predicted.update(predicted)
        return sorted(self._started)

    def scored_objects(self) -> Sequence[int]:
        return sorted(self._annotated)

    def notes(self) -> list[str]:
        notes = [
            f"object {object_id} is never visible after the first annotated frame: not scored"
            for object_id in self._given
            if object_id not in self._annotated
        ]
        ignored = {
            object_id: frames
            for object_id, frames in self._predicted.items()
            if object_id not in self._annotated and object_id not in self._given
        }
        return notes + _notes_of_ignored(Counter(ignored))


class YoutubeVosProtocol:
    """Every annotated object, after the frame on which it is given."""

    scores_last_frame: ClassVar[bool] = True

    def __init__(self) -> None:
        self._given: set[int] = set()
        self._counted: set[int] = set()
        self._ignored: Counter[int] = Counter()

    def begin(self, first_annotation: np.ndarray) -> None:
        self._given.update(object_ids(first_annotation))

    def counted_objects(self, ground_truth: np.ndarray, prediction: np.ndarray) -> Sequence[int]:
        counted = sorted(self._given)
        self._counted.update(counted)
        self._given.update(object_ids(ground_truth))
        self._ignored.update(_labels_not_in(self._given, prediction))
        return counted

    def scored_objects(self) -> Sequence[int]:
        return sorted(self._counted)

    def notes(self) -> list[str]:
        notes = [
            f"object {object_id} first appears on the last annotated frame: not scored"
            for object_id in sorted(self._given - self._counted)
        ]
        return notes + _notes_of_ignored(self._ignored)


PROTOCOLS: dict[str, type[ScoringProtocol]] = {
    "davis": DavisProtocol,
    "youtube": YoutubeProtocol,
    "youtube-vos": YoutubeVosProtocol,
}


def _labels_not_in(objects: Iterable[int], prediction: np.ndarray) -> set[int]:
    return {int(label) for label in np.unique(prediction)}.difference(objects, (0,))


def _notes_of_ignored(ignored: Counter[int]) -> list[str]:
    return [
        f"{'void (255)' if label == VOID else f'object {label}'} of the predictions is not in the "
        f"ground truth: ignored on {frames} frame{'s' if frames > 1 else ''}"
        for label, frames in sorted(ignored.items())
    ]

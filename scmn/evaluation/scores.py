"""Scores of objects, sequences and data sets, and what benchmarks call their results."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from scmn.evaluation.metrics import Statistics, statistics

NO_G = (
    "no G: it needs objects of seen and unseen categories, which meta.json and train/meta.json "
    "name, and annotations of all frames that meta.json lists"
)


@dataclass(frozen=True)
class ObjectScores:
    """J and F of one object on the frames where it counts."""

    object_id: int
    frames: tuple[str, ...]
    """Names of the frames where the object counts, T of them."""
    region_similarity: np.ndarray
    """J, float64 (T,), in [0, 1]."""
    contour_accuracy: np.ndarray
    """F, float64 (T,), in [0, 1]."""
    seen: bool | None = None
    """Whether the training split has the object's category; None if that is not known, or not every
    frame that the benchmark evaluates is annotated."""

    @cached_property
    def j(self) -> Statistics:
        return statistics(self.region_similarity)

    @cached_property
    def f(self) -> Statistics:
        return statistics(self.contour_accuracy)


@dataclass(frozen=True)
class SequenceScores:
    """Scores of the objects of one sequence, by id."""

    name: str
    frames: tuple[str, ...]
    """Names of all scored frames."""
    objects: tuple[ObjectScores, ...]
    notes: tuple[str, ...] = ()
    """Remarks on the scores, such as predicted objects that were ignored."""


@dataclass(frozen=True)
class DatasetScores:
    """Scores of all sequences, in the data set's order.

    Sequences that could not be scored have no frames and no objects.
    """

    protocol: str
    sequences: tuple[SequenceScores, ...]

    @property
    def objects(self) -> tuple[ObjectScores, ...]:
        return tuple(scores for sequence in self.sequences for scores in sequence.objects)

    @property
    def notes(self) -> tuple[str, ...]:
        notes = tuple(
            f"{sequence.name}: {note}" for sequence in self.sequences for note in sequence.notes
        )
        if self.protocol == "youtube-vos" and self.youtube_vos is None:
            return (*notes, NO_G)
        return notes

    @cached_property
    def summary(self) -> dict[str, float]:
        """The official global results: means over all objects of all sequences.

        ``J&F-Mean`` is the mean of ``J-Mean`` and ``F-Mean``.
        """
        j = [scores.j for scores in self.objects]
        f = [scores.f for scores in self.objects]
        measures = {
            f"{letter}-{name.capitalize()}": float(
                np.mean([getattr(of_object, name) for of_object in values])
            )
            for letter, values in (("J", j), ("F", f))
            for name in ("mean", "recall", "decay")
        }
        return {"J&F-Mean": (measures["J-Mean"] + measures["F-Mean"]) / 2, **measures}

    @cached_property
    def youtube_vos(self) -> dict[str, float] | None:
        """The YouTube-VOS benchmark's results: G, and the four means whose mean it is.

        ``J-Seen`` and ``F-Seen`` are means over all objects of categories that the training split
        has, ``J-Unseen`` and ``F-Unseen`` over the others. None if an object's category or a frame
        of the benchmark is not known, or if there are no objects of one kind.

        Source: Xu et al., "YouTube-VOS: A Large-Scale Video Object Segmentation Benchmark" (2018),
        section 5.
        """
        groups = {
            name: [scores for scores in self.objects if scores.seen is seen]
            for name, seen in (("Seen", True), ("Unseen", False))
        }
        known = sum(map(len, groups.values()))
        if self.protocol != "youtube-vos" or known < len(self.objects) or not all(groups.values()):
            return None
        means = {
            f"{letter}-{name}": float(
                np.mean([getattr(scores, letter.lower()).mean for scores in objects])
            )
            for letter in ("J", "F")
            for name, objects in groups.items()
        }
        return {"G": float(np.mean(list(means.values()))), **means}

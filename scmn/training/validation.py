"""Validation during training: J&F through the same loop as eval.py."""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from scmn.data.datasets import Dataset, open_dataset
from scmn.data.sequences import VideoSequence
from scmn.errors import InputError
from scmn.evaluation.evaluator import Evaluator
from scmn.evaluation.scores import DatasetScores, SequenceScores
from scmn.evaluation.scoring import NothingToScore, scored_frames
from scmn.inference.memory.settings import MemorySettings
from scmn.inference.segmenter import VideoSegmenter
from scmn.inference.settings import Precision
from scmn.networks.base import MemoryNetwork
from scmn.processes import Processes
from scmn.training.settings import ValidationSettings


@dataclass(frozen=True)
class Validation:
    """A validation set and the settings of inference on it."""

    dataset: Dataset
    size: int | None
    memory: MemorySettings | Mapping[str, Any]
    precision: Precision

    @staticmethod
    def open(
        settings: ValidationSettings,
        memory: MemorySettings | Mapping[str, Any],
        precision: Precision,
    ) -> Validation | None:
        """Open the validation set; None if the run has none.

        Raises:
            InputError: it is missing, or nothing of it can be scored.
        """
        if settings.every is None:
            return None
        assert settings.dataset is not None
        assert settings.root is not None
        names = settings.sequences or None
        dataset = open_dataset(settings.dataset, Path(settings.root), names)
        if not dataset.annotated:
            raise InputError(f"training.validation: {settings.dataset} has no annotations to score")
        if settings.max_frames is not None:
            shortened = tuple(_first(s, settings.max_frames) for s in dataset.sequences)
            dataset = replace(dataset, sequences=shortened)
        if not any(scored_frames(s, dataset.protocol) for s in dataset.sequences):
            raise InputError(
                f"training.validation: no frame of {settings.dataset} can be scored"
                + ("" if settings.max_frames is None else f" with max_frames {settings.max_frames}")
            )
        size = settings.size if settings.size is not None else dataset.size
        return Validation(dataset, size, memory, precision)

    def run(self, network: MemoryNetwork, processes: Processes) -> dict[str, float]:
        """Segment and score with the network as it is now, sharing the sequences out.

        Args:
            network: the first process's norm statistics replace those of the others, which have
                seen other clips.
            processes: all of them must call this.

        Returns:
            J, F and their mean by name, in 0..1: the same in every process, whatever their number.

        Raises:
            InputError: one that any process met.
        """
        processes.share_buffers(network)
        with processes.share_errors():
            own = self._scores_of(processes.claim(self.dataset.sequences), network, processes)
        by_name = {name: s for scores in processes.gather(own) for name, s in scores.items()}
        if not by_name:
            raise InputError("training.validation: no sequence has frames and objects to score")
        # In the data set's order: sums depend on it.
        scored = [by_name[s.name] for s in self.dataset.sequences if s.name in by_name]
        summary = DatasetScores(self.dataset.protocol, tuple(scored)).summary
        return {"J&F": summary["J&F-Mean"], "J": summary["J-Mean"], "F": summary["F-Mean"]}

    def _scores_of(
        self, sequences: Iterable[VideoSequence], network: MemoryNetwork, processes: Processes
    ) -> dict[str, SequenceScores]:
        """Segment and score this process's sequences; those that cannot be scored are left out."""
        segmenter = VideoSegmenter(
            network,
            memory=self.memory,
            size=self.size,
            upscale=self.dataset.upscale,
            device=processes.device,
            precision=self.precision,
        )
        scores = {}
        with tempfile.TemporaryDirectory() as folder:
            for sequence in sequences:
                alone = replace(self.dataset, sequences=(sequence,))
                evaluator = Evaluator(alone, Path(folder), pictures=False, scoring_processes=1)
                evaluator.segment(segmenter)
                with contextlib.suppress(NothingToScore):
                    scores[sequence.name] = evaluator.score().sequences[0]
        return scores


def _first(sequence: VideoSequence, frames: int) -> VideoSequence:
    kept = {index: path for index, path in sequence.annotation_paths.items() if index < frames}
    return replace(sequence, image_paths=sequence.image_paths[:frames], annotation_paths=kept)

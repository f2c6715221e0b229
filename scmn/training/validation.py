"""Validation during training: J&F through the same loop as eval.py."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import torch

from scmn.data.datasets import Dataset, open_dataset
from scmn.data.sequences import VideoSequence
from scmn.errors import InputError
from scmn.evaluation.evaluator import Evaluator
from scmn.inference.segmenter import VideoSegmenter
from scmn.networks.base import MemoryNetwork
from scmn.training.settings import ValidationSettings


@dataclass(frozen=True)
class Validation:
    """A validation set and the settings of inference on it."""

    dataset: Dataset
    size: int | None
    memory: Mapping[str, object]
    precision: str

    @staticmethod
    def open(
        settings: ValidationSettings, memory: Mapping[str, object], precision: str
    ) -> Validation | None:
        """Open the validation set; None if the run has none.

        Raises:
            InputError: it is missing, has no annotations, or its settings are incomplete.
        """
        if settings.every is None:
            return None
        if settings.dataset is None or settings.root is None:
            raise InputError("training.validation needs dataset and root (or every: null)")
        names = settings.sequences or None
        dataset = open_dataset(settings.dataset, Path(settings.root), names)
        if not dataset.annotated:
            raise InputError(f"training.validation: {settings.dataset} has no annotations to score")
        if settings.max_frames is not None:
            shortened = tuple(_first(s, settings.max_frames) for s in dataset.sequences)
            dataset = replace(dataset, sequences=shortened)
        size = settings.size if settings.size is not None else dataset.size
        return Validation(dataset, size, memory, precision)

    def run(self, network: MemoryNetwork, device: torch.device) -> dict[str, float]:
        """Segment and score with the network as it is now; J, F and their mean by name, in 0..1."""
        segmenter = VideoSegmenter(
            network, memory=self.memory, size=self.size, device=device, precision=self.precision
        )
        with tempfile.TemporaryDirectory() as folder:
            evaluator = Evaluator(self.dataset, Path(folder), pictures=False, scoring_processes=1)
            evaluator.segment(segmenter)
            summary = evaluator.score().summary
        return {"J&F": summary["J&F-Mean"], "J": summary["J-Mean"], "F": summary["F-Mean"]}


def _first(sequence: VideoSequence, frames: int) -> VideoSequence:
    kept = {index: path for index, path in sequence.annotation_paths.items() if index < frames}
    return replace(sequence, image_paths=sequence.image_paths[:frames], annotation_paths=kept)

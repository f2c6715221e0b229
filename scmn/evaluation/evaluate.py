"""An evaluation from settings to result files: build the network, segment, score, write."""

from __future__ import annotations

import logging
from collections.abc import Collection, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch

from scmn import __version__
from scmn.build import build_model
from scmn.config import Config, check_config, load_config
from scmn.errors import InputError
from scmn.evaluation.evaluator import Evaluator
from scmn.evaluation.run_folder import SequenceRecord
from scmn.evaluation.scores import DatasetScores
from scmn.evaluation.scoring import NothingToScore
from scmn.evaluation.summary import Speed
from scmn.evaluation.tasks import Task
from scmn.inference.augmentation import AugmentedSegmenter
from scmn.inference.base import Segmenter
from scmn.inference.memory.settings import complete_settings
from scmn.inference.segmenter import VideoSegmenter
from scmn.networks.base import MemoryNetwork
from scmn.networks.registry import MODELS
from scmn.output_lock import output_lock
from scmn.processes import Processes
from scmn.weights.files import DEFAULT_WEIGHTS, WeightsFile, read_weights

logger = logging.getLogger(__name__)

RANDOM_SEED = 0
"""Seed of weights that are not loaded, so that the run can be resumed."""


@dataclass(frozen=True)
class Result:
    """Outcome of an evaluation."""

    records: tuple[SequenceRecord, ...]
    speed: Speed
    scores: DatasetScores | None
    files: tuple[Path, ...]


def load_settings(
    path: Path | str | None, overrides: Sequence[str], weights: Path | str | None
) -> tuple[Config, WeightsFile | None]:
    """Load the configuration and read the weights.

    If neither ``path`` nor ``overrides`` name a model, the weights do (None: the bundled ones).

    Raises:
        InputError: the configuration or the file is wrong, or nothing names a model.
    """
    config = load_config(path, overrides)
    file: WeightsFile | None = None
    if path is None and not any(override.startswith("model.name=") for override in overrides):
        file = read_weights(weights or DEFAULT_WEIGHTS)
        if file.description is None:
            raise InputError(
                f"{file.path} does not name its model: give --config, such as configs/stm.yaml"
            )
        config.model.name = file.description.name
    name = config.model.name
    if name not in MODELS:
        build_model(name)  # reports the unknown name
    if weights is not None and file is None:
        file = read_weights(weights, model=name)
    return config, file


def evaluate(
    task: Task,
    config: Config,
    output: Path,
    *,
    weights: WeightsFile | None = None,
    exports: Collection[str] = (),
    processes: Processes,
) -> Result | None:
    """Segment the task's sequences, score the masks and write the results to ``output``.

    Call it again with the same settings and inputs to resume an interrupted run. Others are
    refused, and so is whatever would replace a file that no evaluation has written to ``output``.

    Returns:
        The result, or None in processes other than the first.

    Raises:
        InputError: the user's mistake, in one line; that of one process is raised in all of them,
            once the others have finished their sequences.
    """
    with processes.share_errors():
        config = check_config(config)
        plan = _Plan(task, config, weights)
        network = plan.network()
        segmenter = plan.segmenter(network, processes.device)
        evaluator = Evaluator(
            task.data,
            output,
            settings=plan.settings(network, segmenter.precision),
            direction=config.evaluation.direction,
            exports=exports,
            scoring_processes=config.evaluation.processes,
        )
        if weights is None and processes.first:
            logger.warning("no --weights: the network is random, and so are its masks")
    with output_lock(output, processes):
        with processes.share_errors():
            evaluator.segment(segmenter, processes, show_progress=True)
        with processes.share_errors():
            return _finish(evaluator, plan) if processes.first else None


@dataclass(frozen=True)
class _Plan:
    """What is segmented with which network, and how."""

    task: Task
    config: Config
    weights: WeightsFile | None

    @property
    def size(self) -> int | None:
        """Shorter side that frames are scaled down to (None: they keep their size)."""
        chosen = self.config.evaluation.size
        return (self.task.size if chosen is None else chosen) or None

    @property
    def upscale(self) -> bool:
        """Whether smaller frames are scaled up to that size."""
        chosen = self.config.evaluation.upscale
        return self.task.upscale if chosen is None else chosen

    def network(self) -> MemoryNetwork:
        torch.manual_seed(RANDOM_SEED)
        return build_model(
            self.config.model.name,
            backbone=self.config.model.backbone,
            weights=self.weights,
            **self.config.model.switches,
        )

    def segmenter(self, network: MemoryNetwork, device: torch.device) -> Segmenter:
        evaluation = self.config.evaluation
        settings: dict[str, Any] = {
            "memory": self.config.memory,
            "size": self.size,
            "upscale": self.upscale,
            "device": device,
            "precision": evaluation.precision,
            "compile": evaluation.compile,
            "objects_per_batch": evaluation.objects_per_batch,
            "max_objects": evaluation.max_objects,
        }
        augmentation = evaluation.augmentation
        if augmentation.flip or list(augmentation.scales) != [1.0]:
            return AugmentedSegmenter(
                network, flip=augmentation.flip, scales=augmentation.scales, **settings
            )
        return VideoSegmenter(network, **settings)

    def settings(self, network: MemoryNetwork, precision: str) -> dict[str, Any]:
        """Everything that the masks of all sequences depend on, JSON values by name.

        What those of a single sequence depend on is in its ``SequenceInput``.
        """
        evaluation = self.config.evaluation
        return {
            "version": __version__,
            "data": self.task.name,
            "from": str(self.task.folder),
            "model": asdict(self.config.model),
            "weights": "random" if self.weights is None else self.weights.digest,
            "memory": asdict(complete_settings(self.config.memory, network.memory_defaults)),
            "size": self.size,
            "upscale": self.upscale,
            "precision": precision,
            "direction": evaluation.direction,
            "compiled": evaluation.compile,
            "augmentation": asdict(evaluation.augmentation),
        }


def _finish(evaluator: Evaluator, plan: _Plan) -> Result:
    """Score the masks and write the result files."""
    data, model = plan.task.name, plan.config.model.name
    records = evaluator.records()
    speed = Speed.of_records(records)
    facts = {
        "data": data,
        "model": model,
        "weights": "random" if plan.weights is None else plan.weights.path.name,
        "scaled to": str(plan.size or "as stored"),
        **speed.facts(),
    }
    scores = None
    if evaluator.dataset is not None:
        try:
            scores = evaluator.score()
        except NothingToScore as reason:
            facts["no scores"] = str(reason)
    files = evaluator.write(
        scores,
        title=f"{model.upper()} on {data}",
        split=data if evaluator.dataset is None else evaluator.dataset.split,
        facts=facts,
        records=records,
    )
    return Result(records, speed, scores, files)


def rescore(
    masks: Path,
    task: Task,
    *,
    output: Path | None = None,
    scoring_processes: int | None = None,
) -> tuple[DatasetScores, tuple[Path, ...]]:
    """Score ``masks/<sequence>/<frame>.png``, written by any method, and write the result files.

    Args:
        masks: folder with a folder of label PNGs for each sequence.
        task: the data set with the annotations.
        output: where the result files go (None: into ``masks``, as the official tool does).
        scoring_processes: see ``Evaluator``.

    Returns:
        The scores and the files that were written.

    Raises:
        InputError: masks are missing or do not fit, no sequence has annotations to score with, or
            a result file would replace one that no evaluation has written.
    """
    if not masks.is_dir():
        raise InputError(f"folder of masks not found: {masks}")
    evaluator = Evaluator(
        task.data, output or masks, masks=masks, scoring_processes=scoring_processes
    )
    assert evaluator.dataset is not None
    with output_lock(evaluator.folder.path, Processes(torch.device("cpu"))):
        evaluator.check_results()
        evaluator.folder.begin([], None)
        try:
            scores = evaluator.score()
        except NothingToScore as error:
            raise InputError(f"{task.name} cannot be scored: {error}") from error
        files = evaluator.write(
            scores,
            title=f"{masks.name} on {task.name}",
            split=evaluator.dataset.split,
            facts={"data": task.name, "masks": str(masks)},
        )
    return scores, files

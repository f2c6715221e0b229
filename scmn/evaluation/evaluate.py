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
        size = _size(task, config)
        network = _build_network(config, weights)
        segmenter = _segmenter(task, config, network, size, processes.device)
        evaluator = Evaluator(
            task.data,
            output,
            settings=_settings(task, config, network, weights, size, segmenter.precision),
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
            return _finish(evaluator, task, config, weights, size) if processes.first else None


def _build_network(config: Config, weights: WeightsFile | None) -> MemoryNetwork:
    torch.manual_seed(RANDOM_SEED)
    return build_model(
        config.model.name,
        backbone=config.model.backbone,
        weights=weights,
        **config.model.switches,
    )


def _size(task: Task, config: Config) -> int | None:
    size = config.evaluation.size if config.evaluation.size is not None else task.size
    return size or None


def _upscale(task: Task, config: Config) -> bool:
    chosen = config.evaluation.upscale
    return task.upscale if chosen is None else chosen


def _segmenter(
    task: Task, config: Config, network: MemoryNetwork, size: int | None, device: torch.device
) -> Segmenter:
    settings: dict[str, Any] = {
        "memory": config.memory,
        "size": size,
        "upscale": _upscale(task, config),
        "device": device,
        "precision": config.evaluation.precision,
        "compile": config.evaluation.compile,
        "objects_per_batch": config.evaluation.objects_per_batch,
        "max_objects": config.evaluation.max_objects,
    }
    augmentation = config.evaluation.augmentation
    if augmentation.flip or list(augmentation.scales) != [1.0]:
        return AugmentedSegmenter(
            network, flip=augmentation.flip, scales=augmentation.scales, **settings
        )
    return VideoSegmenter(network, **settings)


def _settings(
    task: Task,
    config: Config,
    network: MemoryNetwork,
    weights: WeightsFile | None,
    size: int | None,
    precision: str,
) -> dict[str, Any]:
    """Everything that the masks of all sequences depend on; ``SequenceInput`` has each one's."""
    return {
        "version": __version__,
        "data": task.name,
        "from": str(task.folder),
        "model": asdict(config.model),
        "weights": "random" if weights is None else weights.digest,
        "memory": asdict(complete_settings(config.memory, network.memory_defaults)),
        "size": size,
        "upscale": _upscale(task, config),
        "precision": precision,
        "direction": config.evaluation.direction,
        "compiled": config.evaluation.compile,
        "augmentation": asdict(config.evaluation.augmentation),
    }


def _finish(
    evaluator: Evaluator,
    task: Task,
    config: Config,
    weights: WeightsFile | None,
    size: int | None,
) -> Result:
    """Score the masks and write the result files."""
    records = evaluator.records()
    speed = Speed.of_records(records)
    facts = {
        "data": task.name,
        "model": config.model.name,
        "weights": "random" if weights is None else weights.path.name,
        "scaled to": str(size or "as stored"),
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
        title=f"{config.model.name.upper()} on {task.name}",
        split=task.name if evaluator.dataset is None else evaluator.dataset.split,
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

"""An evaluation from beginning to end: build, segment, score, write files."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from tqdm import tqdm
from tqdm.contrib.logging import logging_redirect_tqdm

from scmn import __version__
from scmn.build import build_model
from scmn.config import Config, load_config
from scmn.data.datasets import Dataset
from scmn.data.sequences import FrameSource
from scmn.errors import InputError
from scmn.evaluation.archives import write_submission
from scmn.evaluation.fingerprint import fingerprint
from scmn.evaluation.ranks import ALONE, Rank
from scmn.evaluation.report import Picture, write_report
from scmn.evaluation.run_folder import RunFolder, SequenceRecord
from scmn.evaluation.runner import SequenceRunner
from scmn.evaluation.score_files import write_results
from scmn.evaluation.scores import DatasetScores, NothingToScore, score_sequences
from scmn.evaluation.speed import Speed
from scmn.inference.augmentation import AugmentedSegmenter
from scmn.inference.devices import resolve_device
from scmn.inference.segmenter import VideoSegmenter
from scmn.networks.base import MemoryNetwork
from scmn.networks.registry import MODELS
from scmn.weights.files import read_weights
from scmn.weights.released import DEFAULT_MODEL, find_weights

logger = logging.getLogger(__name__)

RANDOM_SEED = 0
"""Weights that are not loaded are drawn with this seed, so that a run can be resumed."""


@dataclass(frozen=True)
class Evaluation:
    """What is segmented and where the results go."""

    name: str
    sources: Sequence[FrameSource]
    output: Path
    dataset: Dataset | None = None
    """The data set that the sources are, for its protocol of size, scores and archive."""
    size: int | None = None
    """Shorter side where the configuration names none."""
    weights: Path | None = None
    overlay: bool = False


@dataclass(frozen=True)
class Result:
    """What an evaluation gave."""

    records: tuple[SequenceRecord, ...]
    speed: Speed
    scores: DatasetScores | None = None
    files: tuple[Path, ...] = field(default=())


def resolve_config(path: Path | None, overrides: Sequence[str], weights: Path | None) -> Config:
    """Load the configuration on top of the model's memory policy.

    Without ``path`` the model is the one that the weights name.

    Raises:
        InputError: a wrong configuration, or nothing that names a model.
    """
    config = load_config(path, overrides)
    if path is None and not names_model(overrides):
        overrides = [f"model.name={_model_of(weights)}", *overrides]
        config = load_config(path, overrides)
    if config.model.name not in MODELS:
        build_model(config.model.name)  # reports the unknown name
    return config


def names_model(overrides: Sequence[str]) -> bool:
    """Whether overrides of the configuration say which model it is."""
    return any(override.startswith("model.name=") for override in overrides)


def _model_of(weights: Path | None) -> str:
    description = None
    if weights is not None:
        description = read_weights(find_weights(weights, DEFAULT_MODEL)).description
    if description is None:
        raise InputError(
            "which model? give --config (such as configs/stm.yaml), or --weights with a "
            "published file or one that scmn wrote"
        )
    return description.name


def evaluate(evaluation: Evaluation, config: Config, rank: Rank = ALONE) -> Result | None:
    """Run an evaluation; the sequences are shared out over the ranks (see ``torchrun_rank``).

    An interrupted run goes on where it stopped when called again with the same settings; sequences
    whose frames or given masks have changed since are run anew.

    Returns:
        The result, or None on ranks other than the first.

    Raises:
        InputError: the user's mistake, in one line; that of one rank is raised in all of them,
            when the others are through with their sequences.
    """
    folder = RunFolder(evaluation.output)
    with rank.together():
        device = resolve_device(rank.device(config.evaluation.device))
        segmenter = _segmenter(_model(evaluation, config), config, evaluation, device)
        if rank.first:
            folder.begin(_identity(evaluation, config))
            if evaluation.weights is None:
                logger.warning("no --weights: the network is random, and so are its masks")
    with rank.together():
        _segment(evaluation, config, folder, segmenter, device, rank)
    with rank.together():
        return _finish(evaluation, config, folder) if rank.first else None


def _model(evaluation: Evaluation, config: Config) -> MemoryNetwork:
    torch.manual_seed(RANDOM_SEED)
    return build_model(
        config.model.name,
        backbone=config.model.backbone,
        weights=evaluation.weights,
        **config.model.switches,
    )


def _size(evaluation: Evaluation, config: Config) -> int | None:
    size = config.evaluation.size if config.evaluation.size is not None else evaluation.size
    if size is not None and size < 0:
        raise InputError(f"size must be positive, or 0 for the frames' own, not {size}")
    return size or None


def _segmenter(
    model: MemoryNetwork, config: Config, evaluation: Evaluation, device: torch.device
) -> VideoSegmenter | AugmentedSegmenter:
    settings: dict[str, Any] = {
        "memory": config.memory,
        "size": _size(evaluation, config),
        "device": device,
        "precision": config.evaluation.precision,
        "compile": config.evaluation.compile,
        "objects_per_batch": config.evaluation.objects_per_batch,
        "max_objects": config.evaluation.max_objects,
    }
    augmentation = config.evaluation.augmentation
    if augmentation.flip or list(augmentation.scales) != [1.0]:
        return AugmentedSegmenter(
            model, flip=augmentation.flip, scales=augmentation.scales, **settings
        )
    return VideoSegmenter(model, **settings)


def _identity(evaluation: Evaluation, config: Config) -> dict[str, Any]:
    """Everything that the masks of all sequences depend on; see ``fingerprint`` for each one's."""
    weights = "random"
    if evaluation.weights is not None:
        weights = hashlib.sha256(evaluation.weights.read_bytes()).hexdigest()[:16]
    return {
        "version": __version__,
        "data": evaluation.name,
        "model": asdict(config.model),
        "weights": weights,
        "memory": {**MODELS[config.model.name].memory_defaults, **config.memory},
        "size": _size(evaluation, config),
        "precision": config.evaluation.precision,
        "compiled": config.evaluation.compile,
        "augmentation": asdict(config.evaluation.augmentation),
    }


def _segment(
    evaluation: Evaluation,
    config: Config,
    folder: RunFolder,
    segmenter: VideoSegmenter | AugmentedSegmenter,
    device: torch.device,
    rank: Rank,
) -> None:
    """Segment this rank's sequences that are not complete yet."""
    pending = [
        source
        for source in rank.share(evaluation.sources)
        if _record(evaluation, folder, source) is None
    ]
    frames = sum(len(source) for source in pending)
    with (
        logging_redirect_tqdm(),
        tqdm(total=frames, unit="frame", disable=not rank.first or not frames) as bar,
    ):
        runner = SequenceRunner(
            segmenter,
            device,
            folder,
            precision=config.evaluation.precision,
            processes=rank.count,
            write_overlay=evaluation.overlay,
            on_frame=bar.update,
        )
        for source in pending:
            bar.set_description(source.name)
            runner.run(source)


def _record(
    evaluation: Evaluation, folder: RunFolder, source: FrameSource
) -> SequenceRecord | None:
    """Return the record of a sequence that needs not be run."""
    return folder.complete(source.name, fingerprint=fingerprint(source), overlay=evaluation.overlay)


def _finish(evaluation: Evaluation, config: Config, folder: RunFolder) -> Result:
    """Score what was written and write the result files."""
    records = []
    for source in evaluation.sources:
        record = _record(evaluation, folder, source)
        if record is None:
            raise InputError(
                f"while this ran, the frames or masks of '{source.name}' changed, or its results "
                f"in {folder.path} were removed; run the same command again"
            )
        records.append(record)
    speed = Speed.of_records(records)
    dataset = evaluation.dataset
    facts = {
        "data": evaluation.name,
        "model": config.model.name,
        "weights": "random" if evaluation.weights is None else evaluation.weights.name,
        "scaled to": str(_size(evaluation, config) or "as stored"),
        **speed.facts(),
    }
    files: list[Path] = []
    scores = None
    if dataset is not None:
        try:
            scores = score_sequences(
                dataset.sequences,
                folder.masks,
                protocol=dataset.protocol,
                processes=config.evaluation.processes,
            )
        except NothingToScore as reason:
            facts["no scores"] = str(reason)
    if dataset is not None and dataset.archive is not None:
        archive = folder.path / f"{dataset.name}.zip"
        write_submission(archive, dataset.sequences, folder.masks, archive=dataset.archive)
        files.append(archive)
    split = evaluation.name if dataset is None else dataset.split
    files += write_results(folder.path, scores, split=split, facts=facts, records=records)
    report = folder.path / "report.html"
    pictures = [Picture(r.name, folder.picture(r.name)) for r in records]
    pictures = [p for p in pictures if isinstance(p.image, Path) and p.image.is_file()]
    write_report(
        report,
        title=f"{config.model.name.upper()} on {evaluation.name}",
        facts=facts,
        scores=scores,
        pictures=pictures,
    )
    return Result(tuple(records), speed, scores, (*files, report))

"""An evaluation from beginning to end: build, segment, score, write files."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from tqdm import tqdm
from tqdm.contrib.logging import logging_redirect_tqdm

from scmn.build import build_model
from scmn.config import Config, MemorySettings, load_config
from scmn.data.datasets import Dataset
from scmn.data.sequences import FrameSource
from scmn.errors import InputError
from scmn.evaluation.archives import write_submission
from scmn.evaluation.ranks import Rank, torchrun_rank
from scmn.evaluation.report import Picture, write_report
from scmn.evaluation.run_folder import RunFolder, SequenceRecord
from scmn.evaluation.runner import SequenceRunner
from scmn.evaluation.score_files import write_results
from scmn.evaluation.scores import DatasetScores, score_sequences
from scmn.evaluation.speed import Speed
from scmn.inference.augmentation import AugmentedSegmenter
from scmn.inference.devices import resolve_device
from scmn.inference.segmenter import VideoSegmenter
from scmn.networks.base import MemoryNetwork
from scmn.networks.registry import MODELS
from scmn.weights import read_weights

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
    """Load the configuration on top of the network's published memory policy.

    Without ``path`` the model is the one that the weights file names.

    Raises:
        InputError: a wrong configuration, or nothing that names a model.
    """
    config = load_config(path, overrides)
    if path is None and not any(o.startswith("model.name=") for o in overrides):
        description = None if weights is None else read_weights(weights).description
        if description is None:
            raise InputError(
                "which model? give --config (such as configs/stm.yaml), or --weights with a "
                "published file or one that scmn wrote"
            )
        overrides = [f"model.name={description.name}", *overrides]
        config = load_config(path, overrides)
    if config.model.name not in MODELS:
        build_model(config.model.name)  # reports the unknown name
    defaults: dict[str, Any] = dict(MODELS[config.model.name].network.memory_defaults)
    return load_config(path, overrides, Config(memory=MemorySettings(**defaults)))


def evaluate(evaluation: Evaluation, config: Config) -> Result | None:
    """Run an evaluation; under torchrun the sequences are shared out.

    An interrupted run goes on where it stopped when called again with the same settings.

    Returns:
        The result, or None on ranks other than the first.

    Raises:
        InputError: the user's mistake, in one line.
    """
    with torchrun_rank() as rank:
        device = resolve_device(rank.device(config.evaluation.device))
        torch.manual_seed(RANDOM_SEED)
        model = build_model(
            config.model.name,
            backbone=config.model.backbone,
            weights=evaluation.weights,
            **config.model.switches,
        )
        size = _size(evaluation, config)
        segmenter = _segmenter(model, config, size, device)
        folder = RunFolder(evaluation.output)
        if rank.first:
            folder.begin(_identity(evaluation, config, size))
        rank.wait_for_all()
        _segment(evaluation, folder, segmenter, device, rank)
        rank.wait_for_all()
        if not rank.first:
            return None
        return _finish(evaluation, config, folder, device)


def _size(evaluation: Evaluation, config: Config) -> int | None:
    size = config.evaluation.size if config.evaluation.size is not None else evaluation.size
    if size is not None and size < 0:
        raise InputError(f"size must be positive, or 0 for the frames' own, not {size}")
    return size or None


def _segmenter(
    model: MemoryNetwork, config: Config, size: int | None, device: torch.device
) -> VideoSegmenter | AugmentedSegmenter:
    settings: dict[str, Any] = {
        "memory": config.memory,
        "size": size,
        "device": device,
        "precision": config.evaluation.precision,
        "objects_per_batch": config.evaluation.objects_per_batch,
        "max_objects": config.evaluation.max_objects,
    }
    augmentation = config.evaluation.augmentation
    if augmentation.flip or list(augmentation.scales) != [1.0]:
        return AugmentedSegmenter(
            model, flip=augmentation.flip, scales=augmentation.scales, **settings
        )
    return VideoSegmenter(model, **settings)


def _identity(evaluation: Evaluation, config: Config, size: int | None) -> dict[str, Any]:
    """Everything that the masks depend on."""
    weights = "random"
    if evaluation.weights is not None:
        weights = hashlib.sha256(evaluation.weights.read_bytes()).hexdigest()[:16]
    return {
        "data": evaluation.name,
        "model": asdict(config.model),
        "weights": weights,
        "memory": None if config.memory is None else asdict(config.memory),
        "size": size,
        "precision": config.evaluation.precision,
        "augmentation": asdict(config.evaluation.augmentation),
    }


def _segment(
    evaluation: Evaluation,
    folder: RunFolder,
    segmenter: VideoSegmenter | AugmentedSegmenter,
    device: torch.device,
    rank: Rank,
) -> None:
    """Segment this rank's sequences that are not complete yet."""
    pending = [
        source
        for source in rank.share(evaluation.sources)
        if folder.complete(source.name, overlay=evaluation.overlay) is None
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
            write_overlay=evaluation.overlay,
            on_frame=bar.update,
        )
        for source in pending:
            bar.set_description(source.name)
            runner.run(source)


def _finish(
    evaluation: Evaluation, config: Config, folder: RunFolder, device: torch.device
) -> Result:
    """Score what was written and write the result files."""
    records = []
    for source in evaluation.sources:
        record = folder.complete(source.name, overlay=evaluation.overlay)
        if record is None:
            raise InputError(f"{folder.path}: the results of '{source.name}' disappeared")
        records.append(record)
    speed = Speed.of_records(records)
    dataset = evaluation.dataset
    scores = None
    files: list[Path] = []
    if dataset is not None and dataset.annotated:
        scores = score_sequences(
            dataset.sequences,
            folder.masks,
            protocol=dataset.protocol,
            processes=config.evaluation.processes,
        )
    if dataset is not None and dataset.archive is not None:
        archive = folder.path / f"{dataset.name}.zip"
        write_submission(archive, dataset.sequences, folder.masks, archive=dataset.archive)
        files.append(archive)
    facts = {
        "data": evaluation.name,
        "model": config.model.name,
        "weights": "random" if evaluation.weights is None else evaluation.weights.name,
        "device": _device_name(device),
        "precision": config.evaluation.precision,
        "size": str(_size(evaluation, config) or "as stored"),
        **speed.facts(),
    }
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


def _device_name(device: torch.device) -> str:
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    return f"{device.type}, {torch.get_num_threads()} threads"

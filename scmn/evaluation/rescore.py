"""Score masks that any method wrote."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from scmn.config import load_config
from scmn.data.datasets import open_dataset
from scmn.errors import InputError
from scmn.evaluation.report import write_report
from scmn.evaluation.score_files import write_results
from scmn.evaluation.scores import DatasetScores, NothingToScore, score_sequences


def score_folder(
    masks: Path,
    dataset_name: str,
    root: Path,
    *,
    sequences: Sequence[str] | None = None,
    output: Path | None = None,
    overrides: Sequence[str] = (),
) -> tuple[DatasetScores, tuple[Path, ...]]:
    """Score ``masks/<sequence>/<frame>.png`` against a data set's annotations.

    Args:
        masks: folder with a folder of label PNGs for each sequence.
        dataset_name: a name that ``open_dataset`` knows.
        root: folder of the data set.
        sequences: score only these.
        output: where the result files go (None: into ``masks``, as the official tool does).
        overrides: ``evaluation.processes=4``.

    Returns:
        The scores and the files that were written.

    Raises:
        InputError: masks are missing or do not fit, or no sequence has annotations to score with.
    """
    config = load_config(None, overrides)
    if not masks.is_dir():
        raise InputError(f"folder of masks not found: {masks}")
    dataset = open_dataset(dataset_name, root, sequences)
    try:
        scores = score_sequences(
            dataset.sequences,
            masks,
            protocol=dataset.protocol,
            processes=config.evaluation.processes,
        )
    except NothingToScore as error:
        raise InputError(f"{dataset_name} cannot be scored with {root}: {error}") from error
    folder = output or masks
    facts = {"data": dataset_name, "masks": str(masks)}
    files = write_results(folder, scores, split=dataset.split, facts=facts)
    report = folder / "report.html"
    write_report(report, title=f"{masks.name} on {dataset_name}", facts=facts, scores=scores)
    return scores, (*files, report)

"""Evaluation of a segmenter on sequences: one loop for eval.py, validation and rescoring."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

from tqdm import tqdm
from tqdm.contrib.logging import logging_redirect_tqdm

from scmn.data.datasets import Dataset
from scmn.data.sequences import FrameSource
from scmn.errors import InputError
from scmn.evaluation.report import Picture, write_report
from scmn.evaluation.results import table_paths, write_results, write_submission
from scmn.evaluation.run_folder import RunFolder, SequenceRecord
from scmn.evaluation.scores import DatasetScores
from scmn.evaluation.scoring import score_sequences
from scmn.evaluation.sequence_input import SequenceInput, input_files
from scmn.evaluation.sequence_run import SequenceRun
from scmn.evaluation.warm_up import WarmUp
from scmn.exports import check_exports
from scmn.inference.base import Segmenter, known_direction
from scmn.processes import Processes


class Evaluator:
    """Segments sequences into a folder, scores the masks and writes the result files.

    Example::

        evaluator = Evaluator(open_dataset("davis2017-val", Path("DAVIS")), Path("results/stcn"))
        evaluator.segment(VideoSegmenter(model, device="cuda"))
        scores = evaluator.score()
    """

    def __init__(
        self,
        data: Dataset | Sequence[FrameSource],
        output: Path,
        *,
        settings: Mapping[str, Any] | None = None,
        masks: Path | None = None,
        direction: str = "forward",
        exports: Collection[str] = (),
        pictures: bool = True,
        scoring_processes: int | None = None,
    ) -> None:
        """
        Args:
            data: a data set, or sequences without annotations.
            output: folder for everything that is written; see ``scmn.evaluation.run_folder``.
            settings: everything that the masks depend on, JSON values by name: an interrupted run
                with the same settings is resumed (None: every sequence is segmented).
            masks: folder of the masks to score (None: those in ``output``).
            direction: "forward" or "both"; see ``Segmenter.run``.
            exports: what is written of each sequence besides its masks, some of
                ``scmn.exports.EXPORTS``.
            pictures: keep some overlays of each sequence for the report.
            scoring_processes: processes for scoring (None: one per core where that saves time).

        Raises:
            InputError: an unknown direction or export, or one whose package is not installed.
        """
        self.dataset = data if isinstance(data, Dataset) else None
        self.sources: Sequence[FrameSource] = data.sequences if isinstance(data, Dataset) else data
        self.folder = RunFolder(output)
        self.settings = settings
        self.masks = masks or self.folder.masks
        self.direction = known_direction(direction)
        check_exports(exports)
        self.exports = exports
        self.pictures = pictures
        self.scoring_processes = scoring_processes

    def segment(
        self,
        segmenter: Segmenter,
        processes: Processes | None = None,
        *,
        show_progress: bool = False,
    ) -> None:
        """Segment the sequences that are not complete yet, shared with the other processes.

        A sequence is complete when its record and masks are in the folder, as they were written.

        Raises:
            InputError: the folder holds a run with other settings or inputs, or files that no run
                has written; a frame or mask is wrong; a file cannot be written; or the device runs
                out of memory.
        """
        processes = processes or Processes(segmenter.device)
        pending = processes.on_first(self._begin)
        sources = {source.name: source for source in self.sources}
        # Of several processes the first sees only its own frames.
        total = sum(len(sources[name]) for name in pending) if processes.count == 1 else None
        warm_up = WarmUp()
        hidden = not (show_progress and processes.first and pending)
        with logging_redirect_tqdm(), tqdm(total=total, unit="frame", disable=hidden) as bar:
            for name in processes.claim(pending):
                bar.set_description(name)
                SequenceRun(
                    sources[name],
                    segmenter,
                    self.folder,
                    direction=self.direction,
                    exports=self.exports,
                    pictures=self.pictures,
                    on_frame=bar.update,
                    warm_up=warm_up,
                    processes=processes.count,
                ).run()

    def records(self) -> tuple[SequenceRecord, ...]:
        """Return the record of every sequence; InputError if one is not complete."""
        records = []
        for source in self.sources:
            record = self._record(source)
            if record is None:
                raise InputError(
                    f"the frames or masks of '{source.name}' changed, or its results in "
                    f"{self.folder.path} were removed, during the evaluation; "
                    "run the same command again"
                )
            records.append(record)
        return tuple(records)

    def score(self) -> DatasetScores:
        """Score the masks of a data set.

        Raises:
            NothingToScore: there are no annotations to compare the masks with.
            InputError: masks are missing or do not fit.
        """
        if self.dataset is None:
            raise ValueError("only a data set can be scored")
        return score_sequences(
            self.dataset.sequences,
            self.masks,
            protocol=self.dataset.protocol,
            processes=self.scoring_processes,
        )

    def write(
        self,
        scores: DatasetScores | None,
        *,
        title: str,
        split: str,
        facts: Mapping[str, str],
        records: Sequence[SequenceRecord] = (),
    ) -> tuple[Path, ...]:
        """Write tables, ``results.json``, the report and the server's archive; return their paths.

        Args:
            scores: what ``score`` returned, or None.
            title: heading of the report.
            split: the split's name in the names of the tables.
            facts: what was evaluated and how, by name.
            records: those of the sequences that were segmented here.
        """
        written: list[Path] = []
        folder, files = self.folder.path, self.folder.result_files()
        if records and self.dataset is not None and self.dataset.archive is not None:
            archive = folder / f"{self.dataset.name}.zip"
            write_submission(
                archive,
                self.dataset.sequences,
                self.masks,
                archive=self.dataset.archive,
                before_rename=files.claim,
            )
            written.append(archive)
        written += write_results(files, scores, split=split, facts=facts, records=records)
        report = folder / "report.html"
        pictures = [(record.name, self.folder.picture(record.name)) for record in records]
        write_report(
            report,
            title=title,
            facts=facts,
            scores=scores,
            pictures=[Picture(name, path) for name, path in pictures if path.is_file()],
            before_rename=files.claim,
        )
        files.sync()
        return (*written, report)

    def check_results(self) -> None:
        """Raise InputError if a result file would replace one that no evaluation has written."""
        folder = self.folder.path
        paths = [folder / "results.json", folder / "report.html"]
        if self.dataset is not None:
            paths += table_paths(folder, self.dataset.split)
            if self.dataset.archive is not None:
                paths.append(folder / f"{self.dataset.name}.zip")
        self.folder.result_files().require_own(paths)

    def _begin(self) -> list[str]:
        """Return the names of the sequences to segment, the longest first.

        Everything is checked before anything is written.
        """
        folder, pending = self.folder, list(self.sources)
        folder.check({source.name: input_files(source) for source in self.sources})
        self.check_results()
        if self.settings is not None:
            folder.check_settings(self.settings)
            pending = [source for source in pending if self._record(source) is None]
        for source in pending:
            folder.require_own(source.name)
        folder.begin([source.name for source in self.sources], self.settings)
        return [s.name for s in sorted(pending, key=lambda source: (-len(source), source.name))]

    def _record(self, source: FrameSource) -> SequenceRecord | None:
        """Return the record of a sequence if it is complete."""
        return self.folder.complete(source.name, SequenceInput.of(source), exports=self.exports)

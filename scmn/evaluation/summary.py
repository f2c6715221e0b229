"""Summary of an evaluation as text: scores, speed and memory, and how they were measured."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from scmn.errors import some_of
from scmn.evaluation.run_folder import SequenceRecord
from scmn.evaluation.scores import DatasetScores
from scmn.evaluation.warm_up import WARM_UP_FRAMES

if TYPE_CHECKING:
    from scmn.evaluation.evaluate import Result

DEFINITION = (
    "segmented frames / seconds in the segmenter, from the decoded frame to the label map at the "
    "frame's own size, device synchronised, without compilation and warm-up: the first "
    f"{WARM_UP_FRAMES} frames of each frame size and number of objects"
)
END_TO_END = "the same frames, with reading frames and writing masks, without overlays and pictures"
MEMORY = "peak of the GPU's allocated memory; on the CPU of the process's resident memory"


@dataclass(frozen=True)
class Speed:
    """Speed and memory of one process, over the sequences of all processes."""

    frames: int
    segmented_frames: int
    """Without those that are neither written nor needed for later ones."""
    timed_frames: int
    """Those after compilation and warm-up."""
    frames_per_second: float | None
    """See ``DEFINITION``; None if no frame is timed."""
    end_to_end_frames_per_second: float | None
    """See ``END_TO_END``."""
    peak_memory_bytes: int
    """See ``MEMORY``; the highest of all sequences."""
    devices: tuple[str, ...]
    """Several where processes or resumed runs used different ones."""
    precisions: tuple[str, ...]
    network_sizes: tuple[str, ...]
    """Sizes of the frames at the network, as width x height."""
    objects: tuple[int, ...]
    """Number of objects of each sequence."""
    processes: int
    """Largest number of processes that shared the run."""

    @staticmethod
    def of_records(records: Sequence[SequenceRecord]) -> Speed:
        """Summarise the records of all sequences."""
        timed = sum(record.timed_frames for record in records)
        return Speed(
            sum(record.frames for record in records),
            sum(record.segmented_frames for record in records),
            timed,
            _rate(timed, sum(record.network_seconds for record in records)),
            _rate(timed, sum(record.total_seconds for record in records)),
            max(record.peak_memory_bytes for record in records),
            devices=_distinct(record.device for record in records),
            precisions=_distinct(record.precision for record in records),
            network_sizes=_distinct(f"{r.network_width}x{r.network_height}" for r in records),
            objects=tuple(record.objects for record in records),
            processes=max(record.processes for record in records),
        )

    def facts(self) -> dict[str, str]:
        """Return the figures and their conditions as text for tables and reports."""
        shared = f"per process, {self.processes} of them; " if self.processes > 1 else ""
        return {
            "device": "; ".join(self.devices),
            "precision": ", ".join(self.precisions),
            "size at the network": some_of(self.network_sizes),
            "objects": self._objects(),
            "frames": f"{self.frames}, of which {self.segmented_frames} segmented, "
            f"{self.timed_frames} timed",
            "frames/s": f"{_rate_text(self.frames_per_second)} ({shared}{DEFINITION})",
            "frames/s end to end": f"{_rate_text(self.end_to_end_frames_per_second)} "
            f"({shared}{END_TO_END})",
            "peak memory": f"{self.peak_memory_bytes / 2**20:.0f} MiB ({shared}{MEMORY})",
        }

    def _objects(self) -> str:
        fewest, most = min(self.objects), max(self.objects)
        if len(self.objects) == 1:
            return str(most)
        each = str(most) if fewest == most else f"{fewest} to {most}"
        return f"{each} per sequence, {sum(self.objects)} in all"


def _rate(frames: int, seconds: float) -> float | None:
    return frames / max(seconds, 1e-9) if frames else None


def _rate_text(rate: float | None) -> str:
    return "not measured: too few frames" if rate is None else f"{rate:.2f}"


def _distinct(values: Iterable[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(values))


def result_table(result: Result) -> str:
    """Return scores, speed, memory and the written files as text."""
    lines = [] if result.scores is None else [score_table(result.scores), ""]
    facts = result.speed.facts()
    width = max(map(len, facts))
    lines += [f"{name.ljust(width)}  {value}" for name, value in facts.items()]
    return "\n".join([*lines, "", *(f"wrote {path}" for path in result.files)])


def score_table(scores: DatasetScores) -> str:
    """Return the scores of all objects and their mean, in percent."""
    rows: list[tuple[str, ...]] = [("sequence", "object", "J&F", "J", "F")]
    for sequence in scores.sequences:
        for scored in sequence.objects:
            mean = (scored.j.mean + scored.f.mean) / 2
            row = (sequence.name, str(scored.object_id))
            rows.append((*row, *_percent(mean, scored.j.mean, scored.f.mean)))
    summary = scores.summary
    means = _percent(summary["J&F-Mean"], summary["J-Mean"], summary["F-Mean"])
    rows.append(("mean", f"{len(scores.objects)} objects", *means))
    lines = _aligned(rows)
    lines.insert(-1, "-" * len(lines[0]))
    detail = "  ".join(f"{name} {100 * value:.1f}" for name, value in summary.items())
    lines += ["", f"protocol {scores.protocol}: {detail}"]
    if scores.youtube_vos is not None:
        lines.append(youtube_vos_line(scores.youtube_vos))
    return "\n".join([*lines, *(f"note: {note}" for note in scores.notes)])


def youtube_vos_line(results: Mapping[str, float]) -> str:
    """Return the results of the YouTube-VOS benchmark in percent."""
    shown = "  ".join(f"{name} {100 * value:.1f}" for name, value in results.items())
    return f"YouTube-VOS: {shown}"


def _percent(*values: float) -> tuple[str, ...]:
    return tuple(f"{100 * value:.1f}" for value in values)


def _aligned(rows: Sequence[tuple[str, ...]]) -> list[str]:
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    return [
        "  ".join(
            cell.ljust(width) if column == 0 else cell.rjust(width)
            for column, (cell, width) in enumerate(zip(row, widths, strict=True))
        )
        for row in rows
    ]

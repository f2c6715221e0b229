"""Speed and peak memory of an evaluation: definition, device, precision and size beside them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from scmn.evaluation.run_folder import SequenceRecord

DEFINITION = (
    "frames / seconds in the segmenter, from the decoded frame to the label map at the frame's own "
    "size, first frames included, device synchronised"
)
END_TO_END = "with reading frames and writing masks, without overlays and pictures"
MEMORY = "peak of the GPU's allocated memory; on the CPU of the process's resident memory"
SIZES_SHOWN = 3


@dataclass(frozen=True)
class Speed:
    """Over all sequences of a run, whichever process segmented them: speed and memory of one."""

    frames: int
    frames_per_second: float
    """See ``DEFINITION``."""
    end_to_end_frames_per_second: float
    """See ``END_TO_END``."""
    peak_memory_bytes: int
    """See ``MEMORY``; the highest of all sequences."""
    devices: tuple[str, ...]
    """More than one where processes or resumed runs had different ones."""
    precisions: tuple[str, ...]
    network_sizes: tuple[str, ...]
    """Sizes of the frames at the network, as width x height."""
    objects: tuple[int, ...]
    """Number of objects of each sequence."""
    processes: int
    """How many processes shared the run, at most."""

    @staticmethod
    def of_records(records: Sequence[SequenceRecord]) -> Speed:
        """Sum up the sequences' records."""
        frames = sum(record.frames for record in records)
        return Speed(
            frames,
            frames / max(sum(record.network_seconds for record in records), 1e-9),
            frames / max(sum(record.total_seconds for record in records), 1e-9),
            max(record.peak_memory_bytes for record in records),
            devices=_distinct(record.device for record in records),
            precisions=_distinct(record.precision for record in records),
            network_sizes=_distinct(f"{r.network_width}x{r.network_height}" for r in records),
            objects=tuple(record.objects for record in records),
            processes=max(record.processes for record in records),
        )

    def facts(self) -> dict[str, str]:
        """Return the figures, and what they were measured on, as text for tables and reports."""
        shared = f"per process, {self.processes} of them; " if self.processes > 1 else ""
        end_to_end = self.end_to_end_frames_per_second
        return {
            "device": "; ".join(self.devices),
            "precision": ", ".join(self.precisions),
            "size at the network": self._sizes(),
            "objects": self._objects(),
            "frames": str(self.frames),
            "frames/s": f"{self.frames_per_second:.2f} ({shared}{DEFINITION})",
            "frames/s end to end": f"{end_to_end:.2f} ({shared}{END_TO_END})",
            "peak memory": f"{self.peak_memory_bytes / 2**20:.0f} MiB ({shared}{MEMORY})",
        }

    def _sizes(self) -> str:
        more = len(self.network_sizes) - SIZES_SHOWN
        shown = ", ".join(self.network_sizes[:SIZES_SHOWN])
        return f"{shown} and {more} more" if more > 0 else shown

    def _objects(self) -> str:
        fewest, most = min(self.objects), max(self.objects)
        if len(self.objects) == 1:
            return str(most)
        each = str(most) if fewest == most else f"{fewest} to {most}"
        return f"{each} per sequence, {sum(self.objects)} in all"


def _distinct(values: Iterable[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(values))

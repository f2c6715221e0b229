"""Speed and peak memory of an evaluation, with the definition beside the number."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from scmn.evaluation.run_folder import SequenceRecord

DEFINITION = (
    "frames / seconds in the segmenter, from the decoded frame to the label map at the frame's own "
    "size, first frames included, device synchronised"
)


@dataclass(frozen=True)
class Speed:
    """Over all sequences of a run, whichever process segmented them."""

    frames: int
    frames_per_second: float
    """See ``DEFINITION``."""
    end_to_end_frames_per_second: float
    """With reading frames and writing masks."""
    peak_memory_bytes: int

    @staticmethod
    def of_records(records: Sequence[SequenceRecord]) -> Speed:
        """Sum up the sequences' records."""
        frames = sum(record.frames for record in records)
        return Speed(
            frames,
            frames / max(sum(record.network_seconds for record in records), 1e-9),
            frames / max(sum(record.total_seconds for record in records), 1e-9),
            max(record.peak_memory_bytes for record in records),
        )

    def facts(self) -> dict[str, str]:
        """Return the figures as text for tables and reports."""
        return {
            "frames": str(self.frames),
            "frames/s": f"{self.frames_per_second:.2f} ({DEFINITION})",
            "frames/s end to end": f"{self.end_to_end_frames_per_second:.2f} (with reading frames "
            "and writing masks)",
            "peak memory": f"{self.peak_memory_bytes / 2**20:.0f} MiB",
        }

"""With a bounded memory, peak memory does not depend on a video's length."""

from __future__ import annotations

import sys

import pytest

from scmn import VideoSegmenter, build_model
from scmn.data.synthetic import SyntheticSequence, SyntheticSettings
from tests.programs import run_in_fork


def peaks(max_frames: int | None) -> list[int]:
    """Peak memory of this process after 40 and after 200 frames."""
    import resource

    model = build_model("stm", backbone="resnet10_half", key_dim=128, value_dim=512, hidden_dim=16)
    # Every frame is remembered: an unbounded memory would grow by 0.15 MB a frame and object.
    segmenter = VideoSegmenter(model, memory={"every": 1, "max_frames": max_frames})
    settings = SyntheticSettings(size=(96, 160), frames=200, objects=(1, 1))
    sequence = SyntheticSequence(settings, 0, 0)
    frames = (sequence.image(t) for t in range(len(sequence)))
    return [
        resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        for t, _ in enumerate(segmenter.run(frames, sequence.annotation(0)))
        if t + 1 in (40, 200)
    ]


@pytest.mark.skipif(sys.platform == "win32", reason="needs the resource module")
def test_peak_memory_after_200_frames_is_that_after_40() -> None:
    short, long = run_in_fork(peaks, 8)
    assert long <= 1.01 * short

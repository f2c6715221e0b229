"""The frame loop of an evaluation on a GPU: one wait per frame, with the next frame queued."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from scmn import Evaluator, VideoSegmenter, open_dataset
from scmn.data.synthetic import SyntheticSettings, write_davis
from scmn.evaluation import sequence_run
from scmn.inference.prediction import Prediction
from tests.conftest import build_small
from tests.cuda.fake_cuda import FakeCuda

FRAMES = 5


def test_labels_are_read_when_the_next_frame_is_queued(
    fake_cuda: FakeCuda, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = SyntheticSettings(size=(32, 48), frames=FRAMES, objects=(1, 2))
    write_davis(tmp_path / "davis", sequences=1, settings=settings, split="val")
    dataset = open_dataset("davis2017-val", tmp_path / "davis")
    monkeypatch.setattr(sequence_run, "read_ahead", iter)  # fake tensors belong to one thread
    for name, value in (("get_device_name", "fake"), ("max_memory_allocated", 0)):
        monkeypatch.setattr(torch.cuda, name, lambda device, value=value: value)
    monkeypatch.setattr(torch.cuda, "reset_peak_memory_stats", lambda device: None)

    class Traced(VideoSegmenter):
        def step(self, *args: Any, **options: Any) -> Prediction:
            fake_cuda.waits.append("step")
            return super().step(*args, **options)

    network = build_small("scmn")
    with fake_cuda():
        segmenter = Traced(network, device="cuda", precision="bf16")
        fake_cuda.waits.clear()
        Evaluator(dataset, tmp_path / "run", pictures=False).segment(segmenter)
    assert fake_cuda.waits == ["step", *(FRAMES - 1) * ["step", "event"], "event"]
    assert len(list((tmp_path / "run").rglob("*.png"))) == FRAMES

"""What only a real GPU shows: numbers, gradients, compilation, several processes."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from scmn import VideoSegmenter, load_config, save_weights
from scmn.data.synthetic import SyntheticSettings, write_davis
from scmn.evaluation.evaluate import evaluate, load_settings
from scmn.evaluation.tasks import dataset_task
from scmn.processes import Processes
from scmn.training.stage import Stage
from scmn.training.trainer import train
from tests.conftest import build_small
from tests.cuda.test_training import open_stage
from tests.evaluation.runs import masks_of
from tests.inference.clips import TWO, label_map, video
from tests.training.runs import (
    Killed,
    check_two_processes_equal_one,
    config_file,
    equal,
    weights,
)

DEVICE = torch.device("cuda")

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA GPU"),
]


@pytest.fixture(scope="module")
def davis(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("davis")
    settings = SyntheticSettings(size=(64, 96), frames=5, objects=(1, 2))
    for split in ("train", "val"):
        write_davis(folder, sequences=2, settings=settings, split=split)
    return folder


@pytest.mark.parametrize("precision", ["bf16", "fp16"])
@pytest.mark.parametrize("name", ["scmn", "stm", "stcn"])
def test_step_in_half_precision_is_close_to_float32(name: str, precision: str) -> None:
    scalars, gradients = [], []
    for used in ("fp32", precision):
        network = build_small(name).to(DEVICE)
        stage = open_stage(network, DEVICE, used)
        if stage.scaler.is_enabled():  # its initial scale is to be found by overflows
            stage.scaler.load_state_dict({**stage.scaler.state_dict(), "scale": 256.0})
        scalars.append(stage.read(stage.step()))
        found = [p.grad.flatten() for p in network.parameters() if p.grad is not None]
        gradients.append(torch.cat(found).double())
    exact, half = scalars
    assert half["loss/total"] == pytest.approx(exact["loss/total"], rel=0.02)
    assert half["gradient_norm"] == pytest.approx(exact["gradient_norm"], rel=0.1)
    assert torch.cosine_similarity(*gradients, dim=0) > 0.95


def test_training_resumes_bit_for_bit(
    davis: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    settings = load_config(config_file(tmp_path, davis), [f"training.device={DEVICE.type}"])
    monkeypatch.setattr(torch.backends.cudnn, "deterministic", True)
    torch.use_deterministic_algorithms(True, warn_only=True)
    try:
        train(settings, tmp_path / "whole")
        with monkeypatch.context() as patch:
            patch.setattr(Stage, "step", dying_after(5))
            with pytest.raises(Killed):
                train(settings, tmp_path / "parts")
        assert train(settings, tmp_path / "parts").iteration == 8
    finally:
        torch.use_deterministic_algorithms(False)
    assert equal(weights(tmp_path / "parts"), weights(tmp_path / "whole"))


def dying_after(steps: int) -> Callable[[Stage], object]:
    taken, step = [], Stage.step

    def dying(stage: Stage) -> object:
        if len(taken) == steps:
            raise Killed
        taken.append(stage.iteration)
        return step(stage)

    return dying


@pytest.mark.parametrize("name", ["scmn", "stm", "stcn"])
def test_compilation_keeps_the_output(name: str) -> None:
    """Two sizes, and a third object on the third frame."""
    model = build_small(name)
    plain, compiled = (
        VideoSegmenter(model, device=DEVICE, compile=switch) for switch in (False, True)
    )
    for width in (64, 96):
        frames = list(video(5, height=48, width=width))
        labels = {
            0: label_map((7, 5, 5), (200, 30, 40), shape=(48, width)),
            2: label_map((9, 20, 20), shape=(48, width)),
        }
        for one, other in zip(plain.run(frames, labels), compiled.run(frames, labels), strict=True):
            torch.testing.assert_close(one.probabilities, other.probabilities, atol=1e-3, rtol=1e-2)
            assert (one.labels == other.labels).mean() > 0.99


def test_labels_read_late_are_those_read_at_once() -> None:
    """Copies to and from the GPU run beside the computation."""
    segmenter = VideoSegmenter(build_small("scmn"), device=DEVICE)
    at_once = [prediction.labels for prediction in segmenter.run(video(8), TWO)]
    late = []
    for prediction in segmenter.run(video(8), TWO):
        prediction.request_labels()
        late.append(prediction)
    for labels, prediction in zip(at_once, late, strict=True):
        assert np.array_equal(labels, prediction.labels)


def test_evaluation_is_close_to_the_cpu(davis: Path, tmp_path: Path) -> None:
    file = tmp_path / "small.safetensors"
    save_weights(build_small("scmn"), file)
    for device in (torch.device("cpu"), DEVICE):
        config, loaded = load_settings(None, [], file)
        task = dataset_task("davis2017-val", davis, None)
        output = tmp_path / device.type
        evaluate(task, config, output, weights=loaded, processes=Processes(device))
    expected, found = masks_of(tmp_path / "cpu"), masks_of(tmp_path / DEVICE.type)
    assert expected.keys() == found.keys()
    agreement = [(expected[name] == found[name]).mean() for name in expected]
    assert np.mean(agreement) > 0.99


@pytest.mark.skipif(torch.cuda.device_count() < 2, reason="needs two GPUs")
def test_two_gpus_equal_one_with_the_whole_batch(davis: Path, tmp_path: Path) -> None:
    check_two_processes_equal_one(davis, tmp_path, device=DEVICE.type, atol=1e-3, rtol=1e-2)

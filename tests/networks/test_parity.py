"""STM and STCN with published weights compute what the published code computes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from scmn import VideoSegmenter, build_model
from scmn.networks.base import MemoryNetwork
from tests.conftest import build_small


@pytest.fixture(scope="module")
def published(published_file: tuple[str, Path]) -> tuple[str, MemoryNetwork]:
    """A network's name and the network with the weights of the published file."""
    name, path = published_file
    return name, build_model(name, weights=path)


def relative_difference(obtained: Tensor, expected: np.ndarray) -> float:
    return float((obtained - torch.from_numpy(expected)).abs().max() / np.abs(expected).max())


def test_video_equals_the_published_code(
    published: tuple[str, MemoryNetwork], golden: Path
) -> None:
    name, model = published
    expected = np.load(golden / f"{name}.npz")["probs"]
    clip = np.load(golden / "clip.npz")
    segmenter = VideoSegmenter(model)
    predictions = list(segmenter.run(clip["frames"], clip["mask"]))

    probabilities = np.stack([p.probabilities.numpy() for p in predictions])
    assert np.abs(probabilities - expected).max() <= 1e-4

    ordered = np.sort(expected, axis=1)
    clear = ordered[:, -1] - ordered[:, -2] > 1e-3
    labels = np.stack([p.labels for p in predictions])
    assert clear.mean() > 0.25
    assert np.array_equal(labels[clear], expected.argmax(axis=1)[clear])


@torch.no_grad()
def test_stages_equal_the_published_code(
    published: tuple[str, MemoryNetwork], golden: Path
) -> None:
    name, model = published
    expected = np.load(golden / f"{name}.npz")
    suffix = "_full_softmax" if name == "stcn" else ""
    clip = np.load(golden / "clip.npz")
    frames = torch.from_numpy(clip["frames"][:2, :48, :64]).permute(0, 3, 1, 2).float() / 255
    label_map = torch.from_numpy(clip["mask"][:48, :64])
    masks = torch.stack([label_map == i for i in (1, 2)]).unsqueeze(0).float()

    memory = model.encode_memory(frames[:1], masks)
    query = model.encode_query(frames[1:])
    readout = model.read(query, memory)[0][0]
    joined = torch.cat([readout, query.value.expand(2, -1, -1, -1)], dim=1)
    object_logits = model.segment(query, memory).auxiliary.logits[0]

    stages = {
        "stage_memory_key": memory.key[0, :, :, 0],
        "stage_memory_value": memory.value[0, :, :, 0],
        "stage_query_key": query.key,
        "stage_query_value": query.value,
        f"stage_readout{suffix}": joined,
        f"stage_object_logits{suffix}": object_logits,
    }
    for stage, obtained in stages.items():
        assert relative_difference(obtained, expected[stage]) <= 1e-4, stage


def test_stcn_starts_as_published() -> None:
    model = build_small("stcn", value_backbone="resnet18")  # as many channels as a stem has taps
    keys = model.key_projection
    rows = keys.weight.flatten(1)
    torch.testing.assert_close(rows @ rows.T, torch.eye(len(rows)))
    assert not keys.bias.any()
    for stem in model.memory_encoder.mask_stems:
        taps = stem.weight.flatten(1)
        torch.testing.assert_close(taps.T @ taps, torch.eye(taps.shape[1]), atol=1e-5, rtol=0)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA GPU")
@pytest.mark.parametrize(("precision", "limit"), [("fp32", 1e-3), ("tf32", 1e-2)])
def test_video_on_cuda_is_close_to_the_published_code(
    published: tuple[str, MemoryNetwork], golden: Path, precision: str, limit: float
) -> None:
    name, model = published
    expected = np.load(golden / f"{name}.npz")["probs"]
    clip = np.load(golden / "clip.npz")
    segmenter = VideoSegmenter(model, device="cuda", precision=precision)
    predictions = list(segmenter.run(clip["frames"], clip["mask"]))
    probabilities = np.stack([p.probabilities.cpu().numpy() for p in predictions])
    assert np.abs(probabilities - expected).max() <= limit

"""Saved memories: a video that is paused, and objects that are taken to another video."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from scmn import InputError, VideoSegmenter, save_weights
from scmn.networks.base import MemoryNetwork
from tests.conftest import build_small
from tests.inference.clips import TWO, label_map, video

FRAMES = 12
PAUSE = 7


def begun(model: MemoryNetwork, **settings: object) -> VideoSegmenter:
    """Return a segmenter after ``PAUSE`` frames: two objects from 0, one more from 3, one gone."""
    segmenter = VideoSegmenter(model, **settings)  # type: ignore[arg-type]
    for time, frame in enumerate(list(video(FRAMES))[:PAUSE]):
        labels = {0: TWO, 3: label_map((3, 20, 20))}.get(time)
        segmenter.step(frame, labels)
    segmenter.remove_object(7)
    return segmenter


LONG_TERM = {"min_frames": 2, "max_frames": 3, "prototypes": 4}


@pytest.mark.parametrize(
    ("precision", "forgetting"),
    [
        ("fp32", {"max_frames": 1}),
        ("bf16", {"max_frames": 2, "eviction": "usage"}),
        ("fp32", {"max_frames": None, "long_term": LONG_TERM}),
    ],
)
def test_a_paused_video_continues_bit_for_bit(
    small_model: MemoryNetwork, precision: str, forgetting: dict[str, object], tmp_path: Path
) -> None:
    memory = {"every": 2, **forgetting}
    uninterrupted = begun(small_model, precision=precision, memory=memory)
    uninterrupted.save_memory(tmp_path / "paused.safetensors")
    resumed = VideoSegmenter(small_model, precision=precision, memory=memory)
    resumed.step(next(video(1, 30, 40)))  # forgotten
    resumed.load_memory(tmp_path / "paused.safetensors")
    assert resumed.frame_count == PAUSE
    assert resumed.object_ids == (200, 3)
    for frame in list(video(FRAMES))[PAUSE:]:
        expected, obtained = uninterrupted.step(frame), resumed.step(frame)
        assert torch.equal(expected.network_probabilities, obtained.network_probabilities)
    for object_id in resumed.object_ids:
        times = resumed.bank.remembered_times(object_id)
        assert times == uninterrupted.bank.remembered_times(object_id)


def test_objects_are_taken_to_another_video(small_model: MemoryNetwork, tmp_path: Path) -> None:
    begun(small_model).save_memory(tmp_path / "objects.safetensors")
    segmenter = VideoSegmenter(small_model)
    segmenter.load_memory(tmp_path / "objects.safetensors", new_video=True)
    assert segmenter.frame_count == 0
    assert segmenter.bank.remembered_times(200)[0] == -PAUSE
    # Another height, but the same at the network's input.
    prediction = segmenter.step(next(video(1, 52, 72)))
    assert prediction.object_ids == (200, 3)
    assert prediction.labels.shape == (52, 72)


def test_another_video_of_another_size_is_refused(tmp_path: Path) -> None:
    model = build_small("stm")
    begun(model).save_memory(tmp_path / "objects.safetensors")
    segmenter = VideoSegmenter(model)
    segmenter.load_memory(tmp_path / "objects.safetensors", new_video=True)
    message = (
        "frame 0 is 96x112 at the network's input, but the loaded memory is of frames of 64x80"
    )
    with pytest.raises(InputError, match=message):
        segmenter.step(next(video(1, 90, 100)))


def test_a_video_without_objects_can_be_paused(tmp_path: Path) -> None:
    model = build_small("scmn")
    segmenter = VideoSegmenter(model)
    segmenter.step(next(video(1)))
    segmenter.save_memory(tmp_path / "empty.safetensors")
    resumed = VideoSegmenter(model)
    resumed.load_memory(tmp_path / "empty.safetensors")
    assert resumed.frame_count == 1
    assert np.array_equal(resumed.step(next(video(1)), TWO).labels, TWO)


@pytest.mark.parametrize(
    ("settings", "difference"),
    [
        ({"precision": "bf16"}, "precision 'fp32', here 'bf16'"),
        ({"memory": {"every": 3}}, "memory .*, here .*'every': 3"),
        ({"size": 32}, "size None, here 32"),
    ],
)
def test_other_settings_are_refused(
    settings: dict[str, object], difference: str, tmp_path: Path
) -> None:
    model = build_small("scmn")
    begun(model).save_memory(tmp_path / "memory.safetensors")
    segmenter = begun(model, **settings)
    with pytest.raises(InputError, match=difference):
        segmenter.load_memory(tmp_path / "memory.safetensors")
    assert segmenter.object_ids == (200, 3)


def test_other_networks_and_weights_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "memory.safetensors"
    model = build_small("scmn")
    begun(model).save_memory(path)
    with pytest.raises(InputError, match=r"network .*'scmn'.*, here .*'stm'"):
        VideoSegmenter(build_small("stm")).load_memory(path)
    with torch.no_grad():
        next(model.parameters()).add_(1e-3)
    with pytest.raises(
        InputError, match=r"does not fit this segmenter: saved with weights '\w{8}'"
    ):
        VideoSegmenter(model).load_memory(path)


def test_damaged_and_foreign_files_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "memory.safetensors"
    segmenter = begun(build_small("stcn"))
    with pytest.raises(InputError, match="file not found"):
        segmenter.load_memory(path)
    segmenter.save_memory(path)
    content = path.read_bytes()
    in_metadata = content.index(b"frame_count")
    for position in (in_metadata + 16, len(content) - 5):
        damaged = bytearray(content)
        damaged[position] ^= 1
        path.write_bytes(damaged)
        with pytest.raises(InputError, match="damaged: wrong checksum"):
            segmenter.load_memory(path)
    path.write_bytes(content[:-1])
    with pytest.raises(InputError, match="not a readable safetensors file"):
        segmenter.load_memory(path)
    save_weights(build_small("stcn"), path)
    with pytest.raises(InputError, match="not a saved memory"):
        segmenter.load_memory(path)
    assert segmenter.object_ids == (200, 3)

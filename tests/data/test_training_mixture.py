"""Samples are a pure function of seed and number; batches and their loader."""

from __future__ import annotations

import dataclasses
import multiprocessing
import pickle
import signal
import subprocess
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import torch

from scmn.data.clips.batch import ClipBatch, TrainingClip, collate_clips
from scmn.data.clips.loading import ClipLoader, SampleNumbers
from scmn.data.clips.mixture import ClipMixture, MixtureEntry
from scmn.data.clips.static_clips import StaticClips
from scmn.data.clips.synthetic_clips import SyntheticClips
from scmn.data.clips.video_clips import VideoClips
from scmn.data.synthetic import SyntheticSettings
from scmn.errors import InputError
from tests.data.training_trees import SETTINGS, labels_with, static_source, video

SAMPLES = 24


@pytest.fixture
def mixture(tmp_path: Path) -> ClipMixture:
    """Still, real-like and synthetic clips; a pass has 2 + 3 * 2 + 3 = 11 samples."""
    still = static_source(tmp_path / "still", labels_with((1, 9)), labels_with((1, 9), (2, 9)))
    maps = [labels_with((1, 8), (3, 9))] * 6
    videos = [video(tmp_path / name, maps) for name in ("a", "b")]
    synthetic = SyntheticSettings(size=(32, 48), frames=5, objects=(1, 2), minimum_area=0.02)
    entries = [
        MixtureEntry(still),
        MixtureEntry(VideoClips(videos, name="video", settings=SETTINGS), repeat=3),
        MixtureEntry(SyntheticClips(synthetic, seed=0, scenes=3, settings=SETTINGS)),
    ]
    return ClipMixture(entries, seed=5, total_samples=SAMPLES)


def assert_equal(batch: ClipBatch, other: ClipBatch) -> None:
    assert batch.numbers == other.numbers
    assert batch.sources == other.sources
    for name in ("frames", "valid_objects", "label_maps"):
        assert torch.equal(getattr(batch, name), getattr(other, name)), name


# Samples.


def test_training_clip_shapes_and_dtypes(mixture: ClipMixture) -> None:
    clip = mixture[7]
    assert clip.number == 7
    assert clip.frames.shape == (3, 3, 32, 48)
    assert clip.frames.dtype == torch.uint8
    assert clip.valid_objects.dtype == torch.bool
    assert clip.label_maps.shape == (3, 32, 48)
    assert clip.label_maps.dtype == torch.uint8
    batch = collate_clips([clip, mixture[8]])
    images = batch.images()
    assert images.shape == (2, 3, 3, 32, 48)
    assert images.dtype == torch.float32
    assert 0 <= images.min() < images.max() <= 1
    assert torch.equal((255 * images).round().byte(), batch.frames)


def test_training_clip_first_masks_are_the_one_hot_label_map(mixture: ClipMixture) -> None:
    batch = collate_clips([mixture[number] for number in range(SAMPLES)])
    masks = batch.first_masks()
    assert masks.shape == (SAMPLES, 2, 32, 48)
    for channel in range(2):
        assert torch.equal(masks[:, channel] == 1, batch.label_maps[:, 0] == channel + 1)
    assert torch.equal(masks.flatten(2).any(dim=2), batch.valid_objects)


def test_mixture_is_independent_of_the_order_of_drawing(mixture: ClipMixture) -> None:
    forwards = [mixture[number] for number in range(SAMPLES)]
    torch.manual_seed(9)
    np.random.seed(9)  # noqa: NPY002
    again = pickle.loads(pickle.dumps(mixture))
    backwards = [again[number] for number in reversed(range(SAMPLES))][::-1]
    assert_equal(collate_clips(forwards), collate_clips(backwards))


def test_mixture_depends_on_seed_and_number(mixture: ClipMixture) -> None:
    other = ClipMixture(mixture.entries, seed=6, total_samples=SAMPLES)
    assert not torch.equal(mixture[0].frames, other[0].frames)
    same = [n for n in range(11, SAMPLES) if mixture.item(n) == mixture.item(0)]
    assert same
    assert not torch.equal(mixture[0].frames, mixture[same[0]].frames), "each pass draws anew"


def test_mixture_pass_holds_every_item_as_often_as_repeated(mixture: ClipMixture) -> None:
    assert mixture.pass_length == 11
    passes = []
    for begin in (0, 11):
        items = [mixture.item(number) for number in range(begin, begin + 11)]
        passes.append([(source.name, index) for source, index in items])
    for drawn in passes:
        counts = Counter(drawn)
        assert {counts["still", index] for index in range(2)} == {1}
        assert {counts["video", index] for index in range(2)} == {3}
        assert {counts["synthetic", index] for index in range(3)} == {1}
    assert passes[0] != passes[1]


def test_mixture_progress_is_the_share_of_the_stage(tmp_path: Path) -> None:
    seen = []

    class Watched(StaticClips):
        def draw(self, index: int, *, rng: np.random.Generator, progress: float):  # type: ignore[no-untyped-def]
            seen.append(progress)
            return super().draw(index, rng=rng, progress=progress)

    still = static_source(tmp_path, labels_with((1, 9)))
    source = Watched(still.images, name="a", settings=SETTINGS)
    mixture = ClipMixture([MixtureEntry(source)], seed=0, total_samples=10)
    for number in (0, 1, 9):
        mixture[number]
    assert seen == [0.0, 0.1, 0.9]


def test_mixture_refuses_numbers_out_of_range(mixture: ClipMixture) -> None:
    for number in (-1, SAMPLES):
        with pytest.raises(IndexError, match=r"training samples are 0\.\.23"):
            mixture[number]


def test_mixture_refuses_invalid_settings(mixture: ClipMixture, tmp_path: Path) -> None:
    other = dataclasses.replace(SETTINGS, frames=4)
    source = static_source(tmp_path / "other", labels_with((1, 9)), settings=other)
    with pytest.raises(InputError, match="'still' and 'still' have different clip settings"):
        ClipMixture([mixture.entries[0], MixtureEntry(source)], seed=0, total_samples=1)
    with pytest.raises(InputError, match="no data set"):
        ClipMixture([], seed=0, total_samples=1)


# Loading.


def test_clip_loader_is_independent_of_the_number_of_workers(mixture: ClipMixture) -> None:
    plain = list(ClipLoader(mixture, batch_size=4))
    assert [batch.numbers for batch in plain[:2]] == [(0, 1, 2, 3), (4, 5, 6, 7)]
    for workers in (1, 2):
        loaded = list(ClipLoader(mixture, batch_size=4, workers=workers))
        for batch, other in zip(plain, loaded, strict=True):
            assert_equal(batch, other)


def test_clip_loader_of_two_ranks_draws_the_samples_of_one(mixture: ClipMixture) -> None:
    whole = list(ClipLoader(mixture, batch_size=4))
    ranks = [list(ClipLoader(mixture, batch_size=2, rank=rank, world_size=2)) for rank in range(2)]
    for batch, first, second in zip(whole, *ranks, strict=True):
        assert first.numbers == batch.numbers[::2]
        assert second.numbers == batch.numbers[1::2]
        assert torch.equal(first.frames, batch.frames[::2])
        assert torch.equal(second.frames, batch.frames[1::2])


def test_clip_loader_restarts_at_a_sample(mixture: ClipMixture) -> None:
    whole = list(ClipLoader(mixture, batch_size=3))
    rest = list(ClipLoader(mixture, batch_size=3, start=9))
    for batch, other in zip(whole[3:], rest, strict=True):
        assert_equal(batch, other)


def test_clip_loader_leaves_the_global_generator_alone(mixture: ClipMixture) -> None:
    torch.manual_seed(3)
    expected = torch.rand(1)
    torch.manual_seed(3)
    next(iter(ClipLoader(mixture, batch_size=2)))
    assert torch.equal(torch.rand(1), expected)


@pytest.mark.parametrize(("world", "stop"), [(1, 10), (2, 11), (3, 20), (4, 3)])
def test_sample_numbers_are_shared_equally(world: int, stop: int) -> None:
    shares = [
        list(SampleNumbers(start=2, stop=stop, rank=rank, world_size=world))
        for rank in range(world)
    ]
    assert len({len(share) for share in shares}) == 1
    together = sorted(number for share in shares for number in share)
    assert together == list(range(2, 2 + (stop - 2) // world * world))
    assert len(SampleNumbers(start=2, stop=stop, world_size=world)) == len(shares[0])


def test_clip_loader_gives_every_rank_as_many_batches(mixture: ClipMixture) -> None:
    loaders = [
        ClipLoader(mixture, batch_size=2, start=1, rank=rank, world_size=3) for rank in range(3)
    ]
    assert [len(loader) for loader in loaders] == [3, 3, 3]
    assert len(list(loaders[2])) == 3


@pytest.mark.parametrize("workers", [0, 1])
def test_clip_loader_reports_a_corrupt_image_in_one_line(tmp_path: Path, workers: int) -> None:
    source = static_source(tmp_path, *[labels_with((1, 9))] * 4)
    file = tmp_path / "2.png"
    file.write_bytes(file.read_bytes()[:-400])
    mixture = ClipMixture([MixtureEntry(source)], seed=0, total_samples=8)
    with pytest.raises(InputError) as caught:
        list(ClipLoader(mixture, batch_size=2, workers=workers))
    message = str(caught.value)
    assert message.startswith(f"image {file} cannot be read")
    assert "\n" not in message
    assert not multiprocessing.active_children(), "workers end with the iteration"


@pytest.mark.skipif(not hasattr(signal, "sigwaitinfo"), reason="who sent a signal is not known")
def test_clip_loader_workers_ignore_signals_of_other_processes(mixture: ClipMixture) -> None:
    batches = iter(ClipLoader(mixture, batch_size=2, workers=1))
    next(batches)
    (worker,) = multiprocessing.active_children()
    for name in ("INT", "TERM"):
        subprocess.run(["kill", f"-{name}", str(worker.pid)], check=True)
    assert len(list(batches)) == SAMPLES // 2 - 1
    assert worker.exitcode == 0


def test_clip_loader_refuses_samples_and_ranks_that_do_not_exist(mixture: ClipMixture) -> None:
    for numbers, message in (
        ({"rank": 2, "world_size": 2}, "rank 2 is not below the world size 2"),
        ({"start": 25}, r"sample number 25 to start from is not in 0\.\.24"),
    ):
        with pytest.raises(InputError, match=message):
            ClipLoader(mixture, batch_size=1, **numbers)  # type: ignore[arg-type]


def test_clip_batch_moves_all_tensors(mixture: ClipMixture) -> None:
    batch = next(iter(ClipLoader(mixture, batch_size=2)))
    assert len(batch) == 2
    moved = batch.to("meta")
    tensors = [getattr(moved, field.name) for field in dataclasses.fields(TrainingClip)[:3]]
    assert all(tensor.device.type == "meta" for tensor in tensors)
    assert moved.numbers == batch.numbers

"""Would the result be worse if time were shuffled? What holds by construction, for any weights."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch
from PIL import Image

from scmn import InputError, VideoSegmenter
from scmn.data.datasets import Dataset, open_dataset
from scmn.data.masks import write_label_map
from scmn.data.sequences import VideoSequence
from scmn.data.synthetic import SyntheticSettings, write_davis
from scmn.networks.base import MemoryNetwork
from tests.conftest import REPOSITORY, build_small
from tests.inference.clips import label_map
from tests.inference.recording import distinct, recurring


@pytest.fixture
def shuffle_time(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(str(REPOSITORY / "scripts"))
    return importlib.import_module("shuffle_time")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A sequence whose frames differ, so that it matters which of them are read."""
    folder = tmp_path_factory.mktemp("data")
    images, masks = (folder / kind / "480p/noise" for kind in ("JPEGImages", "Annotations"))
    for path in (images, masks, folder / "ImageSets/2017"):
        path.mkdir(parents=True)
    (folder / "ImageSets/2017/val.txt").write_text("noise\n")
    for time, frame in enumerate(recurring(7)):
        Image.fromarray(frame).save(images / f"{time:05d}.jpg", quality=95)
        labels = label_map((1, 5, 5 + 3 * time), (2, 30 - 2 * time, 40))
        write_label_map(masks / f"{time:05d}.png", labels)
    return folder


@pytest.fixture(scope="module")
def dataset(folder: Path) -> Dataset:
    return open_dataset("davis2017-val", folder)


def probabilities(segmenter: VideoSegmenter, sequence: VideoSequence) -> list[torch.Tensor]:
    segmenter.reset()
    return [segmenter.step(f.image, f.labels).probabilities for f in sequence.frames()]


def build_distinct(name: str, **switches: Any) -> MemoryNetwork:
    return distinct(build_small(name, **switches))


@pytest.mark.parametrize(
    "memory",
    [
        {},
        {"max_frames": 2, "eviction": "usage"},
        {"max_frames": None, "long_term": {"min_frames": 2, "max_frames": 4, "prototypes": 3}},
    ],
)
@pytest.mark.parametrize("name", ["stm", "stcn", "scmn_small"])
def test_without_embeddings_the_memory_is_a_set(
    name: str, memory: dict[str, Any], dataset: Dataset, shuffle_time: ModuleType
) -> None:
    segmenter = VideoSegmenter(build_distinct(name), memory={"every": 1, "top_k": None, **memory})
    in_order = probabilities(segmenter, dataset.sequences[0])
    with shuffle_time.shuffled_memory(segmenter.model, seed=0):
        shuffled = probabilities(segmenter, dataset.sequences[0])
    torch.testing.assert_close(shuffled, in_order, atol=1e-4, rtol=1e-3)
    again = probabilities(segmenter, dataset.sequences[0])
    torch.testing.assert_close(again, in_order, atol=0, rtol=0)


@pytest.mark.parametrize("name", ["stm", "stcn", "scmn_small"])
def test_with_embeddings_the_memory_has_an_order(
    name: str, dataset: Dataset, shuffle_time: ModuleType
) -> None:
    network = build_distinct(name, temporal_embedding=True)
    assert network.temporal_embedding is not None
    for vectors in network.temporal_embedding.parameters():
        torch.nn.init.normal_(vectors)
    segmenter = VideoSegmenter(network, memory={"every": 1, "top_k": None})
    in_order = probabilities(segmenter, dataset.sequences[0])
    with shuffle_time.shuffled_memory(segmenter.model, seed=0):
        shuffled = probabilities(segmenter, dataset.sequences[0])
    assert (shuffled[-1] - in_order[-1]).abs().max() > 1e-3


@pytest.mark.parametrize("name", ["stm", "stcn"])
def test_shuffled_frames_change_only_what_is_remembered_of_them(
    name: str, dataset: Dataset, shuffle_time: ModuleType
) -> None:
    """From the given frame alone each frame gets the same mask, wherever it comes."""
    network = build_distinct(name)
    (sequence,) = dataset.sequences
    shuffled = shuffle_time.shuffled_frames(sequence, seed=0)
    places = [shuffled.image_paths.index(path) for path in sequence.image_paths]

    def both(**memory: Any) -> tuple[list[torch.Tensor], list[torch.Tensor]]:
        segmenter = VideoSegmenter(network, memory={"top_k": None, **memory})
        in_other_order = probabilities(segmenter, shuffled)
        return [in_other_order[place] for place in places], probabilities(segmenter, sequence)

    from_shuffled, in_order = both(every=None, keep_previous=False)
    torch.testing.assert_close(from_shuffled, in_order, atol=0, rtol=0)
    from_shuffled, in_order = both(every=1)
    assert max((a - b).abs().max() for a, b in zip(from_shuffled, in_order, strict=True)) > 1e-3


def test_frames_are_shuffled_with_their_annotations(
    dataset: Dataset, shuffle_time: ModuleType
) -> None:
    (sequence,) = dataset.sequences
    shuffled = shuffle_time.shuffled_frames(sequence, seed=0)
    assert shuffled.image_paths[0] == sequence.image_paths[0]
    assert shuffled.image_paths != sequence.image_paths
    assert sorted(shuffled.image_paths) == sorted(sequence.image_paths)
    for index, path in enumerate(shuffled.image_paths):
        assert shuffled.annotation_paths[index].stem == path.stem


def test_the_script_prints_a_row_for_each_network(
    tmp_path: Path,
    shuffle_time: ModuleType,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    settings = SyntheticSettings(size=(64, 96), frames=6, objects=(1, 1))
    write_davis(tmp_path, sequences=1, settings=settings)
    weights = REPOSITORY / "scmn/weights/scmn_small.safetensors"
    options = ["--network", f"scmn_small={weights}", "scmn_small", "--dataset", "davis2017-val"]
    options += ["--data", str(tmp_path), "--precision", "fp32", "memory.every=1"]
    monkeypatch.setattr(sys, "argv", ["shuffle_time.py", *options])
    shuffle_time.main()
    header, _, *rows = (
        line.strip("| ").split(" | ") for line in capsys.readouterr().out.splitlines()
    )
    assert header == ["network", "data set", "in order", "shuffled frames", "shuffled memory"]
    assert [row[:2] for row in rows] == [
        ["scmn_small, trained", "davis2017-val"],
        ["scmn_small", "davis2017-val"],
    ]
    assert rows[0][2:] == rows[1][2:]
    in_order, shuffled_frames, shuffled_memory = map(float, rows[0][2:])
    assert 10 < in_order <= 100
    assert 0 <= shuffled_frames <= 100
    assert shuffled_memory == pytest.approx(in_order, abs=0.1)


def test_the_script_wants_a_folder_for_each_data_set(
    shuffle_time: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    options = ["--dataset", "davis2017-val", "davis2016-val", "--data", "DAVIS"]
    monkeypatch.setattr(sys, "argv", ["shuffle_time.py", *options])
    with pytest.raises(InputError, match="2 data sets but 1 folders in --data"):
        shuffle_time.main()

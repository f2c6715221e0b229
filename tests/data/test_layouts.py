"""The readers of YouTube-VOS, MOSE and LVOS; names of sequences and of data sets."""

from __future__ import annotations

import json
import logging
import pickle
from pathlib import Path

import pytest

from scmn.data.datasets import DATASETS, open_dataset
from scmn.data.layout import FirstAppearances, check_sequence_name
from scmn.data.masks import object_ids
from scmn.data.mose import mose_sequences
from scmn.data.youtube_vos import youtube_vos_sequences
from scmn.errors import InputError
from tests.data.trees import add_frames, add_mask, numbered

META = {"v": {"1": ["00000", "00005", "00010"], "2": ["00005", "00010", "00015"]}}


def make_youtube(root: Path, *, meta: dict[str, dict[str, list[str]]] | None) -> None:
    """Object 2 appears on frame 5, where the file shows object 1 as well."""
    folder = root / "valid"
    add_frames(folder / "JPEGImages/v", numbered(5, step=5))
    add_mask(folder / "Annotations/v/00000.png", 1)
    add_mask(folder / "Annotations/v/00005.png", 1, 2)
    if meta is not None:
        videos = {
            name: {"objects": {key: {"frames": frames} for key, frames in objects.items()}}
            for name, objects in meta.items()
        }
        (folder / "meta.json").write_text(json.dumps({"videos": videos}))


@pytest.mark.parametrize("folder", ["all_frames/valid_all_frames", "valid_all_frames"])
def test_youtube_vos_reads_all_frames_and_writes_the_listed_ones(
    tmp_path: Path, folder: str, caplog: pytest.LogCaptureFixture
) -> None:
    make_youtube(tmp_path, meta=META)
    add_frames(tmp_path / folder / "JPEGImages/v", numbered(21))
    with caplog.at_level(logging.WARNING):
        dataset = open_dataset("youtube-vos-2019-val", tmp_path)
    assert not caplog.records
    assert (dataset.protocol, dataset.size, dataset.archive) == ("youtube-vos", 480, "annotations")
    assert dataset.upscale
    assert not dataset.annotated
    (sequence,) = dataset.sequences
    assert len(sequence) == 21
    assert sequence.written_frames == frozenset(["00000", "00005", "00010", "00015"])
    given = {frame.index: frame.labels for frame in sequence.frames() if frame.labels is not None}
    assert {index: object_ids(labels) for index, labels in given.items()} == {0: (1,), 5: (2,)}


def test_youtube_vos_without_all_frames_warns(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    make_youtube(tmp_path, meta=META)
    (sequence,) = open_dataset("youtube-vos-2018-val", tmp_path).sequences
    assert "valid_all_frames" in caplog.text
    assert "accuracy" in caplog.text
    assert sequence.frame_names == tuple(numbered(5, step=5))
    assert dict(sequence.given_objects) == {0: (1,), 1: (2,)}
    caplog.clear()
    youtube_vos_sequences(tmp_path, all_frames=False)
    assert not caplog.records


def test_youtube_vos_without_meta_writes_the_stored_frames(tmp_path: Path) -> None:
    make_youtube(tmp_path, meta=None)
    add_frames(tmp_path / "valid_all_frames/JPEGImages/v", numbered(21))
    (sequence,) = open_dataset("youtube-vos-2018-val", tmp_path).sequences
    assert len(sequence) == 21
    assert sequence.written_frames == frozenset(numbered(5, step=5))


def test_youtube_vos_reports_missing_frames_and_malformed_meta(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="valid does not exist; expected YouTube-VOS"):
        open_dataset("youtube-vos-2018-val", tmp_path)
    make_youtube(tmp_path, meta={"v": {"1": ["00000", "00099", "00100"]}})
    with pytest.raises(InputError, match=r"it is itself a split; .*contains valid/"):
        open_dataset("youtube-vos-2018-val", tmp_path / "valid")
    with pytest.raises(InputError, match=r"no frame '00099', .*\(2 frames are missing\)"):
        open_dataset("youtube-vos-2018-val", tmp_path)
    meta_file = tmp_path / "valid/meta.json"
    for content in ("[]", '{"videos": {"v": {"objects": {"1": {}}}}}', '{"videos": 3}'):
        meta_file.write_text(content)
        with pytest.raises(InputError, match=r"meta\.json is malformed"):
            open_dataset("youtube-vos-2018-val", tmp_path)
    meta_file.write_text("{")
    with pytest.raises(InputError, match=r"meta\.json cannot be read as JSON"):
        open_dataset("youtube-vos-2018-val", tmp_path)


@pytest.mark.parametrize("name", ["mose-val", "lvos-val"])
def test_mose_gives_objects_at_their_first_appearance(tmp_path: Path, name: str) -> None:
    add_frames(tmp_path / "valid/JPEGImages/v", numbered(4))
    add_mask(tmp_path / "valid/Annotations/v/00001.png", 1)
    add_mask(tmp_path / "valid/Annotations/v/00003.png", 1, 9)
    dataset = open_dataset(name, tmp_path)
    assert (dataset.protocol, dataset.size, dataset.archive) == ("youtube", 480, "sequences")
    assert not dataset.annotated
    (sequence,) = dataset.sequences
    assert sequence.written_frames is None
    assert dict(sequence.given_objects) == {1: (1,), 3: (9,)}
    labels = sequence.given_labels(3)
    assert labels is not None
    assert object_ids(labels) == (9,)


def test_mose_with_all_annotations_can_be_scored(tmp_path: Path) -> None:
    add_frames(tmp_path / "train/JPEGImages/v", numbered(3))
    for frame in numbered(3):
        add_mask(tmp_path / f"train/Annotations/v/{frame}.png", 1)
    (sequence,) = mose_sequences(tmp_path, split="train")
    assert dict(sequence.given_objects) == {0: (1,)}
    (tmp_path / "train").rename(tmp_path / "valid")
    assert open_dataset("mose-val", tmp_path).annotated


def test_mose_refuses_a_video_without_masks(tmp_path: Path) -> None:
    add_frames(tmp_path / "valid/JPEGImages/v", numbered(2))
    (tmp_path / "valid/Annotations").mkdir()
    with pytest.raises(InputError, match="Annotations/v does not exist; expected MOSE or LVOS"):
        open_dataset("mose-val", tmp_path)


def test_first_appearances_reads_only_as_far_as_needed(tmp_path: Path) -> None:
    paths = {
        0: add_mask(tmp_path / "0.png", 2),
        4: add_mask(tmp_path / "4.png", 2, 1),
        7: tmp_path / "missing.png",
    }
    given = pickle.loads(pickle.dumps(FirstAppearances(paths)))
    assert 4 in given
    assert given[4] == (1,)
    assert given[0] == (2,)
    assert 3 not in given
    assert 0 in given
    with pytest.raises(InputError, match=r"missing\.png"):
        len(given)
    with pytest.raises(InputError, match=r"missing\.png"):  # nothing was lost by the failure
        list(given)


def test_youtube_vos_refuses_sequence_names_that_escape_the_output_folder(tmp_path: Path) -> None:
    make_youtube(tmp_path, meta={"../v": {"1": ["00000"]}})
    with pytest.raises(InputError, match=r"meta\.json: the sequence name '\.\./v'"):
        open_dataset("youtube-vos-2018-val", tmp_path)


ESCAPING_NAMES = ["", ".", "..", "../a", "/a", "a/b", "a\\b", "C:", "C:a", "a\0"]


@pytest.mark.parametrize("name", ESCAPING_NAMES)
def test_check_sequence_name_refuses_names_that_escape_the_output_folder(name: str) -> None:
    with pytest.raises(InputError, match=r"list\.txt: the sequence name"):
        check_sequence_name(name, Path("list.txt"))


@pytest.mark.parametrize("name", ["davis2017val", "coco", "davis2017-", "davis2017-../val"])
def test_open_dataset_lists_the_known_data_sets(tmp_path: Path, name: str) -> None:
    with pytest.raises(InputError, match=f"unknown data set '{name}'.*mose-val"):
        open_dataset(name, tmp_path)


def test_open_dataset_suggests_the_nearest_name(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="did you mean 'youtube-vos-2018-val'"):
        open_dataset("youtubevos-2018-val", tmp_path)


@pytest.mark.parametrize("name", DATASETS)
def test_open_dataset_shows_the_expected_layout(tmp_path: Path, name: str) -> None:
    with pytest.raises(InputError, match="JPEGImages/") as caught:
        open_dataset(name, tmp_path / "absent")
    assert "\n" not in str(caught.value)


def test_youtube_vos_reads_real_data(shared_data: Path) -> None:
    sequences = youtube_vos_sequences(
        shared_data / "youtubevos-sparse", split="train", all_frames=False
    )
    assert len(sequences) == 11
    for sequence in sequences:
        assert len(sequence) == len(sequence.annotation_paths) == 5
        assert dict(sequence.given_objects) == {0: (1,)}
        assert sequence.written_frames is not None
        assert {"00000", "00001"} < sequence.written_frames <= set(sequence.frame_names)

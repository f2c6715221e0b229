"""The reader of DAVIS 2016 and 2017."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from scmn.data.datasets import open_dataset
from scmn.data.masks import object_ids
from scmn.errors import InputError
from tests.data.trees import add_frames, add_mask, numbered


def make_davis(root: Path, name: str, *, masks: int, years: Sequence[int] = (2016, 2017)) -> None:
    add_frames(root / "JPEGImages/480p" / name, numbered(3))
    for frame in numbered(masks):
        add_mask(root / f"Annotations/480p/{name}/{frame}.png", 1, 3)
    for year in years:
        split_file = root / f"ImageSets/{year}/val.txt"
        split_file.parent.mkdir(parents=True, exist_ok=True)
        with split_file.open("a") as file:
            file.write(f"{name}\n")


def make_davis_2016(root: Path) -> None:
    add_frames(root / "JPEGImages/480p/bear", numbered(2))
    folder = root / "Annotations/480p/bear"
    folder.mkdir(parents=True)
    mask = Image.fromarray(np.array([[0, 255, 0, 0, 0, 0]] * 4, dtype=np.uint8))
    mask.save(folder / "00000.png")
    mask.convert("LA").save(folder / "00001.png")
    (root / "ImageSets/480p").mkdir(parents=True)
    (root / "ImageSets/480p/val.txt").write_text(
        "/JPEGImages/480p/bear/00000.png /Annotations/480p/bear/00000.png \n"
        "/JPEGImages/480p/bear/00001.png /Annotations/480p/bear/00001.png \n"
    )


def test_davis_2017_reads_the_split_in_its_order(tmp_path: Path) -> None:
    make_davis(tmp_path, "b", masks=3)
    make_davis(tmp_path, "a", masks=3)
    dataset = open_dataset("davis2017-val", tmp_path)
    assert [sequence.name for sequence in dataset.sequences] == ["b", "a"]  # the split's order
    assert (dataset.split, dataset.protocol, dataset.size) == ("val", "davis", None)
    assert dataset.archive is None
    assert dataset.annotated
    frames = list(dataset.sequences[0].frames())
    assert [frame.name for frame in frames] == numbered(3)
    assert [frame.image[0, 0, 0] for frame in frames] == [0, 1, 2]
    assert frames[0].labels is not None
    assert object_ids(frames[0].labels) == (1, 3)
    assert frames[1].labels is None
    assert frames[2].labels is None
    assert object_ids(dataset.sequences[0].annotation(2)) == (1, 3)
    assert dataset.sequences[0].is_written("00002")


def test_davis_2016_merges_the_objects_of_the_2017_tree(tmp_path: Path) -> None:
    make_davis(tmp_path, "a", masks=3)
    (sequence,) = open_dataset("davis2016-val", tmp_path).sequences
    assert object_ids(sequence.annotation(0)) == (1,)
    assert np.count_nonzero(sequence.annotation(0)) == 2


def test_davis_2016_reads_the_original_tree(tmp_path: Path) -> None:
    make_davis_2016(tmp_path)
    dataset = open_dataset("davis2016-val", tmp_path)
    (sequence,) = dataset.sequences
    assert (sequence.name, len(sequence), dataset.annotated) == ("bear", 2, True)
    for index in range(2):
        assert sequence.annotation(index).tolist() == [[0, 1, 0, 0, 0, 0]] * 4
    (tmp_path / "Annotations/480p/bear/00001.png").unlink()
    with pytest.raises(InputError, match=r"bear/00001\.png, listed in .*val\.txt, does not exist"):
        open_dataset("davis2016-val", tmp_path)


@pytest.mark.parametrize("image", ["/../../etc/bear/0.png", "0.png", "/JPEGImages/../bear/0.png"])
def test_davis_2016_refuses_paths_outside_the_data_set(tmp_path: Path, image: str) -> None:
    make_davis_2016(tmp_path)
    (tmp_path / "ImageSets/480p/val.txt").write_text(f"{image} /Annotations/480p/bear/00000.png\n")
    with pytest.raises(InputError, match="is not a path like"):
        open_dataset("davis2016-val", tmp_path)


def test_davis_test_dev_has_an_archive_and_no_local_score(tmp_path: Path) -> None:
    make_davis(tmp_path, "a", masks=1)
    (tmp_path / "ImageSets/2017/val.txt").rename(tmp_path / "ImageSets/2017/test-dev.txt")
    dataset = open_dataset("davis2017-test-dev", tmp_path)
    assert (dataset.archive, dataset.split, dataset.annotated) == ("sequences", "test-dev", False)


def test_davis_selects_sequences_by_name(tmp_path: Path) -> None:
    make_davis(tmp_path, "swan", masks=3)
    make_davis(tmp_path, "bear", masks=3)
    (tmp_path / "JPEGImages/480p/swan/00000.png").unlink()  # incomplete, but not selected
    dataset = open_dataset("davis2017-val", tmp_path, sequences=["bear"])
    assert [sequence.name for sequence in dataset.sequences] == ["bear"]
    with pytest.raises(InputError, match=r"no sequence 'swann' \(did you mean 'swan'\?\)"):
        open_dataset("davis2017-val", tmp_path, sequences=["swann"])


def test_davis_names_the_missing_file_or_folder(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"none does not exist; expected DAVIS: JPEGImages/480p"):
        open_dataset("davis2017-val", tmp_path / "none")
    with pytest.raises(InputError, match=r"2017/val\.txt does not exist; expected in .* DAVIS: "):
        open_dataset("davis2017-val", tmp_path)
    make_davis(tmp_path, "a", masks=3)
    with pytest.raises(InputError, match=r"2017/vall\.txt does not exist; available splits: val"):
        open_dataset("davis2017-vall", tmp_path)
    (tmp_path / "JPEGImages/480p/a/00002.png").unlink()
    with pytest.raises(InputError, match=r"a/00002\.png has no frame"):
        open_dataset("davis2017-val", tmp_path)
    (tmp_path / "Annotations/480p/a/00002.png").unlink()
    (tmp_path / "Annotations/480p/a/00000.png").unlink()
    with pytest.raises(InputError, match="'a' has no label map for its first frame"):
        open_dataset("davis2017-val", tmp_path)
    (tmp_path / "ImageSets/2017/val.txt").write_text("gone\n")
    with pytest.raises(InputError, match="JPEGImages/480p/gone does not exist"):
        open_dataset("davis2017-val", tmp_path)
    (tmp_path / "ImageSets/2017/val.txt").write_text("\n")
    with pytest.raises(InputError, match="lists no sequence"):
        open_dataset("davis2017-val", tmp_path)


def test_frames_refuses_a_mask_of_another_size(tmp_path: Path) -> None:
    make_davis(tmp_path, "a", masks=1)
    add_mask(tmp_path / "Annotations/480p/a/00000.png", 1, size=(7, 4))
    (sequence,) = open_dataset("davis2017-val", tmp_path).sequences
    with pytest.raises(InputError, match=r"00000\.png is 7x4 pixels but its frame is 6x4"):
        next(sequence.frames())


def test_davis_refuses_sequence_names_that_escape_the_output_folder(tmp_path: Path) -> None:
    make_davis(tmp_path, "../a", masks=3)
    with pytest.raises(InputError, match=r"val\.txt: the sequence name '\.\./a'"):
        open_dataset("davis2017-val", tmp_path)


def test_davis_reads_real_clips(shared_data: Path) -> None:
    dataset = open_dataset("davis2017-val", shared_data / "davis-clips")
    lengths = {sequence.name: len(sequence) for sequence in dataset.sequences}
    assert lengths == {"blackswan": 50, "car-shadow": 40, "dogs-jump": 66}
    assert dataset.annotated
    first = next(dataset.sequences[2].frames())
    assert first.labels is not None
    assert first.image.shape[:2] == first.labels.shape == (240, 432)
    assert object_ids(first.labels) == (1, 2, 3)

    fish = open_dataset("davis2017-first-frame-only", shared_data / "davis-clips")
    assert (fish.split, len(fish.sequences[0]), fish.annotated) == ("first-frame-only", 40, False)


def test_davis_reads_real_2016_data(shared_data: Path) -> None:
    dataset = open_dataset("davis2016-train", shared_data / "davis2016-train-288p")
    assert len(dataset.sequences) == 30
    assert dataset.annotated
    for sequence in dataset.sequences:
        assert object_ids(sequence.annotation(0)) == (1,)

"""Readers of the user's own folders of frames and masks."""

from __future__ import annotations

from pathlib import Path

import pytest

from scmn.data.folder import folder_sequence, folder_sequences
from scmn.data.masks import object_ids
from scmn.errors import InputError
from tests.data.trees import add_frames, add_mask


def test_folder_sequence_places_a_single_mask_on_the_first_frame(tmp_path: Path) -> None:
    add_frames(tmp_path / "clip", ["f10", "f2", "f1"])
    mask = add_mask(tmp_path / "my mask.png", 4)
    sequence = folder_sequence(tmp_path / "clip", mask)
    assert sequence.name == "clip"
    assert sequence.frame_names == ("f1", "f2", "f10")
    assert sequence.annotation_paths == {0: mask}
    assert folder_sequence(tmp_path / "clip", [mask], name="x").name == "x"


def test_folder_sequence_places_masks_by_name(tmp_path: Path) -> None:
    add_frames(tmp_path / "clip", ["f1", "f2", "f10"])
    late = add_mask(tmp_path / "masks/f10.png", 1, 2)
    assert folder_sequence(tmp_path / "clip", late).annotation_paths == {2: late}
    early = add_mask(tmp_path / "masks/f2.png", 1)
    for masks in ([late, early], tmp_path / "masks"):
        sequence = folder_sequence(tmp_path / "clip", masks)
        assert sequence.annotation_paths == {1: early, 2: late}
        labels = sequence.given_labels(2)
        assert labels is not None
        assert object_ids(labels) == (1, 2)


def test_folder_sequence_refuses_masks_that_match_no_frame(tmp_path: Path) -> None:
    clip = tmp_path / "clip"
    add_frames(clip, ["f1", "f2"])
    good = add_mask(tmp_path / "a/f1.png", 1)
    with pytest.raises(InputError, match=r"other\.png matches no frame .* such as f1\.png"):
        folder_sequence(clip, [good, add_mask(tmp_path / "other.png", 1)])
    with pytest.raises(InputError, match="for the same frame"):
        folder_sequence(clip, [good, add_mask(tmp_path / "b/f1.png", 1)])
    with pytest.raises(InputError, match=r"empty\.png has no object"):
        folder_sequence(clip, add_mask(tmp_path / "empty.png"))
    with pytest.raises(InputError, match="no mask is given"):
        folder_sequence(clip, [])
    with pytest.raises(InputError, match=r"none\.png does not exist"):
        folder_sequence(clip, tmp_path / "none.png")


def test_folder_sequences_reads_one_sequence_per_folder(tmp_path: Path) -> None:
    for name in ("b", "a"):
        add_frames(tmp_path / "frames" / name, ["x1", "x2"])
        add_mask(tmp_path / "masks" / name / "x2.png", 5)
    sequences = folder_sequences(tmp_path / "frames", tmp_path / "masks")
    assert [sequence.name for sequence in sequences] == ["a", "b"]
    assert sequences[0].given_objects == {1: None}
    chosen = folder_sequences(tmp_path / "frames", tmp_path / "masks", names=["b"])
    assert [sequence.name for sequence in chosen] == ["b"]
    (tmp_path / "masks/a/x2.png").rename(tmp_path / "masks/a/x3.png")
    with pytest.raises(InputError, match=r"x3\.png has no frame"):
        folder_sequences(tmp_path / "frames", tmp_path / "masks")

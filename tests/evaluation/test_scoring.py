"""Scores of data sets: errors, means over objects, processes, and reading."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from scmn.errors import InputError
from scmn.evaluation.scoring import NothingToScore, score_sequence, score_sequences
from tests.evaluation.conftest import MakeSequence
from tests.evaluation.label_maps import EMPTY, HALF, ONE, SIZE, label_map


class TestErrors:
    def test_score_sequences_counts_missing_masks(
        self, make_sequence: MakeSequence, masks_folder: Path
    ) -> None:
        sequences = [
            make_sequence("a", [ONE] * 5, [ONE] * 5),
            make_sequence("b", [ONE] * 5, [ONE, ONE, None, None, None]),
            make_sequence("c", [ONE] * 3, [None] * 3),
        ]
        with pytest.raises(InputError) as error:
            score_sequences(sequences, masks_folder, protocol="davis")
        assert str(masks_folder / "b" / "00002.png") in str(error.value)
        assert "3 of the 7 expected masks are missing" in str(error.value)

    @pytest.mark.parametrize("processes", [1, 2])
    def test_score_sequences_refuses_another_size(
        self, make_sequence: MakeSequence, masks_folder: Path, processes: int
    ) -> None:
        small = np.ones((12, 20), np.uint8)
        sequences = [
            make_sequence("a", [ONE] * 3, [ONE] * 3),
            make_sequence("b", [ONE] * 3, [ONE, small, ONE]),
        ]
        with pytest.raises(InputError) as error:
            score_sequences(sequences, masks_folder, protocol="davis", processes=processes)
        assert str(masks_folder / "b" / "00001.png") in str(error.value)
        assert "20x12" in str(error.value)
        assert "40x24" in str(error.value)

    def test_score_sequence_refuses_the_ground_truth_as_prediction(
        self, make_sequence: MakeSequence, tmp_path: Path
    ) -> None:
        sequence = make_sequence("clip", [ONE] * 3, [None] * 3)
        link = tmp_path / "link"
        link.symlink_to(tmp_path / "annotations", target_is_directory=True)
        (tmp_path / "frames").mkdir()
        for folder in (tmp_path / "annotations", tmp_path / "frames" / ".." / "annotations", link):
            with pytest.raises(InputError, match=r"ground truth .* same folder"):
                score_sequence(sequence, folder, protocol="davis")

    def test_score_sequence_refuses_too_few_annotated_frames(
        self, make_sequence: MakeSequence, masks_folder: Path
    ) -> None:
        sequence = make_sequence("clip", [ONE, None, ONE], [ONE] * 3)
        with pytest.raises(InputError, match="'clip' cannot be scored: it has 2 annotated"):
            score_sequence(sequence, masks_folder, protocol="davis")

    def test_score_sequences_leaves_out_and_notes_a_short_sequence(
        self, make_sequence: MakeSequence, masks_folder: Path
    ) -> None:
        normal = make_sequence("normal", [ONE] * 4, [ONE, HALF, ONE, ONE])
        sequences = [
            make_sequence("one", [ONE], [None]),
            normal,
            make_sequence("two", [ONE, ONE], [ONE, None]),
            make_sequence("given", [ONE] * 3, [ONE] * 3, given_objects=dict.fromkeys(range(3))),
        ]
        scores = score_sequences(sequences, masks_folder, protocol="davis")
        assert [scored.name for scored in scores.sequences] == ["one", "normal", "two", "given"]
        assert scores.summary == score_sequences([normal], masks_folder, protocol="davis").summary
        assert scores.summary["J-Mean"] == 0.75
        one, two, given = scores.notes
        assert one.startswith("one: not scored: it has 1 annotated frame,")
        assert two.startswith("two: not scored: it has 2 annotated frames,")
        assert given.startswith("given: not scored: ")
        with pytest.raises(NothingToScore, match=r"'one' cannot be scored.*the 1 others"):
            score_sequences([sequences[0], sequences[3]], masks_folder, protocol="davis")

    def test_score_sequences_notes_a_sequence_without_objects(
        self, make_sequence: MakeSequence, masks_folder: Path
    ) -> None:
        empty = make_sequence("empty", [EMPTY] * 3, [EMPTY] * 3)
        full = make_sequence("full", [ONE] * 3, [ONE] * 3)
        with pytest.raises(InputError, match=r"no object to score.*empty"):
            score_sequence(empty, masks_folder, protocol="davis")
        scores = score_sequences([empty, full], masks_folder, protocol="davis")
        assert scores.notes == ("empty: no object to score",)
        assert scores.summary["J-Mean"] == 1.0

    def test_score_sequence_refuses_an_unknown_protocol(
        self, make_sequence: MakeSequence, masks_folder: Path
    ) -> None:
        sequence = make_sequence("clip", [ONE] * 3, [ONE] * 3)
        with pytest.raises(InputError, match=r"'youtub' .did you mean 'youtube'"):
            score_sequence(sequence, masks_folder, protocol="youtub")


def test_summary_is_a_mean_over_objects(make_sequence: MakeSequence, masks_folder: Path) -> None:
    """Over all objects, whatever the number of objects or frames of their sequences."""
    two = label_map(o1=(4, 12), o2=(20, 28))
    sequences = [
        make_sequence("a", [two] * 3, [label_map(o1=(4, 12), o2=(20, 24))] * 3),
        make_sequence("b", [ONE] * 11, [EMPTY] * 11),
    ]
    scores = score_sequences(sequences, masks_folder, protocol="davis")
    assert list(scores.summary) == [
        "J&F-Mean", "J-Mean", "J-Recall", "J-Decay", "F-Mean", "F-Recall", "F-Decay",
    ]  # fmt: skip
    f_means = [scored.f.mean for scored in scores.objects]
    assert scores.summary["J-Mean"] == pytest.approx((1 + 0.5 + 0) / 3)
    assert scores.summary["J-Recall"] == pytest.approx(1 / 3)
    assert scores.summary["F-Mean"] == pytest.approx(sum(f_means) / 3)
    assert scores.summary["J&F-Mean"] == pytest.approx((0.5 + sum(f_means) / 3) / 2)


def test_score_sequences_does_not_depend_on_processes(
    make_sequence: MakeSequence, masks_folder: Path
) -> None:
    random = np.random.default_rng(0)
    sequences = [
        make_sequence(
            name,
            [ONE, *random.integers(0, 3, (length, *SIZE), dtype=np.uint8)],
            [ONE, *random.integers(0, 4, (length, *SIZE), dtype=np.uint8)],
        )
        for name, length in (("a", 3), ("b", 6), ("c", 4))
    ]
    alone, together = (
        score_sequences(sequences, masks_folder, protocol="youtube", processes=processes)
        for processes in (1, 2)
    )
    assert alone.summary == together.summary
    assert alone.notes == together.notes
    for first, second in zip(alone.sequences, together.sequences, strict=True):
        assert (first.name, first.frames) == (second.name, second.frames)
        for ours, theirs in zip(first.objects, second.objects, strict=True):
            assert (ours.object_id, ours.frames) == (theirs.object_id, theirs.frames)
            assert np.array_equal(ours.region_similarity, theirs.region_similarity)
            assert np.array_equal(ours.contour_accuracy, theirs.contour_accuracy)


def test_score_sequence_reads_each_file_once(
    make_sequence: MakeSequence, masks_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    read: list[Path] = []

    def spy(path: Path, **options: bool) -> np.ndarray:
        read.append(path)
        with Image.open(path) as image:
            return np.array(image)

    monkeypatch.setattr("scmn.evaluation.scoring.read_label_map", spy)
    monkeypatch.setattr("scmn.data.sequences.read_label_map", spy)
    sequence = make_sequence("clip", [ONE] * 6, [ONE] * 6)
    score_sequence(sequence, masks_folder, protocol="davis")
    assert len(read) == len(set(read)) == 5 + 4  # the last annotation is not needed

"""Scores of data sets: protocols, errors, DAVIS 2016, processes, and the official numbers."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from scmn.data.davis import davis_sequences
from scmn.data.masks import davis_palette
from scmn.data.sequences import VideoSequence
from scmn.errors import InputError
from scmn.evaluation.scores import NothingToScore, score_sequence, score_sequences
from tests.evaluation.conftest import MakeSequence

SIZE = (24, 40)
TOLERANCE = 1e-9


def label_map(**columns: tuple[int, int]) -> np.ndarray:
    """Objects as full-height bands: ``label_map(o1=(2, 6))`` is id 1 on columns 2..5."""
    labels = np.zeros(SIZE, np.uint8)
    for name, (start, stop) in columns.items():
        labels[:, start:stop] = int(name.removeprefix("o"))
    return labels


EMPTY = label_map()
ONE = label_map(o1=(4, 12))
HALF = label_map(o1=(4, 8))


class TestDavis:
    def test_first_and_last_frames_are_not_scored(
        self, make_sequence: MakeSequence, masks_folder: Path
    ) -> None:
        sequence = make_sequence("clip", [ONE] * 5, [EMPTY, ONE, HALF, ONE, EMPTY])
        scores = score_sequence(sequence, masks_folder, protocol="davis")
        assert scores.frames == scores.objects[0].frames == ("00001", "00002", "00003")
        assert scores.objects[0].region_similarity.tolist() == [1.0, 0.5, 1.0]

    def test_objects_are_those_of_the_first_annotation(
        self, make_sequence: MakeSequence, masks_folder: Path
    ) -> None:
        """Ids go from 1 to the highest, so an id left out counts as an object never visible."""
        first = label_map(o1=(4, 12), o3=(20, 30))
        later = label_map(o1=(4, 12), o5=(32, 36))
        sequence = make_sequence("clip", [first, later, later, later], [ONE] * 4)
        scores = score_sequence(sequence, masks_folder, protocol="davis")
        assert [scored.object_id for scored in scores.objects] == [1, 2, 3]
        assert [scored.j.mean for scored in scores.objects] == [1.0, 1.0, 1.0]
        assert scores.notes == (
            "object 2 is in no annotation, yet counts: ids go from 1 to the highest",
        )

    def test_void_is_background(self, make_sequence: MakeSequence, masks_folder: Path) -> None:
        annotation = label_map(o1=(4, 12), o255=(12, 20))
        sequence = make_sequence("clip", [annotation] * 3, [label_map(o1=(4, 20))] * 3)
        scores = score_sequence(sequence, masks_folder, protocol="davis")
        assert [scored.object_id for scored in scores.objects] == [1]
        assert scores.objects[0].j.mean == 0.5

    def test_missing_and_additional_predicted_objects(
        self, make_sequence: MakeSequence, masks_folder: Path
    ) -> None:
        annotation = label_map(o1=(4, 12), o2=(20, 30))
        prediction = label_map(o1=(4, 12), o7=(20, 24), o255=(24, 30))
        sequence = make_sequence("clip", [annotation] * 4, [prediction] * 4)
        scores = score_sequence(sequence, masks_folder, protocol="davis")
        assert [scored.j.mean for scored in scores.objects] == [1.0, 0.0]
        assert [scored.f.mean for scored in scores.objects] == [1.0, 0.0]
        assert scores.notes == (
            "object 7 of the predictions is not in the ground truth: ignored on 2 frames",
            "void (255) of the predictions is not in the ground truth: ignored on 2 frames",
        )

    def test_predicting_a_hidden_object_costs(
        self, make_sequence: MakeSequence, masks_folder: Path
    ) -> None:
        sequence = make_sequence("clip", [ONE, EMPTY, EMPTY, ONE], [ONE, ONE, EMPTY, ONE])
        scores = score_sequence(sequence, masks_folder, protocol="davis")
        assert scores.objects[0].region_similarity.tolist() == [0.0, 1.0]


class TestYoutube:
    def test_hidden_frames_before_the_return_do_not_count(
        self, make_sequence: MakeSequence, masks_folder: Path
    ) -> None:
        """The same masks: 0.850 by one protocol, 0.625 by the other.

        The object is visible on frame 0 (given), hidden on frames 1..6, visible again on 7..10;
        frame 11 is the last and not scored.
        """
        quarter = label_map(o1=(4, 6))
        three_quarters = label_map(o1=(4, 10))
        annotations = [ONE, *[EMPTY] * 6, *[ONE] * 5]
        predictions = [ONE, *[EMPTY] * 6, ONE, HALF, three_quarters, quarter, ONE]
        sequence = make_sequence("clip", annotations, predictions)
        davis = score_sequence(sequence, masks_folder, protocol="davis").objects[0]
        youtube = score_sequence(sequence, masks_folder, protocol="youtube").objects[0]
        assert davis.region_similarity.tolist() == [1.0] * 6 + [1.0, 0.5, 0.75, 0.25]
        assert davis.j.mean == pytest.approx(0.850)
        assert youtube.j.mean == pytest.approx(0.625)
        assert youtube.frames == ("00007", "00008", "00009", "00010")

    def test_objects_that_come_later(self, make_sequence: MakeSequence, masks_folder: Path) -> None:
        """They count from where they appear, that frame included, with the ids of the file."""
        both = label_map(o1=(4, 12), o40=(20, 30))
        sequence = make_sequence("clip", [ONE, ONE, both, both, both], [ONE, ONE, both, ONE, both])
        scores = score_sequence(sequence, masks_folder, protocol="youtube")
        assert [scored.object_id for scored in scores.objects] == [1, 40]
        assert scores.objects[1].frames == ("00002", "00003")
        assert scores.objects[1].region_similarity.tolist() == [1.0, 0.0]

    def test_predicting_an_object_while_it_is_hidden_costs(
        self, make_sequence: MakeSequence, masks_folder: Path
    ) -> None:
        sequence = make_sequence("clip", [ONE, EMPTY, EMPTY, ONE, ONE], [ONE, EMPTY, ONE, ONE, ONE])
        scored = score_sequence(sequence, masks_folder, protocol="youtube").objects[0]
        assert scored.frames == ("00002", "00003")
        assert scored.region_similarity.tolist() == [0.0, 1.0]

    def test_only_annotated_frames_that_are_asked_for(
        self, make_sequence: MakeSequence, masks_folder: Path
    ) -> None:
        annotations = [ONE, None, ONE, None, ONE, ONE, ONE]
        predictions = [None, None, HALF, None, None, ONE, None]
        sequence = make_sequence(
            "clip", annotations, predictions, written_frames=frozenset({"00000", "00002", "00005"})
        )
        scores = score_sequence(sequence, masks_folder, protocol="youtube")
        assert scores.frames == ("00002", "00005")

    def test_notes(self, make_sequence: MakeSequence, masks_folder: Path) -> None:
        first = label_map(o1=(4, 12), o2=(20, 30))
        stranger = label_map(o1=(4, 12), o9=(32, 36))
        sequence = make_sequence("clip", [first, ONE, ONE], [first, stranger, ONE])
        scores = score_sequence(sequence, masks_folder, protocol="youtube")
        assert [scored.object_id for scored in scores.objects] == [1]
        assert scores.notes == (
            "object 2 is never visible after the first annotated frame: not scored",
            "object 9 of the predictions is not in the ground truth: ignored on 1 frame",
        )


class TestDavis2016:
    def test_all_ids_are_one_object(self, make_sequence: MakeSequence, masks_folder: Path) -> None:
        parts = label_map(o1=(4, 8), o2=(8, 12))
        sequence = make_sequence("clip", [parts] * 4, [label_map(o7=(4, 12))] * 4)
        merged = make_sequence(
            "merged", [parts] * 4, [label_map(o7=(4, 12))] * 4, merge_objects=True
        )
        assert len(score_sequence(sequence, masks_folder, protocol="davis").objects) == 2
        scored = score_sequence(merged, masks_folder, protocol="davis").objects
        assert [(of_object.object_id, of_object.j.mean) for of_object in scored] == [(1, 1.0)]

    @pytest.mark.parametrize("mode", ["L", "P"])
    def test_masks_of_0_and_255(
        self, make_sequence: MakeSequence, masks_folder: Path, mode: str
    ) -> None:
        sequence = make_sequence("clip", [ONE] * 3, [None] * 3, merge_objects=True)
        (masks_folder / "clip").mkdir(parents=True)
        image = Image.fromarray(HALF * np.uint8(255))
        if mode == "P":
            image.putpalette(davis_palette().tobytes())
        image.save(masks_folder / "clip" / "00001.png")
        assert score_sequence(sequence, masks_folder, protocol="davis").objects[0].j.mean == 0.5


class TestErrors:
    def test_missing_masks_are_counted(
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
    def test_another_size(
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

    def test_scoring_the_ground_truth_against_itself(
        self, make_sequence: MakeSequence, tmp_path: Path
    ) -> None:
        sequence = make_sequence("clip", [ONE] * 3, [None] * 3)
        link = tmp_path / "link"
        link.symlink_to(tmp_path / "annotations", target_is_directory=True)
        (tmp_path / "frames").mkdir()
        for folder in (tmp_path / "annotations", tmp_path / "frames" / ".." / "annotations", link):
            with pytest.raises(InputError, match=r"ground truth .* same folder"):
                score_sequence(sequence, folder, protocol="davis")

    def test_too_few_annotated_frames(
        self, make_sequence: MakeSequence, masks_folder: Path
    ) -> None:
        sequence = make_sequence("clip", [ONE, None, ONE], [ONE] * 3)
        with pytest.raises(InputError, match="'clip' cannot be scored: it has 2 annotated"):
            score_sequence(sequence, masks_folder, protocol="davis")

    def test_a_short_sequence_beside_others_is_left_out_and_noted(
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

    def test_no_object(self, make_sequence: MakeSequence, masks_folder: Path) -> None:
        empty = make_sequence("empty", [EMPTY] * 3, [EMPTY] * 3)
        full = make_sequence("full", [ONE] * 3, [ONE] * 3)
        with pytest.raises(InputError, match=r"no object to score.*empty"):
            score_sequence(empty, masks_folder, protocol="davis")
        scores = score_sequences([empty, full], masks_folder, protocol="davis")
        assert scores.notes == ("empty: no object to score",)
        assert scores.summary["J-Mean"] == 1.0

    def test_unknown_protocol(self, make_sequence: MakeSequence, masks_folder: Path) -> None:
        sequence = make_sequence("clip", [ONE] * 3, [ONE] * 3)
        with pytest.raises(InputError, match=r"'youtub' .did you mean 'youtube'"):
            score_sequence(sequence, masks_folder, protocol="youtub")


def test_global_results_are_means_over_objects(
    make_sequence: MakeSequence, masks_folder: Path
) -> None:
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


def test_the_number_of_processes_changes_nothing(
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


def test_each_file_is_read_once(
    make_sequence: MakeSequence, masks_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    read: list[Path] = []

    def spy(path: Path) -> np.ndarray:
        read.append(path)
        with Image.open(path) as image:
            return np.array(image)

    monkeypatch.setattr("scmn.evaluation.scores.read_label_map", spy)
    monkeypatch.setattr("scmn.data.sequences.read_label_map", spy)
    sequence = make_sequence("clip", [ONE] * 6, [ONE] * 6)
    score_sequence(sequence, masks_folder, protocol="davis")
    assert len(read) == len(set(read)) == 5 + 4  # the last annotation is not needed


@pytest.fixture(scope="module")
def published(shared_data: Path) -> tuple[tuple[VideoSequence, ...], Path, dict[str, Any]]:
    """Masks that the published STM wrote for two sequences, and their official scores."""
    sequences = davis_sequences(shared_data / "davis-clips", year=2016, split="val")
    folder = shared_data / "stm-predictions"
    official = json.loads((folder / "davis2016_official_scores.json").read_text(encoding="utf-8"))
    return sequences, folder / "davis2016", official


def test_published_masks_get_the_official_scores(
    published: tuple[tuple[VideoSequence, ...], Path, dict[str, Any]],
) -> None:
    sequences, masks, official = published
    scores = score_sequences(sequences, masks, protocol="davis")
    assert [sequence.name for sequence in scores.sequences] == list(official)
    for sequence in scores.sequences:
        (scored,) = sequence.objects
        for letter, values, summary in (
            ("J", scored.region_similarity, scored.j),
            ("F", scored.contour_accuracy, scored.f),
        ):
            expected = official[sequence.name][letter]
            per_frame = expected["raw"][0]
            assert per_frame[0] is None
            assert per_frame[-1] is None
            np.testing.assert_allclose(values, per_frame[1:-1], rtol=0, atol=TOLERANCE)
            np.testing.assert_allclose(
                [summary.mean, summary.recall, summary.decay],
                [expected[name][0] for name in ("mean", "recall", "decay")],
                rtol=0,
                atol=TOLERANCE,
            )

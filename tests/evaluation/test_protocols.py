"""What each protocol counts, up to the official scores of published masks."""

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
from scmn.evaluation.scoring import score_sequence, score_sequences
from tests.evaluation.conftest import MakeSequence
from tests.evaluation.label_maps import EMPTY, HALF, ONE, label_map

TOLERANCE = 1e-9


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

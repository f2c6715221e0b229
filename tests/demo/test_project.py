from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from scmn import InputError
from scmn.data.masks import object_ids
from scmn.demo.project import Project
from tests.demo.projects import make_project, square


@pytest.fixture
def project(tmp_path: Path) -> Project:
    return make_project(tmp_path)


def test_draw_and_erase_change_one_object_only(project: Project) -> None:
    project.add_object()
    project.draw(0, 1, square(project, 10, 10))
    project.draw(0, 2, square(project, 10, 20))  # over the right half of object 1
    project.draw(0, 1, square(project, 10, 10, 40), erase=True)
    labels = project.labels(0)
    assert object_ids(labels) == (2,)
    assert (labels == 2).sum() == 400
    assert project.masks[0].given == {1, 2}  # object 1 is hidden here, by the user's hand


def test_areas_are_shares_of_the_frame(project: Project) -> None:
    project.draw(3, 1, square(project, 10, 10))
    assert project.masks[3].areas == {1: pytest.approx(400 / (96 * 160))}


def test_correction_confirms_the_other_objects_of_the_frame(project: Project) -> None:
    project.add_object()
    predicted = np.zeros(project.footage.size, np.uint8)
    predicted[:20, :20], predicted[40:60, 40:60] = 1, 2
    project.set_prediction(4, predicted, {1: 0.9, 2: 0.5})
    assert project.given_frames == []
    project.draw(4, 1, square(project, 0, 10))
    assert project.masks[4].given == {1, 2}
    assert project.given_frames == [4]


def test_prediction_leaves_given_masks_given(project: Project) -> None:
    project.draw(0, 1, square(project, 10, 10))
    project.set_prediction(0, project.labels(0), {1: 1.0})
    assert project.masks[0].given == {1}


def test_undo_returns_step_by_step(project: Project) -> None:
    states = []
    for change in (
        lambda: project.draw(0, 1, square(project, 10, 10)),
        project.add_object,
        lambda: project.draw(5, 2, square(project, 30, 30)),
        lambda: project.change_object(2, name="fish", colour="#102030"),
        lambda: project.remove_object(1),
        lambda: project.clear(5),
        lambda: project.replace_labels(2, np.full(project.footage.size, 7, np.uint8)),
    ):
        states.append((project.objects, project.masks))
        change()
    for state in reversed(states):
        project.undo()
        assert (project.objects, project.masks) == state
    project.undo()  # there is nothing more to undo
    assert (project.objects, project.masks) == states[0]


def test_label_map_replaces_what_was_predicted(project: Project) -> None:
    project.set_prediction(4, np.full(project.footage.size, 2, np.uint8), {2: 0.9})
    project.replace_labels(4, np.ones(project.footage.size, np.uint8))
    assert project.masks[4].given == {1, 2}  # object 2 is hidden


def test_stroke_without_effect_is_no_step(project: Project) -> None:
    project.draw(0, 1, square(project, 10, 10))
    project.draw(0, 1, square(project, 12, 12, 5))
    project.draw(1, 1, square(project, 12, 12, 5), erase=True)
    assert list(project.masks) == [0]
    project.undo()
    assert not project.masks


def test_removed_object_leaves_every_frame(project: Project) -> None:
    project.add_object()
    project.draw(0, 1, square(project, 10, 10))
    project.draw(0, 2, square(project, 50, 50))
    project.draw(6, 1, square(project, 10, 10))
    project.set_prediction(3, np.full(project.footage.size, 2, np.uint8), {1: 0.9, 2: 0.8})
    project.remove_object(1)
    assert object_ids(project.labels(0)) == (2,)
    assert object_ids(project.labels(6)) == ()
    assert project.given_frames == [0]
    assert project.masks[3].confidence == {2: 0.8}
    assert project.add_object().object_id == 1


def test_palette_has_the_objects_colours(project: Project) -> None:
    project.change_object(1, colour="#0a141e")
    assert project.palette[1].tolist() == [10, 20, 30]
    with pytest.raises(InputError, match="#rrggbb"):
        project.change_object(1, colour="red;}")


def test_label_map_adds_its_objects(project: Project) -> None:
    labels = np.zeros(project.footage.size, np.uint8)
    labels[:10], labels[20:30] = 3, 9
    project.replace_labels(1, labels)
    assert list(project.objects) == [1, 3, 9]
    np.testing.assert_array_equal(project.labels(1), labels)


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        (np.ones((10, 20), np.uint8), "20x10 pixels but the frames are 160x96"),
        (np.zeros((96, 160), np.uint8), "all background"),
        (np.arange(96 * 160).reshape(96, 160).astype(np.uint8) % 31, "30 objects: at most 20"),
    ],
)
def test_wrong_label_map_is_refused_and_changes_nothing(
    project: Project, labels: np.ndarray, message: str
) -> None:
    with pytest.raises(InputError, match=message):
        project.replace_labels(1, labels)
    assert list(project.objects) == [1]
    assert not project.masks


def test_too_many_objects_are_refused(project: Project) -> None:
    for _ in range(19):
        project.add_object()
    with pytest.raises(InputError, match="21 objects: at most 20 are accepted"):
        project.add_object()
    assert len(project.objects) == 20

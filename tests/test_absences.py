"""What is measured of objects that leave the view and return."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from scmn.data.masks import write_label_map
from tests.programs import run_here

SIZE = (40, 60)
LEFT, RIGHT = slice(0, 20), slice(40, 60)


def labels_of(objects: dict[int, slice]) -> np.ndarray:
    """Draw a label map with objects over all rows of some columns."""
    labels = np.zeros(SIZE, np.uint8)
    for object_id, columns in objects.items():
        labels[:, columns] = object_id
    return labels


LEAVING = [
    # what is true, what is predicted
    ({1: LEFT, 2: RIGHT}, {1: LEFT, 2: RIGHT}),
    ({1: LEFT, 2: RIGHT}, {2: RIGHT}),  # an empty mask of an object that is there is no absence
    ({}, {1: slice(0, 5)}),  # a ghost of a quarter of object 1
    ({}, {}),
    ({1: LEFT}, {1: slice(0, 5)}),
    ({}, {2: slice(30, 50)}),  # a ghost of the whole of object 2, which does not return
    ({1: LEFT}, {1: slice(0, 8)}),
    ({1: LEFT}, {1: slice(0, 15)}),
]
STAYING = [({1: LEFT}, {1: LEFT}), ({1: LEFT}, {})]


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A DAVIS tree, with the predicted masks in the folder ``masks`` beside it."""
    root = tmp_path_factory.mktemp("absences") / "DAVIS"
    for name, frames in (("leaving", LEAVING), ("staying", STAYING)):
        for index, (true, predicted) in enumerate(frames):
            image = root / "JPEGImages/480p" / name / f"{index:05d}.jpg"
            image.parent.mkdir(parents=True, exist_ok=True)
            Image.new("RGB", SIZE[::-1]).save(image)
            labels = root / "Annotations/480p" / name / f"{index:05d}.png"
            write_label_map(labels, labels_of(true))
            write_label_map(root.parent / "masks" / name / labels.name, labels_of(predicted))
    (root / "ImageSets/2017").mkdir(parents=True)
    (root / "ImageSets/2017/val.txt").write_text("leaving\nstaying\n")
    return root


@pytest.mark.parametrize(("within", "found"), [(1, "0"), (3, "1"), (4, "2"), (10, "2")])
def test_absences_prints_objects_found_again_and_ghosts(
    within: int, found: str, data: Path
) -> None:
    options = ["--dataset", "davis2017-val", "--data", data, "--within", within]
    ended = run_here("scripts/absences.py", data.parent / "masks", *options)
    assert ended.returncode == 0, ended.stderr
    rows = {line.split()[0]: line.split()[1:] for line in ended.stdout.splitlines()[1:]}
    ghost = f"{100 * (0.25 + 1) / 9:.2f}"  # 3 absent frames of object 1 and 6 of object 2
    assert rows["leaving"] == rows["all"] == ["3", "9", "2", found, ghost]
    assert rows["staying"] == ["0", "0", "0", "0", "-"]


@pytest.mark.parametrize(
    ("masks", "options", "message"),
    [
        ("masks", ["--within", 0], "--within must be at least 1"),
        ("none", [], "8 of the 8 expected masks are missing"),
    ],
)
def test_absences_reports_mistakes_in_one_line(
    masks: str, options: list[object], message: str, data: Path
) -> None:
    arguments = ["--dataset", "davis2017-val", "--data", data, *options]
    ended = run_here("scripts/absences.py", data.parent / masks, *arguments)
    assert ended.returncode == 2
    (line,) = ended.stderr.splitlines()
    assert message in line

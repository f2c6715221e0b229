from __future__ import annotations

import numpy as np
import pytest

from scmn import InputError
from scmn.demo.drawing import Point, box, polygon, stroke

SIZE = (60, 80)


def test_stroke_covers_a_disk_around_each_point_and_what_is_between() -> None:
    marked = stroke(SIZE, [(20, 30), (60, 30)], 10)
    rows, columns = np.mgrid[:60, :80] + 0.5
    across = np.clip(columns, 20, 60)
    expected = np.hypot(rows - 30, columns - across) <= 5
    np.testing.assert_array_equal(marked, expected)


@pytest.mark.parametrize("diameter", [1, 7, 40])
def test_stroke_of_one_point_is_a_disk(diameter: int) -> None:
    area = stroke(SIZE, [(40.5, 30.5)], diameter).sum()
    assert area == pytest.approx(max(1, np.pi * diameter**2 / 4), rel=0.05)


def test_stroke_may_leave_the_frame() -> None:
    marked = stroke(SIZE, [(-30, 30), (10, 30)], 10)
    assert marked[30, 0]
    assert not marked[:, 20:].any()


def test_polygon_is_filled() -> None:
    marked = polygon(SIZE, [(10, 10), (50, 10), (50, 40), (10, 40)])
    assert marked[11:39, 11:49].all()
    assert marked.sum() == pytest.approx(40 * 30, rel=0.07)


def test_polygon_of_two_corners_is_refused() -> None:
    with pytest.raises(InputError, match="at least 3 corners, not 2"):
        polygon(SIZE, [(1, 1), (20, 20)])


@pytest.mark.parametrize(
    "ends", [((10.2, 5), (30, 25)), ((30, 25), (10.2, 5)), ((10, 25), (30, 5))]
)
def test_box_is_the_same_from_any_corner(ends: tuple[Point, Point]) -> None:
    assert box(SIZE, *ends) == (10, 5, 20, 20)


def test_box_ends_at_the_frame() -> None:
    assert box(SIZE, (-20, 40), (30, 500)) == (0, 40, 30, 20)


@pytest.mark.parametrize("opposite", [(10, 10), (10.3, 40), (40, 10)])
def test_empty_box_is_refused(opposite: Point) -> None:
    with pytest.raises(InputError, match="the box is empty"):
        box(SIZE, (10, 10), opposite)

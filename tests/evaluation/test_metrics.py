"""J, F and their statistics: the official numbers, brute force, and what must hold of any mask."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scmn.evaluation.metrics import (
    boundary,
    boundary_tolerance,
    contour_accuracy,
    region_similarity,
    score_frame,
    statistics,
)

SIZES = ((9, 14), (90, 160), (240, 320))  # tolerances 1, 2, 4
TOLERANCE_OF_NUMBERS = 1e-9


@st.composite
def mask_pairs(draw: st.DrawFn) -> tuple[np.ndarray, np.ndarray]:
    """Two masks of one size: rectangles, often at the edges, with holes and single pixels."""
    height, width = draw(st.sampled_from(SIZES))
    masks = np.zeros((2, height, width), dtype=bool)
    for mask in masks:
        for inside in draw(st.lists(st.booleans(), max_size=3)):
            rows = sorted(draw(st.tuples(*[st.integers(0, height)] * 2)))
            columns = sorted(draw(st.tuples(*[st.integers(0, width)] * 2)))
            mask[rows[0] : rows[1], columns[0] : columns[1]] = inside
    random = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    masks ^= random.random(masks.shape) < draw(st.sampled_from((0.0, 0.001)))
    return masks[0], masks[1]


def brute_force_boundary(mask: np.ndarray) -> np.ndarray:
    extended = np.pad(mask, ((0, 1), (0, 1)), mode="edge")
    here = extended[:-1, :-1]
    others = (extended[:-1, 1:], extended[1:, :-1], extended[1:, 1:])
    return np.any([here != other for other in others], axis=0)


def share_near(pixels: np.ndarray, others: np.ndarray, tolerance: int) -> float:
    """Share of the pixels (N, 2) with one of the others (M, 2) within the tolerance."""
    squares = [((others - pixel) ** 2).sum(axis=1).min() for pixel in pixels]
    return float(np.mean(np.array(squares) <= tolerance**2))


def brute_force_f(ground_truth: np.ndarray, prediction: np.ndarray) -> float:
    true_pixels = np.argwhere(brute_force_boundary(ground_truth))
    predicted_pixels = np.argwhere(brute_force_boundary(prediction))
    if not len(true_pixels) or not len(predicted_pixels):
        return float(len(true_pixels) == len(predicted_pixels))
    tolerance = boundary_tolerance(ground_truth.shape)
    precision = share_near(predicted_pixels, true_pixels, tolerance)
    recall = share_near(true_pixels, predicted_pixels, tolerance)
    return 2 * precision * recall / (precision + recall) if precision + recall else 0.0


@pytest.fixture(scope="module")
def official(golden: Path) -> dict[str, np.ndarray]:
    with np.load(golden / "davis_jf.npz") as file:
        arrays = {name: file[name] for name in file.files}
    width = arrays["shape"][2]
    for name in ("annotation", "prediction"):
        arrays[name] = np.unpackbits(arrays[name], axis=-1)[..., :width]
    return arrays


def test_score_frame_gives_the_official_numbers(official: dict[str, np.ndarray]) -> None:
    pairs = zip(official["annotation"], official["prediction"], strict=True)
    scores = np.array([score_frame(*pair, [1]) for pair in pairs])[..., 0]
    np.testing.assert_allclose(
        scores[:, 0], official["region_similarity_j"], rtol=0, atol=TOLERANCE_OF_NUMBERS
    )
    np.testing.assert_allclose(
        scores[:, 1], official["contour_accuracy_f"], rtol=0, atol=TOLERANCE_OF_NUMBERS
    )


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ("region_similarity_j", "j_mean_recall_decay"),
        ("contour_accuracy_f", "f_mean_recall_decay"),
    ],
)
def test_statistics_gives_the_official_numbers(
    official: dict[str, np.ndarray], values: str, expected: str
) -> None:
    result = statistics(official[values])
    np.testing.assert_allclose(
        [result.mean, result.recall, result.decay],
        official[expected],
        rtol=0,
        atol=TOLERANCE_OF_NUMBERS,
    )


@given(mask_pairs())
@settings(max_examples=40, deadline=None)
def test_metrics_equal_brute_force(pair: tuple[np.ndarray, np.ndarray]) -> None:
    first, second = pair
    union = np.sum(first | second)
    j = np.sum(first & second) / union if union else 1.0
    assert region_similarity(first, second) == pytest.approx(j, abs=1e-12)
    assert contour_accuracy(first, second) == pytest.approx(brute_force_f(first, second), abs=1e-12)
    assert np.array_equal(boundary(first), brute_force_boundary(first))


@given(mask_pairs())
@settings(max_examples=40, deadline=None)
def test_metrics_are_symmetric_and_in_range(pair: tuple[np.ndarray, np.ndarray]) -> None:
    first, second = pair
    for measure in (region_similarity, contour_accuracy):
        assert measure(first, second) == pytest.approx(measure(second, first), abs=1e-12)
        assert 0.0 <= measure(first, second) <= 1.0
        assert measure(first, first) == 1.0


@given(mask_pairs(), st.integers(1, 5), st.integers(1, 5))
@settings(max_examples=40, deadline=None)
def test_metrics_ignore_translation_inside_the_frame(
    pair: tuple[np.ndarray, np.ndarray], down: int, right: int
) -> None:
    framed = np.stack(pair)
    # An empty border, so that neither place touches the edge and nothing leaves the frame.
    framed[:, :6] = framed[:, -6:] = False
    framed[..., :6] = framed[..., -6:] = False
    moved = np.roll(framed, (down, right), axis=(1, 2))
    assert region_similarity(*framed) == region_similarity(*moved)
    assert contour_accuracy(*framed) == contour_accuracy(*moved)


@given(mask_pairs())
@settings(max_examples=40, deadline=None)
def test_score_frame_equals_single_objects(pair: tuple[np.ndarray, np.ndarray]) -> None:
    """Ids need not be consecutive; void is background; an object may be absent from either map."""
    first, second = pair
    ground_truth = np.where(first, 3, np.where(second, 255, 0)).astype(np.uint8)
    prediction = np.where(second, 3, np.where(first, 200, 0)).astype(np.uint8)
    ids = [3, 7, 200]
    j, f = score_frame(ground_truth, prediction, ids)
    masks = [(ground_truth == number, prediction == number) for number in ids]
    assert j.tolist() == [region_similarity(*pair) for pair in masks]
    assert f.tolist() == [contour_accuracy(*pair) for pair in masks]
    assert j[1] == f[1] == 1.0


def test_metrics_of_empty_masks() -> None:
    empty = np.zeros((40, 50), dtype=bool)
    square = empty.copy()
    square[10:20, 10:20] = True
    everything = ~empty  # a mask without a boundary
    assert (region_similarity(empty, empty), contour_accuracy(empty, empty)) == (1.0, 1.0)
    assert (region_similarity(empty, square), contour_accuracy(empty, square)) == (0.0, 0.0)
    assert (region_similarity(square, empty), contour_accuracy(square, empty)) == (0.0, 0.0)
    assert (region_similarity(everything, empty), contour_accuracy(everything, empty)) == (0.0, 1.0)


def test_boundary_tolerance_is_8_pixels_at_480p() -> None:
    assert boundary_tolerance((480, 854)) == 8
    assert boundary_tolerance((300, 400)) == 4  # a diagonal of exactly 500
    apart = np.zeros((2, 480, 854), dtype=bool)
    apart[0, 100:200, 100:200] = True
    apart[1, 108:192, 108:192] = True
    assert contour_accuracy(*apart) > 0.9
    apart[1] = False
    apart[1, 109:191, 109:191] = True
    assert contour_accuracy(*apart) == 0.0


def test_metrics_refuse_different_sizes() -> None:
    first, second = np.zeros((4, 6), np.uint8), np.zeros((6, 4), np.uint8)
    with pytest.raises(ValueError, match=r"\(4, 6\).*\(6, 4\)"):
        score_frame(first, second, [1])


def test_statistics_decay_of_a_long_sequence() -> None:
    """The official tool keeps frame numbers in 8 bits, which goes wrong from 256 frames on."""
    values = np.repeat([1.0, 0.9, 0.6, 0.25], 250)
    result = statistics(values)
    assert result.mean == pytest.approx(values.mean())
    assert result.recall == 0.75
    # Neighbouring quarters share a frame: the first one of 1000 frames is 0..250.
    assert result.decay == pytest.approx(values[:251].mean() - values[749:].mean(), abs=1e-12)


@pytest.mark.parametrize("count", [1, 2, 3, 4, 5])
def test_statistics_of_few_frames(count: int) -> None:
    result = statistics(np.full(count, 0.7))
    assert result.mean == pytest.approx(0.7)
    assert (result.recall, result.decay) == (1.0, 0.0)


def test_statistics_recall_excludes_the_threshold() -> None:
    assert statistics(np.array([0.5, 0.51])).recall == 0.5


def test_statistics_of_no_frame() -> None:
    with pytest.raises(ValueError, match="at least one frame"):
        statistics(np.array([]))

"""VideoSegmenter: frames and label maps in, predictions out."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from scmn import InputError, MemorySettings, VideoSegmenter
from scmn.inference.acceleration.budgets import floats_per_pixel
from scmn.networks.base import MemoryNetwork
from scmn.networks.decoder import Skips
from scmn.networks.features import ObjectMaps, QueryFeatures
from tests.conftest import build_small
from tests.inference.clips import HEIGHT, TWO, WIDTH, label_map, video


def test_run_yields_one_prediction_per_frame(small_model: MemoryNetwork) -> None:
    segmenter = VideoSegmenter(small_model)
    predictions = list(segmenter.run(video(7), TWO))
    assert len(predictions) == 7
    assert np.array_equal(predictions[0].labels, TWO)
    for prediction in predictions:
        assert prediction.labels.shape == (HEIGHT, WIDTH)
        assert prediction.labels.dtype == np.uint8
        assert set(np.unique(prediction.labels)) <= {0, 7, 200}
        assert prediction.object_ids == (7, 200)
        assert prediction.probabilities.shape == (3, HEIGHT, WIDTH)
        torch.testing.assert_close(
            prediction.probabilities.sum(dim=0), torch.ones(HEIGHT, WIDTH), atol=1e-5, rtol=0
        )
        ids = np.array([0, 7, 200], dtype=np.uint8)
        assert np.array_equal(
            prediction.labels, ids[prediction.probabilities.argmax(dim=0).numpy()]
        )


def test_run_resets_the_segmenter(small_model: MemoryNetwork) -> None:
    segmenter = VideoSegmenter(small_model)
    first = [p.probabilities for p in segmenter.run(video(4), TWO)]
    second = [p.probabilities for p in segmenter.run(video(4), TWO)]
    assert all(torch.equal(a, b) for a, b in zip(first, second, strict=True))


def test_step_accepts_arrays_images_and_tensors_as_frames() -> None:
    model = build_small("stcn")
    results = []
    for convert in (
        lambda f: f,
        Image.fromarray,
        lambda f: torch.from_numpy(f).permute(2, 0, 1).float() / 255,
    ):
        segmenter = VideoSegmenter(model)
        results.append([p.probabilities for p in segmenter.run(map(convert, video(3)), TWO)])
    for other in results[1:]:
        for a, b in zip(results[0], other, strict=True):
            torch.testing.assert_close(a, b)


def test_labels_are_arrays_images_or_tensors() -> None:
    image = next(video(1))
    palette = Image.fromarray(TWO)
    palette.putpalette([0, 0, 0] * 256)
    for labels in (TWO.astype(np.int64), Image.fromarray(TWO), palette, torch.from_numpy(TWO)):
        prediction = VideoSegmenter(build_small("stcn")).step(image, labels)
        assert np.array_equal(prediction.labels, TWO)
    with pytest.raises(InputError, match=r"mode P or L or I or 1 .* not RGB"):
        VideoSegmenter(build_small("stcn")).step(image, Image.fromarray(image))


def test_run_takes_label_maps_on_any_frame() -> None:
    segmenter = VideoSegmenter(build_small("stcn"))
    labels = {1: label_map((7, 5, 5)), 3: label_map((200, 30, 40))}
    expected = [segmenter.step(f, labels.get(t)).labels for t, f in enumerate(video(5))]
    assert not expected[0].any()
    for given in (labels, iter(labels.items())):
        predictions = list(segmenter.run(video(5), given))
        assert [p.object_ids for p in predictions] == [(), (7,), (7,), (7, 200), (7, 200)]
        for prediction, array in zip(predictions, expected, strict=True):
            assert np.array_equal(prediction.labels, array)


def test_run_rejects_label_maps_of_frames_that_do_not_exist() -> None:
    segmenter = VideoSegmenter(build_small("stcn"))
    with pytest.raises(InputError, match="label map for frame 4, but the video has only 2 frames"):
        list(segmenter.run(video(2), {0: TWO, 4: TWO}))
    with pytest.raises(InputError, match="label map for frame -1"):
        list(segmenter.run(video(2), {-1: TWO}))


@pytest.mark.parametrize("size", [(16, 16), (17, 40), (64, 48), (33, 95)])
def test_run_accepts_any_frame_size(small_model: MemoryNetwork, size: tuple[int, int]) -> None:
    labels = np.zeros(size, dtype=np.uint8)
    labels[:9, :9] = 1
    predictions = list(VideoSegmenter(small_model).run(video(3, *size), labels))
    assert all(p.labels.shape == size for p in predictions)


def test_size_scales_frames_down_and_predictions_back() -> None:
    segmenter = VideoSegmenter(build_small("scmn"), size=32)
    predictions = list(segmenter.run(video(3), TWO))
    assert np.array_equal(predictions[0].labels, TWO)
    assert predictions[2].labels.shape == (HEIGHT, WIDTH)
    assert predictions[2].network_probabilities.shape == (3, 32, round(WIDTH * 32 / HEIGHT))
    prior = predictions[2].spatial_prior
    assert prior is not None
    assert prior.shape == (2, HEIGHT, WIDTH)


def test_size_does_not_scale_small_frames_up() -> None:
    segmenter = VideoSegmenter(build_small("stm"), size=480)
    prediction = next(iter(segmenter.run(video(1), TWO)))
    assert prediction.network_probabilities.shape[-2:] == (HEIGHT, WIDTH)


def test_objects_per_batch_does_not_change_the_result(small_model: MemoryNetwork) -> None:
    labels = label_map((1, 0, 0), (2, 20, 20), (3, 35, 50), (4, 0, 50), (5, 36, 0))
    whole = list(VideoSegmenter(small_model).run(video(4), labels))
    chunked = list(VideoSegmenter(small_model, objects_per_batch=2).run(video(4), labels))
    for a, b in zip(whole, chunked, strict=True):
        torch.testing.assert_close(a.probabilities, b.probabilities, atol=1e-5, rtol=1e-4)


def test_objects_per_batch_fits_the_memory_budget(
    small_model: MemoryNetwork, monkeypatch: pytest.MonkeyPatch
) -> None:
    labels = label_map((1, 0, 0), (2, 20, 20), (3, 35, 50), (4, 0, 50), (5, 36, 0))
    whole = list(VideoSegmenter(small_model).run(video(4), labels))
    height, width = whole[0].geometry.network_size
    of_two_objects = 2 * 4 * floats_per_pixel(small_model) * height * width
    monkeypatch.setattr("scmn.inference.acceleration.budgets.CPU_DECODING_BYTES", of_two_objects)
    segmenter = VideoSegmenter(small_model)
    decode, batches = segmenter.model.decode, []

    def counting(query: QueryFeatures, skips: Skips, readout: Tensor, *rest: Any) -> ObjectMaps:
        batches.append(readout.shape[1])
        return decode(query, skips, readout, *rest)

    monkeypatch.setattr(segmenter.model, "decode", counting)
    chunked = list(segmenter.run(video(4), labels))
    assert batches == [2, 2, 1] * 3
    for a, b in zip(whole, chunked, strict=True):
        torch.testing.assert_close(a.probabilities, b.probabilities, atol=1e-5, rtol=1e-4)


def test_block_bytes_does_not_change_the_result(small_model: MemoryNetwork) -> None:
    whole = list(VideoSegmenter(small_model).run(video(7), TWO))
    blocked = list(VideoSegmenter(small_model, block_bytes=1000).run(video(7), TWO))
    for a, b in zip(whole, blocked, strict=True):
        torch.testing.assert_close(a.probabilities, b.probabilities, atol=1e-5, rtol=1e-4)


def test_step_adds_objects_on_later_frames(small_model: MemoryNetwork) -> None:
    segmenter = VideoSegmenter(small_model)
    frames = list(video(8))
    segmenter.step(frames[0], label_map((7, 5, 5)))
    segmenter.step(frames[1])
    added = segmenter.step(frames[2], label_map((3, 30, 40)))
    assert added.object_ids == (7, 3)
    assert (added.labels[30:42, 40:52] == 3).all()
    assert (added.labels == 3).sum() == 144
    for index in range(3, 8):
        assert segmenter.step(frames[index]).object_ids == (7, 3)
    assert min(segmenter.bank.remembered_times(3)) == 2
    assert {0, 2} <= set(segmenter.bank.remembered_times(7))


def test_given_mask_does_not_affect_other_objects_outside_it() -> None:
    model = build_small("stcn")
    frames = list(video(3))
    alone, with_new = VideoSegmenter(model), VideoSegmenter(model)
    for segmenter in (alone, with_new):
        segmenter.step(frames[0], label_map((7, 5, 5)))
        segmenter.step(frames[1])
    expected = alone.step(frames[2]).labels
    obtained = with_new.step(frames[2], label_map((3, 30, 40))).labels
    outside = obtained != 3
    assert np.array_equal(obtained[outside], expected[outside])


def test_annotated_frames_are_never_forgotten() -> None:
    segmenter = VideoSegmenter(build_small("stm"), memory={"max_frames": 1})
    for t, image in enumerate(video(20)):
        prediction = segmenter.step(image, TWO if t in (0, 4, 9) else None)
        if t in (4, 9):
            assert np.array_equal(prediction.labels, TWO)
    assert segmenter.bank.remembered_times(7) == (0, 4, 9, 14, 19)


def test_listed_object_without_pixels_is_hidden() -> None:
    segmenter = VideoSegmenter(build_small("stm"))
    frames = list(video(2))
    segmenter.step(frames[0], TWO)
    prediction = segmenter.step(frames[1], label_map((7, 5, 5)), objects=[7, 200])
    assert set(np.unique(prediction.labels)) == {0, 7}
    assert prediction.object_ids == (7, 200)


def test_void_is_background(small_model: MemoryNetwork) -> None:
    labels = TWO.copy()
    labels[20:25] = 255
    prediction = VideoSegmenter(small_model).step(next(video(1)), labels)
    assert np.array_equal(prediction.labels, TWO)
    assert prediction.object_ids == (7, 200)


def test_remove_object_and_add_it_again(small_model: MemoryNetwork) -> None:
    segmenter = VideoSegmenter(small_model)
    frames = list(video(6))
    segmenter.step(frames[0], TWO)
    segmenter.step(frames[1])
    segmenter.remove_object(7)
    prediction = segmenter.step(frames[2])
    assert prediction.object_ids == (200,)
    assert set(np.unique(prediction.labels)) <= {0, 200}
    with pytest.raises(InputError, match="no object 7"):
        segmenter.remove_object(7)
    segmenter.remove_object(200)
    assert not segmenter.step(frames[3]).labels.any()
    returned = segmenter.step(frames[4], label_map((7, 5, 5)))
    assert returned.object_ids == (7,)
    assert segmenter.step(frames[5]).object_ids == (7,)


def test_frames_before_the_first_label_map_are_background(small_model: MemoryNetwork) -> None:
    segmenter = VideoSegmenter(small_model)
    frames = list(video(3))
    nothing = segmenter.step(frames[0])
    assert not nothing.labels.any()
    assert nothing.object_ids == ()
    segmenter.step(frames[1], TWO)
    assert segmenter.step(frames[2]).object_ids == (7, 200)


def test_step_segments_254_objects() -> None:
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 255, (32, 48)).astype(np.uint8)
    labels.flat[:254] = np.arange(1, 255)
    segmenter = VideoSegmenter(build_small("stcn"), objects_per_batch=64)
    predictions = list(segmenter.run(video(2, 32, 48), labels))
    assert len(predictions[1].object_ids) == 254
    ids = np.array([0, *predictions[1].object_ids], dtype=np.uint8)
    expected = ids[predictions[1].probabilities.argmax(dim=0).numpy()]
    assert np.array_equal(predictions[1].labels, expected)


def test_memory_settings_default_to_the_networks_policy() -> None:
    stcn = VideoSegmenter(build_small("stcn"), memory={"max_frames": 3})
    assert stcn.memory_settings == MemorySettings(5, True, False, 3, 20)
    stm = VideoSegmenter(build_small("stm"))
    assert stm.memory_settings == MemorySettings(5, True, True, None, None)
    own = MemorySettings(2, True, True, None, None)
    assert VideoSegmenter(build_small("stm"), memory=own).memory_settings is own


@pytest.mark.parametrize("part", ["encode_memory", "segment"])
@pytest.mark.parametrize(
    "error",
    [torch.OutOfMemoryError(), RuntimeError("can't allocate memory"), KeyboardInterrupt()],
    ids=lambda error: type(error).__name__,
)
def test_segmenter_stays_usable_after_a_step_that_failed(
    monkeypatch: pytest.MonkeyPatch, error: BaseException, part: str
) -> None:
    segmenter = VideoSegmenter(build_small("scmn"))
    frames = list(video(4))
    segmenter.step(frames[0], label_map((7, 5, 5)))

    def exhausted(*args: object, **kwargs: object) -> None:
        raise error

    with monkeypatch.context() as patch:
        patch.setattr(segmenter.model, part, exhausted)
        with pytest.raises(type(error)):
            segmenter.step(frames[1], label_map((3, 30, 40)))
    assert segmenter.object_ids == (7,)
    assert segmenter.step(frames[2]).object_ids == (7,)
    assert segmenter.step(frames[3], label_map((3, 30, 40))).object_ids == (7, 3)


def test_scaling_keeps_a_tiny_given_object() -> None:
    labels = np.zeros((160, 160), dtype=np.uint8)
    labels[33:35, 70] = 1
    segmenter = VideoSegmenter(build_small("stm"), size=32)
    prediction = segmenter.step(np.zeros((160, 160, 3), np.uint8), labels)
    assert prediction.network_probabilities[1].max() > 0.9
    assert np.array_equal(prediction.labels, labels)


def test_spatial_prior_of_a_new_object_is_nan() -> None:
    segmenter = VideoSegmenter(build_small("scmn"))
    frames = list(video(2))
    segmenter.step(frames[0], label_map((7, 5, 5)))
    prior = segmenter.step(frames[1], label_map((3, 30, 40))).spatial_prior
    assert prior is not None
    assert prior.shape == (2, HEIGHT, WIDTH)
    assert torch.isfinite(prior[0]).all()
    assert torch.isnan(prior[1]).all()

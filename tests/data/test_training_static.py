"""Still images: layouts, masks, and clips."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from scmn.data.clips.clip import ClipSettings
from scmn.data.clips.mixture import ClipMixture, MixtureEntry
from scmn.data.clips.pasting import PasteSettings
from scmn.data.clips.static_clips import StaticAugmentation, StaticClips
from scmn.data.clips.static_images import (
    connected_objects,
    images_of_videos,
    read_static_labels,
)
from scmn.data.clips.static_layouts import static_images
from scmn.data.masks import VOID, write_label_map
from scmn.errors import InputError
from tests.data.training_trees import (
    SETTINGS,
    STILL,
    add_image,
    labels_with,
    noise,
    static_source,
    video,
)

MASK = labels_with((1, 10))


def add_mask(path: Path, labels: np.ndarray = MASK) -> Path:
    write_label_map(path, labels)
    return path


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


# Layouts.

LAYOUTS = {
    "two folders": ["images/{}.jpg", "masks/{}.png"],
    "ECSSD": ["images/{}.jpg", "ground_truth_mask/{}.png"],
    "DUTS": ["DUTS-TR-Image/{}.jpg", "DUTS-TR-Mask/{}.png"],
    "side by side": ["{}.jpg", "{}.png"],
    "FSS-1000": ["abacus/{}.jpg", "abacus/{}.png"],
    "BIG, HRSOD": ["{}_im.jpg", "{}_gt.png"],
}


@pytest.mark.parametrize("layout", LAYOUTS)
def test_static_images_detects_the_layout(tmp_path: Path, layout: str) -> None:
    image, mask = LAYOUTS[layout]
    for name in ("10", "2"):
        add_image(tmp_path / image.format(name))
        add_mask(tmp_path / mask.format(name))
    (tmp_path / "notes.txt").touch()
    found = static_images(tmp_path)
    assert [item.image_path for item in found] == [
        tmp_path / image.format(name) for name in ("2", "10")
    ]
    assert [item.mask_path for item in found] == [
        tmp_path / mask.format(name) for name in ("2", "10")
    ]
    np.testing.assert_array_equal(found[0].read()[1], MASK)


def test_static_images_joins_classes_in_order(tmp_path: Path) -> None:
    for name in ("b/1", "a/2", "a/1"):
        add_image(tmp_path / f"{name}.jpg")
        add_mask(tmp_path / f"{name}.png")
    assert [image.name for image in static_images(tmp_path)] == ["a/1.jpg", "a/2.jpg", "b/1.jpg"]


def test_static_images_refuses_unmatched_files(tmp_path: Path) -> None:
    add_image(tmp_path / "one" / "1.jpg")
    with pytest.raises(InputError, match=r"1\.jpg has no mask '1'"):
        static_images(tmp_path / "one")
    add_image(tmp_path / "two" / "images" / "1.jpg")
    add_mask(tmp_path / "two" / "masks" / "1.png")
    add_mask(tmp_path / "two" / "masks" / "2.png")
    with pytest.raises(InputError, match=r"2\.png has no image '2'"):
        static_images(tmp_path / "two")
    add_image(tmp_path / "one" / "1.jpeg")
    with pytest.raises(InputError, match="two files for '1'"):
        static_images(tmp_path / "one")


def test_static_images_names_the_known_layouts(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="holds no image with a mask; expected images/"):
        static_images(tmp_path)
    with pytest.raises(InputError, match="does not exist"):
        static_images(tmp_path / "none")
    add_image(tmp_path / "images" / "1.jpg")
    with pytest.raises(InputError, match="images/ but no masks/"):
        static_images(tmp_path)


def test_static_image_refuses_a_mask_of_another_size(tmp_path: Path) -> None:
    add_image(tmp_path / "1.jpg")
    add_mask(tmp_path / "1.png", labels_with((1, 5), size=(40, 40)))
    with pytest.raises(InputError, match=r"1\.png is 40x40 pixels but its frame is 48x32"):
        static_images(tmp_path)[0].read()


# Masks.


def test_read_static_labels_thresholds_antialiased_masks(tmp_path: Path) -> None:
    grey = np.arange(256, dtype=np.uint8).reshape(16, 16)
    for mode in ("L", "LA", "RGB"):
        Image.fromarray(grey).convert(mode).save(tmp_path / f"{mode}.png")
        np.testing.assert_array_equal(read_static_labels(tmp_path / f"{mode}.png"), grey >= 128)


def test_read_static_labels_keeps_ids(tmp_path: Path) -> None:
    labels = labels_with((1, 5), (7, 5), (255, 5))
    add_mask(tmp_path / "palette.png", labels)
    np.testing.assert_array_equal(read_static_labels(tmp_path / "palette.png"), labels)
    few = labels_with((1, 5), (7, 5))
    Image.fromarray(few).save(tmp_path / "grey.png")
    np.testing.assert_array_equal(read_static_labels(tmp_path / "grey.png"), few)
    Image.fromarray(few > 0).save(tmp_path / "bits.png")
    np.testing.assert_array_equal(read_static_labels(tmp_path / "bits.png"), few > 0)


def test_read_static_labels_takes_only_binary_masks_from_jpegs(tmp_path: Path) -> None:
    square = labels_with((1, 10))
    Image.fromarray(255 * square).save(tmp_path / "white.jpg")
    np.testing.assert_array_equal(read_static_labels(tmp_path / "white.jpg"), square)
    Image.fromarray(3 * square).save(tmp_path / "ids.jpg")
    with pytest.raises(InputError, match=r"ids\.jpg is a JPEG file"):
        read_static_labels(tmp_path / "ids.jpg")


def test_read_static_labels_refuses_faint_masks(tmp_path: Path) -> None:
    Image.fromarray(np.full((4, 4), 100, np.uint8)).save(tmp_path / "a.png")
    with pytest.raises(InputError, match=r"a\.png is grey but no brighter than 100"):
        read_static_labels(tmp_path / "a.png")


@pytest.mark.parametrize("grey", [0, 255])
def test_read_static_labels_refuses_an_object_in_the_alpha_channel(
    grey: int, tmp_path: Path
) -> None:
    pixels = np.full((4, 4, 4), grey, np.uint8)
    pixels[1:3, 1:3, 3] = 255 - grey
    Image.fromarray(pixels).save(tmp_path / "a.png")
    with pytest.raises(InputError, match=r"a\.png has its object in the alpha channel"):
        read_static_labels(tmp_path / "a.png")


def test_images_of_videos_takes_annotated_frames(tmp_path: Path) -> None:
    sequence = video(tmp_path / "dog", [labels_with((3, 5))] * 4, step=2)
    merged = dataclasses.replace(sequence, merge_objects=True)
    images = images_of_videos([merged])
    assert [image.image_path.stem for image in images] == ["00000", "00002", "00004", "00006"]
    assert np.unique(images[0].read()[1]).tolist() == [0, 1]


# Clips.


def test_static_clips_without_augmentation_repeat_the_image(tmp_path: Path) -> None:
    labels = labels_with((5, 8), (200, 10), (255, 3))
    drawn = static_source(tmp_path, labels, augmentation=STILL).draw(0, rng=rng(), progress=0.0)
    expected = np.select([labels == 5, labels == 200, labels == 255], [1, 2, 255])
    for image, moved in zip(drawn.images, drawn.labels, strict=True):
        np.testing.assert_array_equal(image, noise())
        np.testing.assert_array_equal(moved, expected)
    assert drawn.objects == 2


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 2**32))
def test_static_clips_augmentation_adds_no_labels(
    tmp_path_factory: pytest.TempPathFactory, seed: int
) -> None:
    augmentation = StaticAugmentation(spline=0.5, paste=PasteSettings(probability=0.7))
    maps = [labels_with((40, 9), (90, 8), (255, 4)), labels_with((1, 14), size=(50, 40))]
    source = static_source(tmp_path_factory.mktemp("a"), *maps, augmentation=augmentation)
    drawn = source.draw(0, rng=rng(seed), progress=0.0)
    allowed = {0, 255, *range(1, drawn.objects + 1)}
    for labels in drawn.labels:
        assert labels.shape == SETTINGS.size
        assert set(np.unique(labels).tolist()) <= allowed
    first = set(np.unique(drawn.labels[0]).tolist())
    assert first >= set(range(1, drawn.objects + 1)), "every target is in the first frame"


def test_static_clips_move_image_and_mask_together(tmp_path: Path) -> None:
    labels = labels_with((1, 12))
    source = static_source(tmp_path, labels)
    Image.fromarray(labels * 255).convert("RGB").save(tmp_path / "0.png")
    plain = dataclasses.replace(
        StaticAugmentation(paste=PasteSettings(max_count=0)), spline=1.0, colours=STILL.colours
    )
    source = StaticClips(source.images, name="a", settings=SETTINGS, augmentation=plain)
    drawn = source.draw(0, rng=rng(3), progress=0.0)
    assert not np.array_equal(drawn.labels[0], drawn.labels[1])
    for image, moved in zip(drawn.images, drawn.labels, strict=True):
        inside = np.all(image > 128, axis=-1)
        assert (inside == (moved == 1)).mean() > 0.97, "only edges are interpolated"


def test_static_clips_of_an_empty_mask_have_no_object(tmp_path: Path) -> None:
    source = static_source(tmp_path, np.zeros((32, 48), np.uint8))
    clip = ClipMixture([MixtureEntry(source)], seed=0, total_samples=1)[0]
    assert not clip.valid_objects.any()
    assert not clip.label_maps.any()


def test_static_clips_average_large_images(tmp_path: Path) -> None:
    image = np.zeros((320, 480, 3), np.uint8)
    image[::2] = 255  # any resampling without averaging keeps black and white lines
    source = static_source(tmp_path, np.full((320, 480), 1, np.uint8), augmentation=STILL)
    Image.fromarray(image).save(tmp_path / "0.png")
    drawn = source.draw(0, rng=rng(), progress=0.0)
    assert np.abs(drawn.images[0].astype(int) - 127).max() <= 3


def test_static_clips_name_corrupt_files(tmp_path: Path) -> None:
    source = static_source(tmp_path, labels_with((1, 12)))
    (tmp_path / "mask0.png").write_bytes(b"\x89PNG")
    with pytest.raises(InputError, match=r"mask0\.png cannot be read"):
        source.draw(0, rng=rng(), progress=0.0)
    with pytest.raises(InputError, match="data set 'none' has no image"):
        StaticClips([], name="none", settings=SETTINGS)


def test_static_clips_of_real_images(shared_data: Path) -> None:
    salient = static_images(shared_data / "static" / "ecssd")
    several = static_images(shared_data / "static" / "davis2017-first-frames")
    assert len(salient) == 1000
    assert len(several) == 30
    settings = ClipSettings(size=(96, 96))
    counts = []
    for name, images in (("ecssd", salient), ("stills", several)):
        source = StaticClips(images, name=name, settings=settings)
        mixture = ClipMixture([MixtureEntry(source)], seed=0, total_samples=12)
        clips = [mixture[number] for number in range(12)]
        assert all(clip.valid_objects.any() for clip in clips)
        counts.append(max(int(clip.valid_objects.sum()) for clip in clips))
    assert counts[1] == 3


def test_connected_objects_numbers_parts_from_the_largest_down() -> None:
    labels = np.zeros((40, 60), np.uint8)
    labels[2:8, 2:8] = 7  # 36 pixels
    labels[20:32, 30:42] = 7  # 144 pixels
    labels[2:12, 30:40] = 3  # 100 pixels
    labels[20, 5] = 3  # below the smallest part
    labels[38:] = VOID
    split = connected_objects(labels)
    assert split[25, 35] == 1
    assert split[5, 35] == 2
    assert split[5, 5] == 3
    assert split[20, 5] == VOID
    assert (split[38:] == VOID).all()
    assert ((split == 0) == (labels == 0)).all()
    specks = np.zeros((40, 60), np.uint8)
    specks[::2, ::2] = 1  # more parts than there are ids
    assert set(np.unique(connected_objects(specks))) == {0, VOID}


def test_static_images_split_objects(tmp_path: Path) -> None:
    add_image(tmp_path / "images" / "a.jpg")
    masks = tmp_path / "masks"
    masks.mkdir()
    add_mask(masks / "a.png", labels_with((5, 8), (5, 6)) * (np.arange(48) != 10))
    (whole,) = static_images(tmp_path)
    (split,) = static_images(tmp_path, split_objects=True)
    assert set(np.unique(whole.read()[1])) == {0, 5}
    assert set(np.unique(split.read()[1])) == {0, 1, 2}


def test_drift_bounds_the_motion_between_frames(tmp_path: Path) -> None:
    labels = np.zeros((64, 192), np.uint8)
    labels[24:40, 88:104] = 1
    for drift in (0.1, None):
        augmentation = dataclasses.replace(STILL, scale=(1.0, 1.0), drift=drift)
        settings = ClipSettings(frames=6, size=(64, 64), max_objects=1)
        source = static_source(
            tmp_path / str(drift), labels, augmentation=augmentation, settings=settings
        )
        steps = []
        for seed in range(10):
            drawn = source.draw(0, rng=rng(seed), progress=0.0)
            columns = [np.flatnonzero((m == 1).any(axis=0)).mean() for m in drawn.labels if m.any()]
            steps += np.abs(np.diff(columns)).tolist()
        if drift is None:
            assert max(steps) > 0.3 * 64
        else:
            assert 0 < max(steps) <= 0.1 * 64 + 1

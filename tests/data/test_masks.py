"""Label maps: accepted files, their contents, and writing."""

from __future__ import annotations

import contextlib
import io
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from PIL import Image

from scmn.data.masks import (
    VOID,
    check_size,
    davis_palette,
    from_one_hot,
    keep_objects,
    object_ids,
    read_label_map,
    require_objects,
    to_one_hot,
    write_label_map,
)
from scmn.errors import InputError
from tests.data.trees import save_pixels

LABELS = np.array([[0, 1, 7], [254, 0, 255]], dtype=np.uint8)
label_maps = hnp.arrays(np.uint8, hnp.array_shapes(min_dims=2, max_dims=2, max_side=12))
reuse_folder = settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)


def test_davis_palette_has_256_distinct_colours() -> None:
    palette = davis_palette()
    assert palette[:4].tolist() == [[0, 0, 0], [128, 0, 0], [0, 128, 0], [128, 128, 0]]
    assert palette[VOID].tolist() == [224, 224, 192]
    assert len(np.unique(palette, axis=0)) == 256


@reuse_folder
@given(labels=label_maps)
def test_write_label_map_round_trip(tmp_path: Path, labels: np.ndarray) -> None:
    path = tmp_path / "new" / "m.png"
    write_label_map(path, labels)
    assert np.array_equal(read_label_map(path), labels)
    with Image.open(path) as image:
        assert image.mode == "P"
        assert image.getpalette() == davis_palette().ravel().tolist()
    assert list(path.parent.iterdir()) == [path]


def test_write_label_map_keeps_the_old_file_on_failure(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "m.png"
    write_label_map(path, LABELS)

    def half_then_full(self: Image.Image, target: Path, *args: object, **kwargs: object) -> None:
        target.write_bytes(b"half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Image.Image, "save", half_then_full)
    with pytest.raises(InputError, match=r"cannot write .*m\.png: No space left"):
        write_label_map(path, LABELS[:, :2])
    assert list(tmp_path.iterdir()) == [path]
    assert np.array_equal(read_label_map(path), LABELS)


@pytest.mark.parametrize("file", ["a.jpg", "a.JPEG", "a.webp", "a.png"])
def test_read_label_map_refuses_lossy_files(tmp_path: Path, file: str) -> None:
    grey = np.zeros((40, 40), np.uint8)
    grey[8:21, 5:30] = 3
    kind = "WEBP" if file.endswith("webp") else "JPEG"  # whatever the name says
    Image.fromarray(grey).save(tmp_path / file, kind)
    with pytest.raises(InputError, match=rf"{file} is a {kind} file.*palette PNG"):
        read_label_map(tmp_path / file)


def test_read_label_map_refuses_lossy_tiffs_and_takes_lossless_webp(tmp_path: Path) -> None:
    mask = np.zeros((16, 16), np.uint8)
    mask[4:9, 4:9] = 255
    image = Image.fromarray(mask)
    image.save(tmp_path / "lossy.tif", compression="jpeg")
    with pytest.raises(InputError, match=r"lossy\.tif is a TIFF file, whose compression"):
        read_label_map(tmp_path / "lossy.tif")
    image.save(tmp_path / "exact.tif", compression="tiff_lzw")
    image.save(tmp_path / "exact.webp", lossless=True)
    for name in ("exact.tif", "exact.webp"):
        assert np.array_equal(read_label_map(tmp_path / name), mask > 0)


def test_read_label_map_ignores_the_palette(tmp_path: Path) -> None:
    image = Image.fromarray(LABELS)
    image.putpalette(np.arange(768).astype(np.uint8).tobytes())
    image.save(tmp_path / "m.png")
    assert np.array_equal(read_label_map(tmp_path / "m.png"), LABELS)


@reuse_folder
@given(labels=label_maps, alpha=st.booleans())
def test_read_label_map_looks_up_davis_colours(
    tmp_path: Path, labels: np.ndarray, alpha: bool
) -> None:
    path = save_pixels(tmp_path, davis_palette()[labels], "RGBA" if alpha else None)
    assert np.array_equal(read_label_map(path), labels)


def test_read_label_map_names_unknown_colours(tmp_path: Path) -> None:
    rgb = np.array([[[0, 0, 0], [128, 0, 0], [129, 0, 0], [255, 255, 255]]], dtype=np.uint8)
    with pytest.raises(InputError, match=r"RGB .*: #810000, #ffffff; expected a palette PNG"):
        read_label_map(save_pixels(tmp_path, rgb))


def test_read_label_map_refuses_other_modes(tmp_path: Path) -> None:
    path = save_pixels(tmp_path, LABELS, "CMYK", "m.tif")
    with pytest.raises(InputError, match="mode CMYK"):
        read_label_map(path)


def test_read_label_map_reports_a_missing_file(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"none\.png does not exist"):
        read_label_map(tmp_path / "none.png")


@reuse_folder
@given(data=st.data())
def test_read_label_map_survives_damaged_files(tmp_path: Path, data: st.DataObject) -> None:
    buffer = io.BytesIO()
    Image.fromarray(np.tile(LABELS, (4, 4))).convert("P").save(buffer, "PNG")
    content = bytearray(buffer.getvalue())
    position = data.draw(st.integers(0, len(content) - 1))
    if data.draw(st.booleans()):
        content = content[:position]
    else:
        content[position] ^= data.draw(st.integers(1, 255))
    path = tmp_path / "m.png"
    path.write_bytes(content)
    with contextlib.suppress(InputError):  # any other error fails the test
        labels = read_label_map(path)
        assert labels.dtype == np.uint8
        assert labels.ndim == 2


def test_read_label_map_refuses_a_truncated_file(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    path = tmp_path / "m.png"
    write_label_map(path, rng.integers(0, 255, (50, 50), dtype=np.uint8))
    path.write_bytes(path.read_bytes()[:1500])
    with pytest.raises(InputError, match="cannot be read"):
        read_label_map(path)


def test_object_ids_exclude_background_and_void() -> None:
    assert object_ids(LABELS) == (1, 7, 254)
    assert object_ids(np.zeros((2, 2), dtype=np.uint8)) == ()


def test_keep_objects_preserves_ids_and_void() -> None:
    assert keep_objects(LABELS, [7]).tolist() == [[0, 0, 7], [0, 0, 255]]
    assert keep_objects(LABELS, object_ids(LABELS)).tolist() == LABELS.tolist()


@given(labels=label_maps)
def test_one_hot_round_trip(labels: np.ndarray) -> None:
    ids = object_ids(labels)
    masks = to_one_hot(labels, ids)
    assert masks.shape == (len(ids), *labels.shape)
    assert masks.dtype == bool
    assert np.array_equal(from_one_hot(masks, ids), np.where(labels == VOID, 0, labels))


def test_from_one_hot_prefers_the_first_object_where_masks_overlap() -> None:
    masks = np.array([[[True, True, False]], [[False, True, False]]])
    assert from_one_hot(masks, (9, 4)).tolist() == [[9, 9, 0]]
    assert from_one_hot(masks[::-1], (4, 9)).tolist() == [[9, 4, 0]]


def test_check_size_names_both_sizes() -> None:
    check_size(LABELS, (2, 3), Path("m.png"))
    with pytest.raises(InputError, match=r"m\.png is 3x2 pixels but its frame is 20x10"):
        check_size(LABELS, (10, 20), Path("m.png"))


def test_require_objects_refuses_a_mask_without_objects() -> None:
    assert require_objects(LABELS, Path("m.png")) == (1, 7, 254)
    with pytest.raises(InputError, match=r"m\.png has no object: it has only the values 0, 255"):
        require_objects(np.array([[0, 255]], dtype=np.uint8), Path("m.png"))

"""Masks without a palette: black and white, grey values, shades and alpha."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from scmn.data.masks import object_ids, read_label_map
from scmn.errors import InputError
from tests.data.trees import save_pixels


@pytest.mark.parametrize("mode", ["1", "L", "LA", "RGB", "RGBA"])
def test_read_label_map_takes_black_and_white_as_one_object(tmp_path: Path, mode: str) -> None:
    mask = np.array([[0, 1, 1], [0, 0, 1]], dtype=np.uint8)
    path = save_pixels(tmp_path, mask * 255, mode)
    with Image.open(path) as image:
        assert image.mode == mode
    assert np.array_equal(read_label_map(path), mask)


@pytest.mark.parametrize("white", [255, 65535])
def test_read_label_map_takes_16_bit_black_and_white_as_one_object(
    tmp_path: Path, white: int
) -> None:
    mask = np.array([[0, 1], [1, 0]], dtype=np.uint16)
    assert np.array_equal(read_label_map(save_pixels(tmp_path, mask * np.uint16(white))), mask)


@pytest.mark.parametrize("mode", ["LA", "PA", "RGBA"])
def test_read_label_map_ignores_alpha_that_agrees_or_is_constant(tmp_path: Path, mode: str) -> None:
    for alpha in ([0, 255], [90, 90], [128, 255]):
        image = Image.fromarray(np.array([[0, 255]], dtype=np.uint8)).convert(mode)
        image.putalpha(Image.fromarray(np.array([alpha], dtype=np.uint8)))
        name = tmp_path / ("m.tif" if mode == "PA" else "m.png")
        image.save(name)
        assert object_ids(read_label_map(name)) == ((1,) if mode != "PA" else ())


@pytest.mark.parametrize("mode", ["LA", "RGBA"])
@pytest.mark.parametrize("colour", ["black", "white"])
def test_read_label_map_refuses_an_object_in_alpha(tmp_path: Path, mode: str, colour: str) -> None:
    image = Image.new(mode, (3, 1), colour)
    image.putalpha(Image.fromarray(np.array([[0, 90, 255]], dtype=np.uint8)))
    image.save(tmp_path / "m.png")
    with pytest.raises(InputError, match=r"m\.png has its object in the alpha channel"):
        read_label_map(tmp_path / "m.png")


def test_read_label_map_takes_small_grey_values_as_ids(tmp_path: Path) -> None:
    labels = np.array([[0, 1, 2], [5, 64, 0]], dtype=np.uint8)
    assert np.array_equal(read_label_map(save_pixels(tmp_path, labels)), labels)


@pytest.mark.parametrize("values", [[0, 3, 255], [0, 100, 200], [0, 128], [1, 2, 255]])
def test_read_label_map_names_the_values_of_antialiased_masks(
    tmp_path: Path, values: list[int]
) -> None:
    path = save_pixels(tmp_path, np.array([values], dtype=np.uint8))
    named = ", ".join(map(str, values))
    with pytest.raises(
        InputError, match=rf"m\.png is greyscale with values {named}, .*palette PNG"
    ):
        read_label_map(path)


def test_read_label_map_refuses_an_antialiased_circle(tmp_path: Path) -> None:
    y, x = np.mgrid[:40, :40]
    soft = np.clip(12 - np.hypot(y - 20, x - 20), 0, 1)
    for mode in ("L", "RGB"):
        path = save_pixels(tmp_path, (soft * 255).astype(np.uint8), mode)
        with pytest.raises(InputError, match="more"):
            read_label_map(path)


def soft_disk(top: int, softness: float, *, scale: int = 4) -> np.ndarray:
    """A disk of value ``top`` with an antialiased edge (0.5) or a wider one, uint8 (H, W)."""
    y, x = np.mgrid[: 20 * scale, : 20 * scale]
    distance = 6 * scale - np.hypot(y - 10 * scale, x - 9.6 * scale)
    return np.round(top * np.clip(distance / (2 * softness) + 0.5, 0, 1)).astype(np.uint8)


@pytest.mark.parametrize("top", [4, 20, 64])
@pytest.mark.parametrize("softness", [0.5, 2, 8])
def test_shades_are_refused_in_the_users_masks_however_dark(
    tmp_path: Path, top: int, softness: float
) -> None:
    soft = soft_disk(top, softness)
    path = save_pixels(tmp_path, soft)
    with pytest.raises(InputError, match=rf"m\.png is greyscale with values 0, .*{MORE}"):
        read_label_map(path, grey="checked")
    assert np.array_equal(read_label_map(path, grey="forced"), soft)
    assert np.array_equal(read_label_map(path), soft)  # in a data set they are ids


MORE = "antialiased mask; .*if these values are ids, give --mask-ids"


def test_shades_of_compression_are_refused(tmp_path: Path) -> None:
    buffer = io.BytesIO()
    Image.fromarray(soft_disk(40, 0.01)).save(buffer, "JPEG", quality=80)
    path = save_pixels(tmp_path, np.asarray(Image.open(buffer)))
    with pytest.raises(InputError, match=MORE):
        read_label_map(path, grey="checked")


@pytest.mark.parametrize("mode", [None, "RGB"])
def test_ids_that_touch_are_not_shades(tmp_path: Path, mode: str | None) -> None:
    labels = np.zeros((40, 60), np.uint8)
    labels[5:35, 5:50] = 5
    labels[10:30, 20:50] = 2
    labels[12:20, 30:45] = 9
    labels[12:14, 31:44] = 7  # a thin one
    labels[39, 59] = 3  # a dot
    path = save_pixels(tmp_path, labels, mode)
    assert np.array_equal(read_label_map(path, grey="checked"), labels)


def test_a_thin_object_between_two_others_is_not_a_shade(tmp_path: Path) -> None:
    labels = np.zeros((40, 60), np.uint8)
    labels[10:30, 10:50] = 2
    labels[9, 10:40] = 1
    assert np.array_equal(read_label_map(save_pixels(tmp_path, labels), grey="checked"), labels)


def test_bright_grey_values_are_ids_only_if_forced(tmp_path: Path) -> None:
    values = np.array([[0, 100, 254, 255]], np.uint8)
    path = save_pixels(tmp_path, values)
    with pytest.raises(InputError, match=MORE):
        read_label_map(path, grey="checked")
    assert np.array_equal(read_label_map(path, grey="forced"), values)
    path = save_pixels(tmp_path, values.astype(np.uint16) * np.uint16(2))
    with pytest.raises(InputError, match=r"values 0, 200, 508, 510; ids are 1\.\.254"):
        read_label_map(path, grey="forced")

"""Reading images and listing folders of frames."""

from __future__ import annotations

import contextlib
import errno
import io
import os
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from scmn.data.images import image_size, list_images, natural_order, read_image
from scmn.errors import InputError

PIXELS = np.random.default_rng(0).integers(0, 256, (12, 20, 3), dtype=np.uint8)


def touch(folder: Path, *names: str) -> None:
    for name in names:
        (folder / name).touch()


@pytest.mark.parametrize("extension", ["png", "bmp", "PNG"])
def test_read_image_is_exact_for_lossless_files(tmp_path: Path, extension: str) -> None:
    path = tmp_path / f"a.{extension}"
    Image.fromarray(PIXELS).save(path)
    image = read_image(path)
    assert image.dtype == np.uint8
    assert np.array_equal(image, PIXELS)


@pytest.mark.parametrize("extension", ["jpg", "jpeg", "webp"])
def test_read_image_reads_lossy_files(tmp_path: Path, extension: str) -> None:
    path = tmp_path / f"a.{extension}"
    Image.new("RGB", (20, 12), (200, 100, 50)).save(path)
    image = read_image(path)
    assert image.shape == (12, 20, 3)
    assert np.abs(image.astype(int) - [200, 100, 50]).max() <= 4


@pytest.mark.parametrize("mode", ["L", "P", "LA", "RGBA", "1"])
def test_read_image_converts_every_mode_to_rgb(tmp_path: Path, mode: str) -> None:
    Image.new("RGB", (5, 3), (255, 255, 255)).convert(mode).save(tmp_path / "a.png")
    assert read_image(tmp_path / "a.png").tolist() == np.full((3, 5, 3), 255).tolist()


def test_read_image_applies_exif_orientation(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # the camera was turned: show the image a quarter turn clockwise
    Image.fromarray(PIXELS).save(tmp_path / "a.png", exif=exif)
    assert np.array_equal(read_image(tmp_path / "a.png"), np.rot90(PIXELS, -1))


@pytest.mark.parametrize("extension", ["jpg", "png"])
@pytest.mark.parametrize("orientation", range(9))
def test_image_size_is_that_of_the_image(tmp_path: Path, extension: str, orientation: int) -> None:
    exif, path = Image.Exif(), tmp_path / f"a.{extension}"
    exif[0x0112] = orientation
    Image.fromarray(PIXELS).save(path, exif=exif)
    assert image_size(path) == read_image(path).shape[:2]


def test_image_size_needs_the_header_only(tmp_path: Path) -> None:
    path = tmp_path / "a.jpg"
    Image.effect_noise((200, 120), 50).save(path)
    path.write_bytes(path.read_bytes()[:1000])
    assert image_size(path) == (120, 200)


def test_read_image_refuses_16_bits(tmp_path: Path) -> None:
    Image.fromarray(np.full((4, 4), 40000, dtype=np.uint16)).save(tmp_path / "a.png")
    with pytest.raises(InputError, match=r"a\.png has mode I;16"):
        read_image(tmp_path / "a.png")


def test_read_image_reports_a_missing_file(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"a\.jpg does not exist"):
        read_image(tmp_path / "a.jpg")


@pytest.mark.parametrize("extension", ["jpg", "png"])
def test_read_image_refuses_a_truncated_file(tmp_path: Path, extension: str) -> None:
    path = tmp_path / f"a.{extension}"
    Image.fromarray(PIXELS).save(path)
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(InputError, match=rf"a\.{extension} cannot be read"):
        read_image(path)


def test_read_image_refuses_a_text_file(tmp_path: Path) -> None:
    (tmp_path / "a.jpg").write_text("not an image")
    with pytest.raises(InputError, match=r"a\.jpg cannot be read"):
        read_image(tmp_path / "a.jpg")


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(data=st.data(), extension=st.sampled_from(["PNG", "JPEG"]))
def test_read_image_survives_damaged_files(
    tmp_path: Path, data: st.DataObject, extension: str
) -> None:
    buffer = io.BytesIO()
    Image.fromarray(PIXELS).save(buffer, extension)
    content = bytearray(buffer.getvalue())
    position = data.draw(st.integers(0, len(content) - 1))
    content[position] ^= data.draw(st.integers(1, 255))
    path = tmp_path / "a.jpg"
    path.write_bytes(content)
    with contextlib.suppress(InputError):  # any other error fails the test
        image = read_image(path)
        assert image.dtype == np.uint8
        assert image.shape[2] == 3


def test_list_images_sorts_by_time_and_ignores_other_files(tmp_path: Path) -> None:
    touch(tmp_path, "f10.jpg", "f2.JPG", "f1.png", "f003.webp", ".f4.jpg", "._f1.png", "notes.txt")
    (tmp_path / "f5").mkdir()
    names = [path.name for path in list_images(tmp_path)]
    assert names == ["f1.png", "f2.JPG", "f003.webp", "f10.jpg"]


def test_list_images_refuses_two_images_for_one_frame(tmp_path: Path) -> None:
    touch(tmp_path, "00000.jpg", "00001.jpg", "00001.png")
    with pytest.raises(InputError, match=r"two files for '00001': 00001\.jpg and 00001\.png"):
        list_images(tmp_path)


def test_list_images_refuses_an_empty_or_missing_folder(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="contains no images"):
        list_images(tmp_path)
    with pytest.raises(InputError, match="is not a folder"):
        list_images(tmp_path / "none")


@settings(max_examples=40)
@given(st.lists(st.text(max_size=8), max_size=8), st.data())
def test_natural_order_is_total(names: list[str], data: st.DataObject) -> None:
    shuffled = data.draw(st.permutations(names))
    assert sorted(names, key=natural_order) == sorted(shuffled, key=natural_order)


@settings(max_examples=40)
@given(st.sets(st.integers(0, 10**6), min_size=2))
def test_natural_order_sorts_numbers_by_value(numbers: set[int]) -> None:
    names = [f"frame_{number}.jpg" for number in numbers]
    assert sorted(names, key=natural_order) == [f"frame_{n}.jpg" for n in sorted(numbers)]


def test_list_images_reports_a_folder_that_cannot_be_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(path: Path) -> None:  # chmod does not stop root, as whom tests may run
        raise PermissionError(errno.EACCES, "Permission denied", str(path))

    monkeypatch.setattr(os, "scandir", refuse)
    with pytest.raises(InputError, match=r"^folder .* cannot be read: Permission denied$"):
        list_images(tmp_path)

"""Image files: read one frame, list a folder of frames in time order."""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np
from PIL import ExifTags, Image, ImageOps

from scmn.errors import InputError

IMAGE_EXTENSIONS = frozenset({".jpg", ".jpeg", ".png", ".bmp", ".webp"})
"""In lower case; upper case is accepted as well."""

_EIGHT_BIT_MODES = frozenset({"1", "L", "LA", "P", "PA", "RGB", "RGBA", "CMYK", "YCbCr"})
_QUARTER_TURNS = range(5, 9)
"""EXIF orientations in which width and height are exchanged."""


def read_image(path: Path) -> np.ndarray:
    """Read an image file as uint8 (H, W, 3), RGB.

    Greyscale and palette images become RGB; alpha is dropped. The camera's EXIF orientation is
    applied, as in viewers and OpenCV, so that the image matches masks drawn over it.

    Raises:
        InputError: the file is missing, truncated, corrupt, or not 8 bits per channel.
    """
    with open_image(path) as image:
        if image.mode not in _EIGHT_BIT_MODES:
            raise InputError(f"image {path} has mode {image.mode}; expected 8 bits per channel")
        image.load()
        ImageOps.exif_transpose(image, in_place=True)
        return np.array(image.convert("RGB"))


def image_size(path: Path) -> tuple[int, int]:
    """Return (H, W) of the image that :func:`read_image` reads, from the file's header if it can.

    Raises:
        InputError: the file is missing, or no image.
    """
    with open_image(path) as image:
        width, height = image.size
        turned = image.getexif().get(ExifTags.Base.Orientation) in _QUARTER_TURNS
    return (width, height) if turned else (height, width)


@contextlib.contextmanager
def open_image(path: Path, kind: str = "image") -> Iterator[Image.Image]:
    """Yield an image file; its pixels are read in the block.

    Raises:
        InputError: it is missing, truncated, corrupt, or no file but a pipe or a device, which may
            never end. The message calls it a ``kind``.
    """
    try:
        if path.exists() and not path.is_file():
            raise InputError(f"{kind} {path} is not a file")
        with Image.open(path) as image:
            yield image
    except InputError:
        raise
    except FileNotFoundError as error:
        raise InputError(f"{kind} {path} does not exist") from error
    except (OSError, SyntaxError, ValueError, EOFError, Image.DecompressionBombError) as error:
        reason = getattr(error, "strerror", None) or error
        raise InputError(f"{kind} {path} cannot be read: {reason}") from error


def list_images(folder: Path) -> tuple[Path, ...]:
    """Return the image files of a folder in time order, which is ``natural_order`` of the names.

    Hidden files and files of other types are ignored.

    Raises:
        InputError: the folder is missing or cannot be read, has no image or one that is not a file,
            or has two images with the same stem, as the stem identifies the frame.
    """
    try:
        with os.scandir(folder) as entries:
            images = [entry for entry in entries if is_image_name(entry.name)]
    except (FileNotFoundError, NotADirectoryError) as error:
        raise InputError(f"{folder} is not a folder; expected a folder of images") from error
    except OSError as error:
        raise InputError(f"folder {folder} cannot be read: {error.strerror}") from error
    for entry in images:
        if not entry.is_file():
            raise InputError(f"image {entry.path} is not a file")
    paths = [folder / entry.name for entry in images]
    if not paths:
        extensions = ", ".join(sorted(IMAGE_EXTENSIONS))
        raise InputError(f"{folder} contains no images; expected files with {extensions}")
    return tuple(by_stem(sorted(paths, key=lambda path: natural_order(path.name))).values())


def is_image_name(name: str) -> bool:
    """Whether a file of this name is an image, and not hidden."""
    return Path(name).suffix.lower() in IMAGE_EXTENSIONS and not name.startswith(".")


def by_stem(paths: Iterable[Path]) -> dict[str, Path]:
    """Return files by the stems of their names; InputError if two of them have the same."""
    files: dict[str, Path] = {}
    for path in paths:
        other = files.setdefault(path.stem, path)
        if other is not path:
            raise InputError(
                f"{path.parent} has two files for '{path.stem}': {other.name} and {path.name}; "
                "remove one"
            )
    return files


def natural_order(name: str) -> tuple[list[str | int], str]:
    """Return a sort key that puts frame2 before frame10; equal numbers (1, 01) sort by spelling."""
    parts = re.split(r"([0-9]+)", name)
    # re.split alternates between text, at even places, and numbers.
    return [int(part) if place % 2 else part.lower() for place, part in enumerate(parts)], name

"""The frames of a project: files in its own folder, made from what the user uploads."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import cv2
import numpy as np

from scmn.data.images import natural_order, read_image
from scmn.data.synthetic import SyntheticSequence, SyntheticSettings
from scmn.data.video import VideoFile
from scmn.errors import InputError

IMAGE_RATE = Fraction(24)
"""Frames per second of a video that is made from images."""
SAMPLE = SyntheticSettings(
    size=(240, 428), frames=40, objects=(2, 2), out_of_view=0, camouflage=0, minimum_area=0.03
)
SAMPLE_NUMBER = 0


@dataclass(frozen=True)
class Limits:
    """What a project may hold."""

    upload_bytes: int = 100 * 2**20
    frames: int = 1000
    pixels: int = 1920 * 1088
    """Of a frame."""
    objects: int = 20


@dataclass(frozen=True)
class Upload:
    """A file that the user sent, saved under a name of ours."""

    path: Path
    name: str
    """What the user calls it: shown, never opened."""


class Footage:
    """The frames of a video as lossless files, read one at a time.

    Attributes:
        name: of the video, for the names of files made from it.
        size: height and width in pixels.
        frame_rate: frames/s.
    """

    def __init__(
        self, folder: Path, *, name: str, frame_rate: Fraction, size: tuple[int, int], count: int
    ) -> None:
        self._folder = folder
        self._count = count
        self.name = name
        self.size = size
        self.frame_rate = frame_rate

    def __len__(self) -> int:
        return self._count

    def image(self, index: int) -> np.ndarray:
        """Return a frame as uint8 (H, W, 3), RGB."""
        if not 0 <= index < self._count:
            raise IndexError(f"frame {index} of {self._count}")
        return cv2.cvtColor(cv2.imread(str(_path(self._folder, index))), cv2.COLOR_BGR2RGB)


def import_footage(uploads: Sequence[Upload], folder: Path, limits: Limits) -> Footage:
    """Decode one video file, or images in the order of their names, into files in ``folder``.

    Raises:
        InputError: the files are neither a video nor images, differ in size, or exceed the limits.
            It names files as the user does.
    """
    with in_users_words(uploads):
        file_format = _video_format(uploads[0].path) if len(uploads) == 1 else None
        if file_format is not None:
            video = VideoFile(uploads[0].path, name="video", file_format=file_format)
            images: Iterable[np.ndarray] = (frame.image for frame in video.frames())
            rate = video.frame_rate
        else:
            ordered = sorted(uploads, key=lambda upload: natural_order(upload.name))
            images = (_read_image(upload) for upload in ordered)
            rate = IMAGE_RATE
        name = Path(uploads[0].name).stem if len(uploads) == 1 else "frames"
        return _write(images, folder, name=name, rate=rate, limits=limits)


@contextmanager
def in_users_words(uploads: Sequence[Upload]) -> Iterator[None]:
    """Let an InputError of the block call the uploaded files as the user does."""
    try:
        yield
    except InputError as error:
        message = str(error)
        for upload in uploads:
            message = message.replace(str(upload.path), f"'{upload.name}'")
        raise InputError(message) from error


def sample_footage(folder: Path) -> Footage:
    """Draw a synthetic sequence of two objects into files in ``folder``."""
    sequence = SyntheticSequence(SAMPLE, seed=0, number=SAMPLE_NUMBER)
    images = (sequence.image(index) for index in range(len(sequence)))
    return _write(images, folder, name="sample", rate=IMAGE_RATE, limits=Limits())


def _video_format(path: Path) -> str | None:
    """Return FFmpeg's name of the format of a video, from how the file begins; None: no video.

    FFmpeg also plays texts that name other files, such as playlists, and recognises some by what
    stands further on: those must not be opened.
    """
    with path.open("rb") as file:
        start = file.read(12)
    if start[4:8] in (b"ftyp", b"moov", b"mdat", b"wide", b"free"):
        return "mov"  # MP4, too
    if start.startswith(b"\x1a\x45\xdf\xa3"):
        return "matroska"  # WebM, too
    if start.startswith(b"RIFF") and start[8:] == b"AVI ":
        return "avi"
    return None


def _read_image(upload: Upload) -> np.ndarray:
    try:
        return read_image(upload.path)
    except InputError as error:
        raise InputError(
            f"'{upload.name}' is neither a video (MP4, MOV, WebM, MKV, AVI) nor an image that can "
            "be read"
        ) from error


def _write(
    images: Iterable[np.ndarray], folder: Path, *, name: str, rate: Fraction, limits: Limits
) -> Footage:
    folder.mkdir(parents=True)
    size: tuple[int, int] | None = None
    count = 0
    for count, image in enumerate(images, start=1):
        height, width = image.shape[:2]
        size = size or (height, width)
        if (height, width) != size:
            raise InputError(
                f"the frames differ in size: {width}x{height} after {size[1]}x{size[0]}"
            )
        if height * width > limits.pixels:
            raise InputError(
                f"the frames are too large: {width}x{height}, at most {limits.pixels} pixels are "
                "accepted"
            )
        if count > limits.frames:
            raise InputError(f"the video is too long: at most {limits.frames} frames are accepted")
        flags = [cv2.IMWRITE_PNG_COMPRESSION, 1]
        if not cv2.imwrite(
            str(_path(folder, count - 1)), cv2.cvtColor(image, cv2.COLOR_RGB2BGR), flags
        ):
            raise InputError("the frames could not be saved: the disk may be full")
    if size is None:
        raise InputError("the video has no frame")
    return Footage(folder, name=name, frame_rate=rate, size=size, count=count)


def _path(folder: Path, index: int) -> Path:
    return folder / f"{index:05d}.png"

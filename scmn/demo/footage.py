"""The frames of a project: files in its own folder, made from what the user uploads."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import cv2
import numpy as np

from scmn.data.images import natural_order, open_image, read_image
from scmn.data.synthetic import SyntheticSequence, SyntheticSettings
from scmn.data.video import VideoFile
from scmn.errors import InputError

MEGABYTE = 2**20
IMAGE_RATE = Fraction(24)
"""Frames per second of a video that is made from images."""
SAMPLE = SyntheticSettings(
    size=(240, 428), frames=40, objects=(2, 2), out_of_view=0, camouflage=0, minimum_area=0.03
)
SAMPLE_NUMBER = 0


@dataclass(frozen=True)
class Limits:
    """What a project may hold."""

    upload_bytes: int = 100 * MEGABYTE
    frames: int = 1000
    pixels: int = 1920 * 1088
    """Of a frame."""
    objects: int = 20


@dataclass(frozen=True)
class Upload:
    """A file that the user sent, saved under our own name."""

    path: Path
    name: str
    """What the user calls it: shown, never opened."""


class Footage:
    """The frames of a video as lossless files, read one at a time.

    Attributes:
        name: of the video, for the names of files made from it.
        size: height and width in pixels.
        frame_rate: frames/s.
        times: when each frame is shown, in seconds; None for images, at the frame rate.
        duration: in seconds; None for images.
    """

    def __init__(
        self,
        folder: Path,
        *,
        name: str,
        frame_rate: Fraction,
        duration: Fraction | None,
        size: tuple[int, int],
        times: Sequence[Fraction | None],
    ) -> None:
        self._folder = folder
        self.name = name
        self.size = size
        self.frame_rate = frame_rate
        self.duration = duration
        self.times = times

    def __len__(self) -> int:
        return len(self.times)

    def image(self, index: int) -> np.ndarray:
        """Return a frame as uint8 (H, W, 3), RGB."""
        if not 0 <= index < len(self):
            raise IndexError(f"frame {index} of {len(self)}")
        # OpenCV itself opens no path outside ASCII on Windows.
        content = np.fromfile(_path(self._folder, index), np.uint8)
        return cv2.cvtColor(cv2.imdecode(content, cv2.IMREAD_COLOR), cv2.COLOR_BGR2RGB)


def import_footage(uploads: Sequence[Upload], folder: Path, limits: Limits) -> Footage:
    """Decode one video file, or images in the order of their names, into files in ``folder``.

    Raises:
        InputError: the files are neither a video nor images, differ in size, or exceed the limits.
            It names files as the user does.
    """
    with in_users_words(uploads):
        formats = [_video_format(upload.path) for upload in uploads]
        if any(formats) and len(uploads) > 1:
            raise InputError("upload one video, or images")
        name = Path(uploads[0].name).stem if len(uploads) == 1 else "frames"
        if formats[0] is None:
            ordered = sorted(uploads, key=lambda upload: natural_order(upload.name))
            images = ((_read_image(upload), None) for upload in ordered)
            return _write(images, folder, name=name, limits=limits)
        video = VideoFile(uploads[0].path, name="video", file_format=formats[0])
        frames = ((frame.image, frame.time) for frame in video.frames())
        rate, duration = video.frame_rate, video.duration
        return _write(frames, folder, name=name, rate=rate, duration=duration, limits=limits)


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
    frames = ((sequence.image(index), None) for index in range(len(sequence)))
    return _write(frames, folder, name="sample", limits=Limits())


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
        with open_image(upload.path, "image") as image:
            animated = image.format != "MPO" and getattr(image, "is_animated", False)
        pixels = read_image(upload.path)
    except InputError as error:
        raise InputError(
            f"'{upload.name}' is neither a video (MP4, MOV, WebM, MKV, AVI) nor an image that can "
            "be read"
        ) from error
    if animated:  # MPO is what phones write: a photograph and what belongs to it
        raise InputError(f"'{upload.name}' is an animated image: convert it to MP4 or to images")
    return pixels


def _write(
    frames: Iterable[tuple[np.ndarray, Fraction | None]],
    folder: Path,
    *,
    name: str,
    limits: Limits,
    rate: Fraction = IMAGE_RATE,
    duration: Fraction | None = None,
) -> Footage:
    folder.mkdir(parents=True)
    size: tuple[int, int] | None = None
    times: list[Fraction | None] = []
    for image, time in frames:
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
        if len(times) == limits.frames:
            raise InputError(f"the video is too long: at most {limits.frames} frames are accepted")
        flags = [cv2.IMWRITE_PNG_COMPRESSION, 1]
        _, png = cv2.imencode(".png", cv2.cvtColor(image, cv2.COLOR_RGB2BGR), flags)
        try:
            png.tofile(_path(folder, len(times)))
        except OSError as error:
            raise InputError(f"the frames could not be saved: {error.strerror or error}") from error
        times.append(time)
    if size is None:
        raise InputError("the video has no frame")
    return Footage(folder, name=name, frame_rate=rate, duration=duration, size=size, times=times)


def _path(folder: Path, index: int) -> Path:
    return folder / f"{index:05d}.png"

"""Video files: frames decoded one at a time."""

from __future__ import annotations

import contextlib
import logging
import struct
from collections.abc import Iterable, Iterator, Mapping
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
from av.container import InputContainer
from av.sidedata.sidedata import Type as SideData
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

from scmn.data.folder import place_masks
from scmn.data.layout import check_sequence_name
from scmn.data.masks import GreyValues, check_size, read_label_map
from scmn.data.sequences import Frame
from scmn.errors import InputError

logger = logging.getLogger(__name__)

_FALLBACK_RATE = Fraction(25)
SHORTEST_GAP = 2
"""Frames that may be missing at the end before a warning: durations are not exact."""


class VideoFile:
    """A video file whose frames are decoded one at a time, with the masks given on some of them.

        video = VideoFile(Path("clip.mp4"), Path("first.png"))
        for frame in video.frames():
            prediction = segmenter.step(frame.image, frame.labels)

    Args:
        path: any file that FFmpeg decodes; its first video stream is read.
        masks: a label map, several, or a folder of them. Frames are called 00000, 00001, ...; a
            mask belongs to the frame with the same stem, a single mask with another name to the
            first frame. None: no masks.
        name: of the sequence; the file's stem by default.
        grey: how grey masks are read (see ``GreyValues``).
        file_format: FFmpeg's name of the file's format (None: what the content looks like). Name it
            where you do not trust the content: some formats make FFmpeg open other files.

    ``len(video)`` is the number of frames; ``video.frame_rate`` is a Fraction, frames/s, an average
    where it varies; ``video.duration`` is in seconds, None if the file does not tell. Frames
    are turned and mirrored as the file's display matrix says; non-square pixels are not resampled.

    Raises:
        InputError: the file is missing, is not a video or has no frame, or a mask cannot be read,
            has no object or matches no frame.
    """

    def __init__(
        self,
        path: Path,
        masks: Path | Iterable[Path] | None = None,
        *,
        name: str | None = None,
        grey: GreyValues = "checked",
        file_format: str | None = None,
    ) -> None:
        self.path = path
        self.file_format = file_format
        self.grey = grey
        self.name = path.stem if name is None else name
        check_sequence_name(self.name, path)
        with _open_video(path, file_format) as container:
            stream = container.streams.video[0]
            self.frame_rate = stream.average_rate or stream.guessed_rate or _FALLBACK_RATE
            self.duration = _duration(container, stream)
            self._length, self._missing = stream.frames, Fraction(0)
            if not self._length:
                self._length, end = _read_packets(container, stream, path)
                self._missing = (self.duration or end) - end
        if not self._length:
            raise InputError(f"video {path} has no frame")
        self._masks: dict[int, Path] = {}
        if masks is not None:
            frame_names = [_frame_name(index) for index in range(self._length)]
            self._masks = place_masks(masks, frame_names, path, grey=grey)

    @property
    def mask_paths(self) -> Mapping[int, Path]:
        """Frame index -> file of the label map given there."""
        return self._masks

    def __len__(self) -> int:
        """Return the number of frames according to the file."""
        return self._length

    def is_written(self, frame_name: str) -> bool:
        return True

    def frames(self) -> Iterator[Frame]:
        """Yield the frames in time order; only one is in memory at a time.

        Can be called again to start over. A warning is logged if the file ends early or frames are
        damaged.

        Raises:
            InputError: a frame cannot be decoded, the size of the frames changes, or, before the
                first frame, a mask and the frames differ in size.
        """
        size: tuple[int, ...] | None = None
        index = -1
        for index, (image, time) in enumerate(self._images()):
            if size is None:
                size = image.shape[:2]
                for path in self._masks.values():
                    check_size(read_label_map(path, grey=self.grey), size, path)
            if image.shape[:2] != size:
                raise InputError(
                    f"video {self.path} changes size at frame {index}: "
                    f"{image.shape[1]}x{image.shape[0]} after {size[1]}x{size[0]}"
                )
            labels = None
            if index in self._masks:
                labels = read_label_map(self._masks[index], grey=self.grey)
            yield Frame(index, _frame_name(index), image, labels, time)
        if index < 0:
            raise InputError(f"video {self.path} has no frame that can be decoded")
        if index + 1 < self._length:
            logger.warning(
                "video %s announces %d frames but ends after %d", self.path, self._length, index + 1
            )
        elif self._missing > SHORTEST_GAP / self.frame_rate:
            logger.warning(
                "video %s ends %.1f s early, after %d frames", self.path, self._missing, index + 1
            )

    def _images(self) -> Iterator[tuple[np.ndarray, Fraction]]:
        """Yield the images and their times in seconds after the first."""
        decoded = 0
        damaged: list[int] = []
        first: Fraction | None = None
        time = Fraction(0)
        with _open_video(self.path, self.file_format) as container:
            stream = container.streams.video[0]
            stream.thread_type = "AUTO"
            frames = _decoded(container, stream)
            while True:
                try:
                    frame = next(frames, None)
                    image = None if frame is None else _upright(frame)
                except (av.error.FFmpegError, OSError, ValueError) as error:
                    raise InputError(
                        f"video {self.path} cannot be decoded at frame {decoded}: "
                        f"{error_reason(error)}"
                    ) from error
                if frame is None or image is None:
                    break
                if frame.is_corrupt:
                    damaged.append(decoded)
                if frame.pts is not None and frame.time_base is not None:
                    time = frame.pts * frame.time_base
                elif first is not None:
                    time += 1 / self.frame_rate
                first = time if first is None else first
                yield image, time - first
                decoded += 1
        if damaged:
            logger.warning(
                "video %s is damaged or cut off: of %d frames %d are incomplete, the first is %s",
                *(self.path, decoded, len(damaged), _frame_name(damaged[0])),
            )


def _decoded(container: InputContainer, stream: VideoStream) -> Iterator[VideoFrame]:
    """Yield the frames of a stream; of a truncated file, those that are left.

    PyAV before 18 raises at a truncated packet, or, as it decodes in threads, at a later one.
    """
    truncated = False
    for packet in container.demux(stream):
        truncated |= packet.is_corrupt
        try:
            yield from packet.decode()
        except av.error.InvalidDataError:
            if not truncated:
                raise


def _frame_name(index: int) -> str:
    return f"{index:05d}"


def error_reason(error: Exception) -> str:
    """Return FFmpeg's message without its error number and function name."""
    return getattr(error, "strerror", None) or str(error)


@contextlib.contextmanager
def _open_video(path: Path, file_format: str | None = None) -> Iterator[InputContainer]:
    if not path.exists():
        raise InputError(f"video {path} does not exist")
    if not path.is_file():  # a pipe or a device may never end
        raise InputError(f"video {path} is not a file")
    try:
        # Absolute, as FFmpeg would take the first part of "a:b.mp4" for a protocol.
        container = av.open(str(path.resolve()), format=file_format, metadata_errors="replace")
    except (av.error.FFmpegError, OSError, ValueError) as error:
        raise InputError(f"{path} cannot be opened as a video: {error_reason(error)}") from error
    with container:
        if not container.streams.video:
            raise InputError(f"{path} has no video stream")
        yield container


def _read_packets(
    container: InputContainer, stream: VideoStream, path: Path
) -> tuple[int, Fraction]:
    """Read a container that does not store the number of its frames (Matroska).

    Return that number, and when the last packet of any stream ends, in seconds.
    """
    count, end = 0, Fraction(0)
    try:
        for packet in container.demux():
            if packet.stream.index == stream.index and packet.size and not packet.is_discard:
                count += 1
            if packet.pts is not None and packet.time_base is not None:
                end = max(end, (packet.pts + (packet.duration or 0)) * packet.time_base)
    except (av.error.FFmpegError, OSError) as error:
        raise InputError(f"video {path} cannot be read: {error_reason(error)}") from error
    return count, end


def _duration(container: InputContainer, stream: VideoStream) -> Fraction | None:
    if stream.duration is not None and stream.time_base is not None:
        return stream.duration * stream.time_base
    return None if container.duration is None else Fraction(container.duration, av.time_base)


def _upright(frame: VideoFrame) -> np.ndarray:
    """Return the image as its display matrix says: turned by quarter turns, mirrored, or both."""
    image = frame.to_ndarray(format="rgb24")
    side_data: Mapping[Any, Any] = frame.side_data
    matrix = side_data.get(SideData.DISPLAYMATRIX)
    if matrix is None:
        return image
    # A point (x, y) is shown at (x_x * x + y_x * y, x_y * x + y_y * y).
    x_x, x_y, _, y_x, y_y = struct.unpack("5i", bytes(matrix)[:20])
    if abs(x_y) + abs(y_x) > abs(x_x) + abs(y_y):
        image, x_x, y_y = image.swapaxes(0, 1), y_x, x_y
    return np.ascontiguousarray(image[:: -1 if y_y < 0 else 1, :: -1 if x_x < 0 else 1])


def first_frame(path: Path) -> np.ndarray:
    """Return the first frame of a video file, uint8 (H, W, 3) RGB.

    Raises:
        InputError: the file is missing, is not a video or has no frame that can be decoded.
    """
    with _open_video(path) as container:
        try:
            frame = next(container.decode(container.streams.video[0]), None)
            image = None if frame is None else _upright(frame)
        except (av.error.FFmpegError, OSError, ValueError) as error:
            raise InputError(f"video {path} cannot be decoded: {error_reason(error)}") from error
    if image is None:
        raise InputError(f"video {path} has no frame that can be decoded")
    return image

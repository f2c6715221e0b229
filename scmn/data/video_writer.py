"""Videos that play in a browser."""

from __future__ import annotations

import contextlib
from fractions import Fraction
from pathlib import Path
from types import TracebackType

import av
import numpy as np
from av.container import OutputContainer
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

from scmn.data.atomic import BeforeRename, temporary_beside
from scmn.data.video import error_reason
from scmn.errors import InputError

_TICK = Fraction(1, 90000)
"""Resolution of the times that are written, in seconds."""
_BT601, _LIMITED = 6, 1
"""FFmpeg's numbers of the colours (SMPTE 170M), and of their range."""
_THREADS = 4
"""Of the encoder, on any machine: what it writes depends on their number."""


class VideoWriter:
    """Write frames to an H.264 MP4 file that plays in a browser.

    A context manager; the file appears at ``path`` only when the block succeeds. H.264 in yuv420p
    needs even sizes: the last row or column of an odd one is repeated. The same frames
    give the same bytes.

        with VideoWriter(path, frame_rate=24) as writer:
            writer.write(image)
    """

    def __init__(
        self,
        path: Path,
        *,
        frame_rate: Fraction | float,
        duration: Fraction | None = None,
        quality: int = 20,
        before_rename: BeforeRename | None = None,
    ) -> None:
        """
        Args:
            path: the file.
            frame_rate: of frames that are written without times.
            duration: in seconds, where frames are written with times: how long the last one is
                shown follows from it (None: 1 / ``frame_rate``).
            quality: x264's constant rate factor: 0 is lossless, 23 its default, 51 worst.
            before_rename: see ``atomic_path``.
        """
        self.path = path
        self._temporary = temporary_beside(path)
        self._frame_rate = Fraction(frame_rate).limit_denominator(1001)
        self._duration = duration
        self._quality = quality
        self._before_rename = before_rename
        self._timed = False
        self._last_tick = -1
        self._container: OutputContainer | None = None
        self._stream: VideoStream | None = None
        self._size: tuple[int, ...] = ()

    def __enter__(self) -> VideoWriter:
        return self

    def write(self, image: np.ndarray, time: Fraction | None = None) -> None:
        """Append a frame, uint8 (H, W, 3) RGB, of the first frame's size.

        ``time`` is when it is shown, in seconds after the first frame; give it for all frames or
        for none (None: at the frame rate).

        Raises:
            InputError: the file cannot be written.
        """
        if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3:
            raise ValueError(f"a frame is uint8 (H, W, 3), not {image.dtype} {image.shape}")
        height, width = image.shape[:2]
        try:
            if self._stream is None or self._container is None:
                self._timed = time is not None
                self._container, self._stream = self._open(width + width % 2, height + height % 2)
                self._size = image.shape
            if image.shape != self._size:
                raise ValueError(f"frame of shape {image.shape} in a video of {self._size}")
            even = np.pad(image, ((0, height % 2), (0, width % 2), (0, 0)), mode="edge")
            frame = VideoFrame.from_ndarray(even, format="rgb24")
            if time is not None:
                # Damaged files repeat times, which MP4 cannot hold.
                self._last_tick = max(round(time / _TICK), self._last_tick + 1)
                frame.pts, frame.time_base = self._last_tick, _TICK
            self._container.mux(self._stream.encode(frame))
        except (av.error.FFmpegError, OSError) as error:
            raise InputError(f"cannot write {self.path}: {error_reason(error)}") from error

    def _open(self, width: int, height: int) -> tuple[OutputContainer, VideoStream]:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        container = av.open(
            str(self._temporary.absolute()),
            mode="w",
            format="mp4",
            container_options={"movflags": "+faststart"},  # playback starts while loading
        )
        # x264's macroblock tree is not reproducible: at some sizes it depends on what happens to be
        # in the process's memory.
        options = {"crf": str(self._quality), "mbtree": "0"}
        if self._timed:
            # With B-frames, which are reordered, the duration in the file would be too short.
            options["bf"] = "0"
        stream = container.add_stream("libx264", rate=self._frame_rate, options=options)
        # PyAV's default, threads that share the slices of a frame, is not reproducible.
        stream.codec_context.thread_type = "FRAME"
        stream.codec_context.thread_count = _THREADS
        if self._timed:
            stream.codec_context.time_base = _TICK
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        # What the conversion from RGB does; browsers take HD without these tags for BT.709.
        context = stream.codec_context
        context.colorspace = context.color_primaries = context.color_trc = _BT601
        context.color_range = _LIMITED
        return container, stream

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        try:
            if kind is None:
                self._finish()
        finally:
            # After a failure, a partial file is left.
            with contextlib.suppress(OSError, av.error.FFmpegError):
                if self._container is not None:
                    self._container.close()
            with contextlib.suppress(OSError):
                self._temporary.unlink(missing_ok=True)

    def _finish(self) -> None:
        if self._stream is None or self._container is None:
            raise InputError(f"cannot write {self.path}: the video has no frames")
        try:
            packets = self._stream.encode(None)
            if self._timed and packets and self._duration is not None:
                remaining = round(self._duration / _TICK) - self._last_tick
                packets[-1].duration = max(remaining, 0)  # 0: 1 / frame_rate
            self._container.mux(packets)
            self._container.close()
            if self._before_rename is not None:
                self._before_rename(self._temporary, self.path)
            self._temporary.replace(self.path)
        except (av.error.FFmpegError, OSError) as error:
            raise InputError(f"cannot write {self.path}: {error_reason(error)}") from error

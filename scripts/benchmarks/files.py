"""The time to read frames and write masks, file by file, in one thread."""

from __future__ import annotations

import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import cv2
from sizes import size_text

from scmn.data.images import read_image
from scmn.data.masks import read_label_map, write_label_map
from scmn.data.synthetic import SyntheticSequence, SyntheticSettings
from scmn.data.video import VideoFile
from scmn.data.video_writer import VideoWriter

JPEG_QUALITY = 95


def measure(*, frames: int, size: tuple[int, int]) -> list[dict[str, str]]:
    """Write and read ``frames`` synthetic frames and masks; return rows for a table."""
    sequence = SyntheticSequence(SyntheticSettings(size=size, frames=frames), seed=0, number=0)
    drawn = [sequence.frame(index) for index in range(frames)]
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        images = [folder / f"{index:05d}.jpg" for index in range(frames)]
        masks = [folder / f"{index:05d}.png" for index in range(frames)]
        for path, (image, _) in zip(images, drawn, strict=True):
            bgr = cv2.cvtColor(image, cv2.COLOR_RGB2BGR)
            cv2.imwrite(str(path), bgr, [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY])
        video = folder / "video.mp4"
        with VideoWriter(video, frame_rate=24.0) as writer:
            for image, _ in drawn:
                writer.write(image)

        def write(index: int) -> None:
            write_label_map(masks[index], drawn[index][1])

        rows = [
            _row("write a mask (PNG)", size, _timed(write, frames)),
            _row("read a mask (PNG)", size, _timed(lambda i: read_label_map(masks[i]), frames)),
            _row("read a frame (JPEG)", size, _timed(lambda i: read_image(images[i]), frames)),
        ]
        decoded = VideoFile(video, masks[0]).frames()
        rows.append(_row("read a frame (H.264)", size, _timed(lambda _: next(decoded), frames)))
    return rows


def _timed(work: Callable[[int], object], frames: int) -> list[float]:
    seconds = []
    for index in range(frames):
        begun = time.perf_counter()
        work(index)
        seconds.append(time.perf_counter() - begun)
    return seconds


def _row(what: str, size: tuple[int, int], seconds: list[float]) -> dict[str, str]:
    return {
        "what": what,
        "size": size_text(size),
        "ms, median": f"{1000 * statistics.median(seconds):.1f}",
        "most": f"{1000 * max(seconds):.1f}",
    }

"""Run a segmenter over a sequence: masks, overlay video, speed and peak memory."""

from __future__ import annotations

import contextlib
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import cv2
import numpy as np
import torch

from scmn.data.atomic import atomic_path
from scmn.data.masks import write_label_map
from scmn.data.sequences import Frame, FrameSource
from scmn.data.video import VideoWriter
from scmn.errors import InputError
from scmn.evaluation.predictions import prediction_path
from scmn.evaluation.run_folder import RunFolder, SequenceRecord
from scmn.inference.prediction import Prediction
from scmn.visualization import contact_sheet, overlay

PICTURES_PER_SEQUENCE = 4
PICTURE_HEIGHT = 240
FRAME_RATE = 24.0
"""Of overlay videos of sequences that have no rate of their own (DAVIS is 24 per second)."""


class Segmenter(Protocol):
    """What a runner needs of VideoSegmenter and AugmentedSegmenter."""

    def reset(self) -> None: ...

    def step(self, frame: np.ndarray, labels: np.ndarray | None = None) -> Prediction: ...


@dataclass(frozen=True)
class SequenceRunner:
    """Segments sequences into a run folder."""

    segmenter: Segmenter
    device: torch.device
    folder: RunFolder
    write_overlay: bool = False
    on_frame: Callable[[], object] = lambda: None
    """Called after every frame, for a progress bar."""

    def run(self, source: FrameSource) -> SequenceRecord:
        """Segment one sequence and write what belongs to it.

        Raises:
            InputError: a frame or mask is wrong, a file cannot be written, or the device's memory
                is exhausted.
        """
        self.segmenter.reset()
        _reset_peak_memory(self.device)
        pictures = _Pictures(len(source))
        written: list[str] = []
        objects: set[int] = set()
        network_seconds = 0.0
        started = time.perf_counter()
        size = (0, 0)
        frames = 0
        with self._overlay_writer(source) as video:
            for frame in source.frames():
                begun = time.perf_counter()
                prediction = self._step(source, frame)
                network_seconds += time.perf_counter() - begun
                objects.update(prediction.object_ids)
                if source.is_written(frame.name):
                    path = prediction_path(self.folder.masks, source.name, frame.name)
                    write_label_map(path, prediction.labels)
                    written.append(frame.name)
                if video is not None:
                    video.write(overlay(frame.image, prediction.labels))
                pictures.offer(frame, prediction)
                size = prediction.labels.shape
                frames += 1
                self.on_frame()
        total_seconds = time.perf_counter() - started
        pictures.write(self.folder, source.name)
        record = SequenceRecord(
            name=source.name,
            frames=frames,
            objects=len(objects),
            height=size[0],
            width=size[1],
            network_seconds=network_seconds,
            total_seconds=total_seconds,
            peak_memory_bytes=peak_memory_bytes(self.device),
            written=tuple(written),
        )
        self.folder.finish(record)
        return record

    def _step(self, source: FrameSource, frame: Frame) -> Prediction:
        try:
            # It returns the labels as an array and so has waited for the device.
            return self.segmenter.step(frame.image, frame.labels)
        except InputError as error:
            raise InputError(f"sequence '{source.name}', frame {frame.name}: {error}") from error
        except torch.OutOfMemoryError as error:
            raise InputError(
                f"sequence '{source.name}', frame {frame.name}: the memory of {self.device} is "
                "exhausted; lower evaluation.size, memory.max_frames or "
                "evaluation.objects_per_batch"
            ) from error

    def _overlay_writer(
        self, source: FrameSource
    ) -> contextlib.AbstractContextManager[VideoWriter | None]:
        if not self.write_overlay:
            return contextlib.nullcontext()
        rate = getattr(source, "frame_rate", FRAME_RATE)
        return VideoWriter(self.folder.overlay(source.name), frame_rate=rate)


class _Pictures:
    """Some overlays of a sequence, evenly spread, for the report."""

    def __init__(self, frames: int) -> None:
        count = min(frames, PICTURES_PER_SEQUENCE)
        self._wanted = {round(i * (frames - 1) / max(count - 1, 1)) for i in range(count)}
        self._images: list[np.ndarray] = []

    def offer(self, frame: Frame, prediction: Prediction) -> None:
        if frame.index not in self._wanted:
            return
        image = overlay(frame.image, prediction.labels)
        width = max(1, round(image.shape[1] * PICTURE_HEIGHT / image.shape[0]))
        small = cv2.resize(image, (width, PICTURE_HEIGHT), interpolation=cv2.INTER_AREA)
        self._images.append(small)

    def write(self, folder: RunFolder, sequence: str) -> None:
        if self._images:
            sheet = contact_sheet(self._images, columns=len(self._images))
            with atomic_path(folder.picture(sequence)) as temporary:
                cv2.imwrite(str(temporary), cv2.cvtColor(sheet, cv2.COLOR_RGB2BGR))


def peak_memory_bytes(device: torch.device) -> int:
    """Return the peak of allocated GPU memory since the sequence began, or of resident memory."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    if sys.platform == "win32":
        return 0  # no such counter in the standard library
    import resource

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else 1024 * peak


def _reset_peak_memory(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)

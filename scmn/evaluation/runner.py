"""Run a segmenter over a sequence: masks, overlay video, speed and peak memory."""

from __future__ import annotations

import contextlib
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Protocol

import cv2
import numpy as np
import torch

from scmn.data.atomic import atomic_path
from scmn.data.masks import write_label_map
from scmn.data.sequences import Frame, FrameSource
from scmn.data.video import VideoWriter
from scmn.errors import InputError
from scmn.evaluation.fingerprint import fingerprint
from scmn.evaluation.pipelining import WriteBehind, read_ahead, write_behind
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
    precision: str = "fp32"
    """What the segmenter runs at, for the record."""
    processes: int = 1
    """How many processes share the run, for the record."""
    write_overlay: bool = False
    on_frame: Callable[[], object] = lambda: None
    """Called after every frame, for a progress bar."""

    def run(self, source: FrameSource) -> SequenceRecord:
        """Segment one sequence and write what belongs to it.

        Raises:
            InputError: a frame or mask is wrong, a file cannot be written, or the device's memory
                is exhausted.
        """
        evidence = fingerprint(source)
        self.folder.discard(source.name)
        self.segmenter.reset()
        _reset_peak_memory(self.device)
        pictures = _Pictures(len(source))
        tally = _Tally()
        with self._overlay_writer(source) as video, write_behind() as files:
            for frame, prediction in self._predictions(source, tally, files):
                if video is not None:
                    video.write(overlay(frame.image, prediction.labels))
                pictures.offer(frame, prediction)
                self.on_frame()
        pictures.write(self.folder, source.name)
        record = SequenceRecord(
            name=source.name,
            fingerprint=evidence,
            frames=tally.frames,
            objects=len(tally.objects),
            height=tally.frame_size[0],
            width=tally.frame_size[1],
            network_height=tally.network_size[0],
            network_width=tally.network_size[1],
            device=device_name(self.device),
            precision=self.precision,
            processes=self.processes,
            network_seconds=tally.network_seconds,
            total_seconds=tally.total_seconds,
            peak_memory_bytes=peak_memory_bytes(self.device),
            written=tuple(tally.written),
        )
        self.folder.finish(record)
        return record

    def _predictions(
        self, source: FrameSource, tally: _Tally, files: WriteBehind
    ) -> Iterator[tuple[Frame, Prediction]]:
        """Read, segment and write frame after frame; what happens between them is not timed."""
        frames = read_ahead(source.frames())
        while True:
            begun = time.perf_counter()
            frame = next(frames, None)
            if frame is None:
                files.flush()
                tally.total_seconds += time.perf_counter() - begun
                return
            handed_over = time.perf_counter()
            prediction = self._step(source, frame)
            tally.network_seconds += time.perf_counter() - handed_over
            tally.count(prediction)
            if source.is_written(frame.name):
                path = prediction_path(self.folder.masks, source.name, frame.name)
                files.submit(write_label_map, path, prediction.labels)
                tally.written.append(frame.name)
            tally.total_seconds += time.perf_counter() - begun
            yield frame, prediction

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


@dataclass
class _Tally:
    """What is counted while a sequence runs."""

    frames: int = 0
    objects: set[int] = field(default_factory=set)
    frame_size: tuple[int, int] = (0, 0)
    network_size: tuple[int, int] = (0, 0)
    network_seconds: float = 0.0
    total_seconds: float = 0.0
    written: list[str] = field(default_factory=list)

    def count(self, prediction: Prediction) -> None:
        geometry = prediction.geometry
        self.frames += 1
        self.objects.update(prediction.object_ids)
        self.frame_size = geometry.frame_size
        self.network_size = geometry.network_size


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


def device_name(device: torch.device) -> str:
    """Return what a speed was measured on: the GPU's name, or the CPU's threads."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    if device.type == "cpu":
        return f"cpu, {torch.get_num_threads()} threads"
    return device.type


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

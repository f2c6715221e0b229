"""One sequence through a segmenter: masks, exports, speed and peak memory.

Frames are read ahead and masks written behind while the device computes.
"""

from __future__ import annotations

import contextlib
import sys
import time
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import cv2
import numpy as np
import torch
from PIL import Image

from scmn.data.atomic import atomic_path
from scmn.data.masks import write_label_map
from scmn.data.sequences import Frame, FrameSource, VideoSequence
from scmn.data.video import VideoFile
from scmn.errors import InputError
from scmn.evaluation.pipelining import WriteBehind, read_ahead, write_behind
from scmn.evaluation.run_folder import RunFolder, SequenceRecord, prediction_path
from scmn.evaluation.sequence_input import SequenceInput
from scmn.evaluation.warm_up import WarmUp
from scmn.evaluation.written_files import WrittenFiles
from scmn.exports import FRAME_RATE, SequenceExports
from scmn.inference.base import Segmenter
from scmn.inference.devices import explain_exhausted_memory
from scmn.inference.frames import upload_frame
from scmn.inference.geometry import FrameGeometry
from scmn.inference.prediction import Prediction
from scmn.inference.settings import Direction
from scmn.visualization import contact_sheet, overlay

MEMORY_ADVICE = "lower evaluation.size, memory.max_frames or evaluation.objects_per_batch"
PICTURES_PER_SEQUENCE = 4
PICTURE_HEIGHT, PICTURE_WIDTH = 240, 640
"""Of the largest picture: four of a panorama would be wider than a JPEG can be."""
PICTURE_QUALITY = 95


@dataclass
class _Counts:
    """What is counted and timed of a sequence, for its record."""

    frames: int = 0
    segmented: int = 0
    timed: int = 0
    network_seconds: float = 0.0
    total_seconds: float = 0.0
    objects: set[int] = field(default_factory=set)
    written: list[str] = field(default_factory=list)
    """Names of the frames whose masks were written."""


@dataclass
class SequenceRun:
    """One sequence on its way through a segmenter into a run folder."""

    source: FrameSource
    segmenter: Segmenter
    folder: RunFolder
    direction: Direction = "forward"
    """See ``Segmenter.run``; "both" holds all frames of the sequence in memory."""
    exports: Collection[str] = ()
    """Some of ``scmn.exports.EXPORTS``."""
    pictures: bool = True
    """Keep some overlays for the report."""
    on_frame: Callable[[], object] = lambda: None
    """Called after every frame, for a progress bar."""
    warm_up: WarmUp = field(default_factory=WarmUp)
    """Of all sequences that the segmenter has seen: tells which frames are not timed."""
    processes: int = 1
    """How many processes share the evaluation, for the record."""
    _counts: _Counts = field(default_factory=_Counts, init=False)
    _input: SequenceInput = field(init=False)

    def run(self) -> SequenceRecord:
        """Segment the sequence and write its files.

        Files of earlier runs are removed when the first one is written: whatever is wrong with the
        given masks has been found by then.

        Raises:
            InputError: a frame or mask is wrong, a file cannot be written or is the user's, or the
                device runs out of memory.
        """
        self._input = SequenceInput.of(self.source)
        self.segmenter.reset()
        _reset_peak_memory(self.segmenter.device)
        pictures = _Pictures(len(self.source) if self.pictures else 0)
        predictions = self._predictions if self.direction == "forward" else self._both_directions
        geometry: FrameGeometry | None = None
        with self._exports() as exports, write_behind() as files:
            for frame, prediction in predictions(files):
                self._counts.frames += 1
                self._counts.objects.update(self.segmenter.object_ids)
                if prediction is not None:
                    geometry = prediction.geometry
                    name = self._file_name(frame)
                    exports.write(name, frame.image, prediction.labels, frame.time)
                    pictures.offer(frame, prediction)
                self.on_frame()
        pictures.write(self.folder.picture(self.source.name), self._files)
        record = self._record(geometry)
        self.folder.finish(record, self._files)
        return record

    def _record(self, geometry: FrameGeometry | None) -> SequenceRecord:
        height, width = (0, 0) if geometry is None else geometry.frame_size
        network = (0, 0) if geometry is None else geometry.network_size
        counts, device = self._counts, self.segmenter.device
        return SequenceRecord(
            name=self.source.name,
            fingerprint=self._input.fingerprint,
            frames=counts.frames,
            segmented_frames=counts.segmented,
            timed_frames=counts.timed,
            objects=len(counts.objects),
            height=height,
            width=width,
            network_height=network[0],
            network_width=network[1],
            device=device_name(device),
            precision=self.segmenter.precision,
            processes=self.processes,
            network_seconds=counts.network_seconds,
            total_seconds=counts.total_seconds,
            peak_memory_bytes=peak_memory_bytes(device),
            written=tuple(counts.written),
            exports=tuple(self.exports),
        )

    @cached_property
    def _files(self) -> WrittenFiles:
        """What the run has written; earlier files go when this is first asked for."""
        return self.folder.start(self.source.name, self._input)

    def _predictions(self, files: WriteBehind) -> Iterator[tuple[Frame, Prediction | None]]:
        """Read, segment and write each frame; the caller's work between frames is not timed.

        Where nothing is written or shown, there is no prediction. The labels of a frame are read
        when the device has got the next one, so that it always has work.
        """
        counts, frames = self._counts, read_ahead(self._uploaded_frames())
        ready: tuple[Frame, Prediction | None] | None = None
        while True:
            start = time.perf_counter()
            item = next(frames, None)
            decoded = time.perf_counter()
            prediction, segmented = (None, False) if item is None else self._step(*item)
            labels = None if ready is None or ready[1] is None else ready[1].labels
            done = time.perf_counter()
            if ready is not None and labels is not None:
                self._write(files, ready[0], labels)
            if item is None:
                files.flush()
            if not (item and segmented and self._warms_up(item[0])):
                counts.timed += segmented
                counts.network_seconds += done - decoded
                counts.total_seconds += time.perf_counter() - start
            counts.segmented += segmented
            if ready is not None:
                yield ready
            if item is None:
                return
            ready = (item[0], prediction)

    def _both_directions(self, files: WriteBehind) -> Iterator[tuple[Frame, Prediction | None]]:
        """As :meth:`_predictions`, from each given mask to earlier frames, too."""
        counts, start = self._counts, time.perf_counter()
        frames = list(self.source.frames())
        counts.total_seconds = time.perf_counter() - start
        given = {frame.index: frame.labels for frame in frames if frame.labels is not None}
        images = [frame.image for frame in frames]
        predictions = self.segmenter.run(images, given, direction="both")
        for frame in frames:
            start = time.perf_counter()
            with self._located(f"sequence '{self.source.name}'"):
                prediction = next(predictions)
                labels = prediction.labels
            counts.network_seconds += time.perf_counter() - start
            self._write(files, frame, labels)
            if frame is frames[-1]:
                files.flush()
            counts.total_seconds += time.perf_counter() - start
            counts.segmented += bool(prediction.object_ids)
            yield frame, prediction
        counts.timed = counts.segmented  # the passes are not divided: warm-up is timed, too

    def _write(self, files: WriteBehind, frame: Frame, labels: np.ndarray) -> None:
        if self.source.is_written(frame.name):
            path = prediction_path(self.folder.masks, self.source.name, frame.name)
            files.submit(write_label_map, path, labels, before_rename=self._files.claim)
            self._counts.written.append(frame.name)

    def _uploaded_frames(self) -> Iterator[tuple[Frame, torch.Tensor]]:
        """Read the frames and start their copies to the device."""
        for frame in self.source.frames():
            yield frame, upload_frame(frame.image, self.segmenter.device)

    def _warms_up(self, frame: Frame) -> bool:
        return self.warm_up.includes(frame.image.shape[:2], len(self.segmenter.object_ids))

    def _step(self, frame: Frame, image: torch.Tensor) -> tuple[Prediction | None, bool]:
        """Return the prediction, None where none is needed, and whether objects were segmented."""
        with self._located(f"sequence '{self.source.name}', frame {frame.name}"):
            if not (self.exports or self.source.is_written(frame.name)):
                return None, self.segmenter.skip(image, frame.labels)
            prediction = self.segmenter.step(image, frame.labels)
            prediction.request_labels()
            return prediction, bool(prediction.object_ids)

    @contextlib.contextmanager
    def _located(self, where: str) -> Iterator[None]:
        """Say where in the data an error occurred."""
        try:
            with explain_exhausted_memory(self.segmenter.device, MEMORY_ADVICE):
                yield
        except InputError as error:
            raise InputError(f"{where}: {error}") from error

    def _exports(self) -> SequenceExports:
        video = self.source if isinstance(self.source, VideoFile) else None
        return SequenceExports(
            self.folder.path,
            self.source.name,
            self.exports,
            frame_rate=FRAME_RATE if video is None else video.frame_rate,
            duration=None if video is None else video.duration,
            before_rename=lambda temporary, path: self._files.claim(temporary, path),
        )

    def _file_name(self, frame: Frame) -> str:
        """Return the name of a frame's image file, or that of one extracted from a video."""
        if isinstance(self.source, VideoSequence):
            return self.source.image_paths[frame.index].name
        return f"{frame.name}.jpg"


class _Pictures:
    """Some overlays of a sequence, evenly spread, for the report."""

    def __init__(self, frames: int) -> None:
        count = min(frames, PICTURES_PER_SEQUENCE)
        self._places = [round(i * (frames - 1) / max(count - 1, 1)) for i in range(count)]
        self._images: list[np.ndarray] = []

    def offer(self, frame: Frame, prediction: Prediction) -> None:
        if not self._places or frame.index < self._places[0]:
            return
        self._places = [place for place in self._places if place > frame.index]
        image = overlay(frame.image, prediction.labels)
        height, width = image.shape[:2]
        scale = min(PICTURE_HEIGHT / height, PICTURE_WIDTH / width)
        size = (max(1, round(width * scale)), max(1, round(height * scale)))
        self._images.append(cv2.resize(image, size, interpolation=cv2.INTER_AREA))

    def write(self, path: Path, files: WrittenFiles) -> None:
        if self._images:
            sheet = contact_sheet(self._images, columns=len(self._images))
            with atomic_path(path, before_rename=files.claim) as temporary:
                # OpenCV ends the process at a name that is not UTF-8.
                Image.fromarray(sheet).save(temporary, "JPEG", quality=PICTURE_QUALITY)


def device_name(device: torch.device) -> str:
    """Return the GPU's name, or the number of CPU threads: a speed means nothing without it."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    if device.type == "cpu":
        return f"cpu, {thread_count()}"
    return device.type


def thread_count() -> str:
    """Return the number of CPU threads with its unit."""
    threads = torch.get_num_threads()
    return f"{threads} thread{'' if threads == 1 else 's'}"


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

"""Segmenting a project from one of its frames, forward or backward, in a thread of its own."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from scmn.build import build_model
from scmn.data.masks import keep_objects
from scmn.demo.project import FrameMasks, Project
from scmn.errors import InputError
from scmn.inference.base import Segmenter
from scmn.inference.prediction import Prediction
from scmn.inference.segmenter import VideoSegmenter
from scmn.inference.settings import Precision
from scmn.networks.base import MemoryNetwork
from scmn.weights.files import DEFAULT_MODEL, DEFAULT_WEIGHTS, WeightsFile, read_weights

logger = logging.getLogger(__name__)

Direction = Literal["forward", "backward"]

BUNDLED = f"{DEFAULT_MODEL} (bundled)"

_device = threading.Lock()
"""Sessions take turns frame by frame: neither memory nor torch's flags are shared fairly."""


class Networks:
    """The networks that the page offers, by name; each is built when it is first used.

    Args:
        files: weights to offer besides the bundled ones.

    Raises:
        InputError: a file cannot be read or does not name its model.
    """

    def __init__(self, files: Sequence[Path] = ()) -> None:
        self._files: dict[str, WeightsFile | str] = {BUNDLED: DEFAULT_WEIGHTS}
        self._built: dict[str, MemoryNetwork] = {}
        self._building = threading.Lock()
        for path in files:
            file = read_weights(path)
            if file.description is None:
                raise InputError(f"{path} does not name its model")
            model = file.description.name
            name = f"{model} ({path.name})"
            self._files[f"{model} ({path})" if name in self._files else name] = file

    @property
    def names(self) -> list[str]:
        return list(self._files)

    def build(self, name: str) -> MemoryNetwork:
        """Return a network; InputError if it is not offered or its weights do not fit."""
        if name not in self._files:
            raise InputError(f"unknown network '{name}'; known: {', '.join(self._files)}")
        with self._building:
            if name not in self._built:
                weights = self._files[name]
                described = weights.description if isinstance(weights, WeightsFile) else None
                model = described.name if described else DEFAULT_MODEL
                self._built[name] = build_model(model, weights=weights)
        return self._built[name]


@dataclass
class Settings:
    """How to segment; ``memory`` holds what differs from the network's policy."""

    network: str = BUNDLED
    size: int | None = 480
    precision: Precision = "fp32"
    memory: dict[str, Any] = field(default_factory=dict)


def segment(
    project: Project, segmenter: Segmenter, start: int, direction: Direction
) -> Iterator[tuple[int, Prediction]]:
    """Segment from frame ``start`` to the end of the video, or back to its beginning.

    The segmenter first remembers the user's masks behind ``start``, as a video of only those
    frames that leads up to it. Yields indices and predictions, that of ``start`` first.
    """
    step = 1 if direction == "forward" else -1
    end = len(project.footage) if direction == "forward" else -1
    behind = [index for index in project.given_frames if (start - index) * step > 0][::step]
    segmenter.reset()
    for index in [*behind, *range(start, end, step)]:
        labels, objects = _given(project.masks.get(index), segmenter.object_ids)
        image = project.footage.image(index)
        with _device:
            prediction = segmenter.step(image, labels, objects=objects)
            _ = prediction.labels, prediction.confidence
        if index not in behind:
            yield index, prediction


def _given(masks: FrameMasks | None, tracked: Sequence[int]) -> tuple[Any, list[int] | None]:
    """Return the label map that the user gave on a frame and its objects, or None for both."""
    if masks is None:
        return None, None
    # An object that was erased here is hidden, if it has been seen anywhere before.
    objects = sorted(i for i in masks.given if i in masks.areas or i in tracked)
    if not objects:
        return None, None
    return keep_objects(masks.labels, objects), objects


@dataclass
class Progress:
    """How far a run is.

    Attributes:
        total: number of frames to segment.
        done: number of frames segmented.
        frame: the last one; None before the first.
        rate: frames/s since the first; None before the second.
    """

    total: int
    done: int = 0
    frame: int | None = None
    rate: float | None = None

    @property
    def seconds_left(self) -> float | None:
        return (self.total - self.done) / self.rate if self.rate else None


class Run:
    """Segments a project in a thread of its own, which starts at once; can be cancelled.

    The whole run is one step of the project's history. What was segmented before it is cancelled
    or fails stays.

    Raises:
        InputError: a wrong setting, or no mask on the frame ``start``.
    """

    def __init__(
        self,
        project: Project,
        networks: Networks,
        settings: Settings,
        *,
        device: str,
        start: int,
        direction: Direction,
    ) -> None:
        self._project = project
        self._segmenter = VideoSegmenter(
            networks.build(settings.network),
            device=device,
            size=settings.size,
            precision=settings.precision,
            memory=settings.memory,
            max_objects=project.limits.objects,
        )
        project.remember()
        try:
            project.confirm(start)
        except InputError:
            project.undo()
            raise
        forward = direction == "forward"
        self.progress = Progress(total=len(project.footage) - start if forward else start + 1)
        self.error: str | None = None
        self._cancelled = threading.Event()
        self._thread = threading.Thread(
            target=self._work, args=(start, direction), name="scmn-demo run", daemon=True
        )
        self._thread.start()

    @property
    def finished(self) -> bool:
        """Whether it has ended: completed, cancelled, or failed; then ``error`` says why."""
        return not self._thread.is_alive()

    def cancel(self) -> None:
        """Stop after the current frame."""
        self._cancelled.set()

    def wait(self) -> None:
        self._thread.join()

    def save_memory(self, path: Path) -> None:
        """Write what the network remembers, for ``VideoSegmenter.load_memory``."""
        self._segmenter.save_memory(path)

    def _work(self, start: int, direction: Direction) -> None:
        try:
            for index, prediction in segment(self._project, self._segmenter, start, direction):
                self._project.set_prediction(index, prediction.labels, _confidence(prediction))
                self._advance(index)
                if self._cancelled.is_set():
                    return
        except InputError as error:
            self.error = str(error)
        except Exception:
            logger.exception("a run failed")
            self.error = "the segmentation failed; the server's log has the details"

    def _advance(self, index: int) -> None:
        progress = self.progress
        progress.done += 1
        progress.frame = index
        if progress.done == 1:
            self._first = time.monotonic()
        else:
            progress.rate = (progress.done - 1) / max(time.monotonic() - self._first, 1e-6)


def _confidence(prediction: Prediction) -> Mapping[int, float]:
    present = prediction.present.tolist()
    confidence = prediction.confidence.tolist()
    known = zip(prediction.object_ids, present, confidence, strict=True)
    return {object_id: value for object_id, seen, value in known if seen}

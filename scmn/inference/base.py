"""The interface of segmenters: a video frame by frame, or lazily as a whole."""

from __future__ import annotations

import threading
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import wraps
from itertools import islice
from typing import Concatenate, ParamSpec, TypeVar, get_args

import torch

from scmn.errors import InputError
from scmn.inference.both_directions import (
    HeldPrediction,
    annotated_frames,
    forward_frames,
    merged,
)
from scmn.inference.frames import FrameImage, LabelMap, VideoLabels, labels_by_frame
from scmn.inference.prediction import Prediction
from scmn.inference.settings import Direction, Precision

_Arguments = ParamSpec("_Arguments")
_Result = TypeVar("_Result")
_Self = TypeVar("_Self", bound="Segmenter")


def known_direction(name: str) -> Direction:
    """Return the direction of this name; InputError if there is none."""
    for known in get_args(Direction):
        if name == known:
            return known
    raise InputError(f"unknown direction '{name}': use {' or '.join(get_args(Direction))}")


def exclusive(
    method: Callable[Concatenate[_Self, _Arguments], _Result],
) -> Callable[Concatenate[_Self, _Arguments], _Result]:
    """Refuse a method of a segmenter while another thread is in one."""

    @wraps(method)
    def guarded(self: _Self, /, *args: _Arguments.args, **kwargs: _Arguments.kwargs) -> _Result:
        if not self._free.acquire(blocking=False):
            raise InputError(
                "the segmenter is in use by another thread: make one for each video (they can "
                "share a network)"
            )
        try:
            return method(self, *args, **kwargs)
        finally:
            self._free.release()

    return guarded


class Segmenter(ABC):
    """Segments videos frame by frame: one frame in, one prediction out.

    It holds the state of one video. Several videos at a time need a segmenter each.

    Attributes:
        device: where the network runs.
        precision: "fp32", "tf32", "bf16" or "fp16".
    """

    device: torch.device
    precision: Precision

    def __init__(self) -> None:
        self._free = threading.Lock()
        self._run: object = None
        """Of the current :meth:`run`."""

    @property
    @abstractmethod
    def frame_count(self) -> int:
        """The number of frames of the video so far."""

    @property
    @abstractmethod
    def object_ids(self) -> tuple[int, ...]:
        """The ids of the objects that are being segmented."""

    @abstractmethod
    def reset(self) -> None:
        """Forget everything: the next frame is the first of a new video."""

    @abstractmethod
    def remove_object(self, object_id: int) -> None:
        """Stop segmenting an object and forget it; InputError if there is no such object."""

    @abstractmethod
    def step(
        self,
        frame: FrameImage,
        labels: LabelMap | None = None,
        *,
        objects: Sequence[int] | None = None,
    ) -> Prediction:
        """Segment the next frame.

        Args:
            frame: uint8 (H, W, 3) RGB array or tensor, PIL image, or float tensor (3, H, W) in
                [0, 1].
            labels: label map (H, W) of objects that are given on this frame: an integer array or
                tensor, or a PIL image with ids as pixel values. Known objects take the given mask,
                new ones are added; all others are segmented as usual outside the given masks.
            objects: ids annotated in ``labels`` (None: those that occur in it). A listed object
                without pixels is hidden on this frame.

        Raises:
            InputError: a frame or a label map of a wrong type or size, or a label map without
                objects.
        """

    @abstractmethod
    def skip(
        self,
        frame: FrameImage,
        labels: LabelMap | None = None,
        *,
        objects: Sequence[int] | None = None,
    ) -> bool:
        """Advance by a frame whose prediction is not needed.

        Later predictions are the same as after :meth:`step`, but only what they depend on is
        computed: nothing if the frame is not remembered and the network does not use the previous
        frame's masks.

        Args:
            frame: as for :meth:`step`.
            labels: as for :meth:`step`.
            objects: as for :meth:`step`.

        Returns:
            Whether the frame had to be segmented.

        Raises:
            InputError: as :meth:`step`, if the frame had to be segmented.
        """

    def run(
        self,
        frames: Iterable[FrameImage],
        labels: VideoLabels,
        *,
        direction: str = "forward",
    ) -> Iterator[Prediction]:
        """Segment a new video: yield one prediction per frame, in time order.

        Args:
            frames: the video's frames, as for :meth:`step`.
            labels: a label map for the first frame, a mapping from frame index to label map, or an
                iterable of (index, label map) pairs.
            direction: "forward": lazily, from each label map to later frames; those before the
                first one are background. "both": from each label map to earlier frames, too.
                Between two label maps of an object, its mask is that of the forward pass up to
                where the two passes are equally confident, and that of the backward pass from
                there. All frames are held in memory, unless they are a sequence, and the
                predictions up to the last label map, on the host.

        Raises:
            InputError: as :meth:`step`, an unknown direction, a label map for a frame that the
                video does not have, or the segmenter was used for something else between two
                frames.
        """
        by_frame = labels_by_frame(labels)
        if known_direction(direction) == "both" and by_frame:
            yield from self._run_both(frames, by_frame)
            return
        count = 0
        for time, prediction in self._pass(enumerate(frames), by_frame):
            count = time + 1
            yield prediction
        _require_frames(by_frame, count)

    def _run_both(
        self, frames: Iterable[FrameImage], labels: Mapping[int, LabelMap]
    ) -> Iterator[Prediction]:
        frames = frames if isinstance(frames, Sequence) else list(frames)
        _require_frames(labels, len(frames))
        last = max(labels)
        from_last = ((time, frames[time]) for time in range(last, -1, -1))
        try:
            backward = {t: HeldPrediction.of(p) for t, p in self._pass(from_last, labels)}
        except InputError as error:
            raise InputError(f"backward from frame {last}: {error}") from error
        forward_pass = self._pass(enumerate(frames), labels)
        forward = {t: HeldPrediction.of(p) for t, p in islice(forward_pass, last + 1)}
        annotated = annotated_frames(labels)
        chosen = {
            object_id: forward_frames(object_id, annotated[object_id], forward, backward)
            for object_id in self.object_ids
        }
        for time in range(last + 1):
            from_forward = {object_id: time in times for object_id, times in chosen.items()}
            yield merged(
                forward.pop(time).released(self.device),
                backward.pop(time).released(self.device),
                from_forward,
            )
        for _, prediction in forward_pass:
            yield prediction

    def _pass(
        self, frames: Iterable[tuple[int, FrameImage]], labels: Mapping[int, LabelMap]
    ) -> Iterator[tuple[int, Prediction]]:
        """Segment frames in the given order; yield their indices and predictions."""
        self.reset()
        run = self._run = object()
        for count, (time, frame) in enumerate(frames):
            if self._run is not run or self.frame_count != count:
                raise InputError(
                    f"frame {time}: the segmenter was used for other frames since the one before: "
                    "make one for each video (they can share a network)"
                )
            yield time, self.step(frame, labels.get(time))


def _require_frames(labels: Iterable[int], count: int) -> None:
    missing = [index for index in labels if index >= count]
    if missing:
        raise InputError(
            f"label map for frame {min(missing)}, but the video has only {count} frames"
        )

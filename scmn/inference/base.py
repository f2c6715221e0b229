"""The interface of segmenters: a video frame by frame, or lazily as a whole."""

from __future__ import annotations

import threading
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import wraps
from typing import Concatenate, ParamSpec, TypeVar

import torch

from scmn.errors import InputError
from scmn.inference.frames import FrameImage, LabelMap, VideoLabels, labels_by_frame
from scmn.inference.prediction import Prediction

_Arguments = ParamSpec("_Arguments")
_Result = TypeVar("_Result")
_Self = TypeVar("_Self", bound="Segmenter")


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
    precision: str

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

    def run(self, frames: Iterable[FrameImage], labels: VideoLabels) -> Iterator[Prediction]:
        """Segment a new video lazily: yield one prediction per frame.

        Args:
            frames: the video's frames, as for :meth:`step`.
            labels: a label map for the first frame, a mapping from frame index to label map, or an
                iterable of (index, label map) pairs. Frames before the first one are background.

        Raises:
            InputError: as :meth:`step`, a label map for a frame that the video does not have, or
                the segmenter was used for something else between two frames.
        """
        by_frame = labels_by_frame(labels)
        self.reset()
        run = self._run = object()
        count = 0
        for frame in frames:
            if self._run is not run or self.frame_count != count:
                raise InputError(
                    f"frame {count}: the segmenter was used for other frames since the one before: "
                    "make one for each video (they can share a network)"
                )
            yield self.step(frame, by_frame.pop(count, None))
            count += 1
        if by_frame:
            raise InputError(
                f"label map for frame {min(by_frame)}, but the video has only {count} frames"
            )

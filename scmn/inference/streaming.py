"""What every segmenter of videos does: take frames one by one, or a whole video lazily."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Sequence

import numpy as np

from scmn.inference.frames import FrameImage
from scmn.inference.prediction import Prediction


class StreamingSegmenter(ABC):
    """One frame in, one prediction out."""

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
        labels: np.ndarray | None = None,
        *,
        objects: Sequence[int] | None = None,
    ) -> Prediction:
        """Segment the next frame; ``labels`` gives objects on it."""

    def run(self, frames: Iterable[FrameImage], first_labels: np.ndarray) -> Iterator[Prediction]:
        """Segment a new video: yield one prediction per frame; the first is the given mask."""
        self.reset()
        labels: np.ndarray | None = first_labels
        for frame in frames:
            yield self.step(frame, labels)
            labels = None

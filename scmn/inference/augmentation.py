"""Test-time augmentation: average the probabilities of flipped and scaled frames."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Annotated, Any

import numpy as np
import torch
from pydantic import Field, SkipValidation
from torch import Tensor
from torch.nn import functional

from scmn.errors import InputError
from scmn.inference.base import Segmenter, exclusive
from scmn.inference.frames import FrameImage, LabelMap, image_tensor, label_array
from scmn.inference.prediction import Prediction
from scmn.inference.segmenter import VideoSegmenter
from scmn.networks.base import MemoryNetwork
from scmn.settings import Positive, checked


@dataclass
class _View:
    """A segmenter and whether it gets the frames mirrored."""

    segmenter: VideoSegmenter
    flipped: bool

    def image(self, image: Tensor) -> Tensor:
        return image.flip(-1) if self.flipped else image

    def labels(self, labels: np.ndarray | None) -> np.ndarray | None:
        return labels[:, ::-1] if self.flipped and labels is not None else labels


class AugmentedSegmenter(Segmenter):
    """Segments a video in several views and averages their probabilities.

    Each view has its own memory, so time and memory grow in proportion to the number of views.
    """

    @checked
    def __init__(
        self,
        model: SkipValidation[MemoryNetwork],
        *,
        flip: bool = True,
        scales: Annotated[Sequence[Positive], Field(min_length=1)] = (1.0,),
        **settings: Any,
    ) -> None:
        """
        Args:
            model: a network.
            flip: add a mirrored view of every scale.
            scales: factors on the frames' size.
            **settings: those of :class:`VideoSegmenter` but ``scale``.

        Raises:
            InputError: a wrong setting.
        """
        super().__init__()
        if "scale" in settings:
            raise InputError("scale must be given among scales")
        self._views: list[_View] = []
        for scale in sorted(scales, reverse=True):
            for flipped in [False, True] if flip else [False]:
                segmenter = VideoSegmenter(model, scale=scale, **settings)
                model = segmenter.model  # accelerated once for all views
                self._views.append(_View(segmenter, flipped))
        self.device = segmenter.device
        self.precision = segmenter.precision

    @property
    def frame_count(self) -> int:
        """The number of frames of the video so far."""
        return self._views[0].segmenter.frame_count

    @property
    def object_ids(self) -> tuple[int, ...]:
        """The ids of the objects that are being segmented."""
        return self._views[0].segmenter.object_ids

    @exclusive
    def reset(self) -> None:
        """Forget everything: the next frame is the first of a new video."""
        for view in self._views:
            view.segmenter.reset()

    @exclusive
    def remove_object(self, object_id: int) -> None:
        """Stop segmenting an object; InputError if there is no such object."""
        for view in self._views:
            view.segmenter.remove_object(object_id)

    @exclusive
    @torch.inference_mode()
    def step(
        self,
        frame: FrameImage,
        labels: LabelMap | None = None,
        *,
        objects: Sequence[int] | None = None,
    ) -> Prediction:
        """Segment the next frame; see :meth:`Segmenter.step`."""
        self._require_equal_views()
        label_map = None if labels is None else label_array(labels)
        image = image_tensor(frame, self.device)[0]
        merged: Tensor | None = None
        first: Prediction | None = None
        qualities: list[Tensor] = []
        for view in self._views:
            prediction = view.segmenter.step(
                view.image(image), view.labels(label_map), objects=objects
            )
            # The first view is the largest; all are merged at its size.
            first = first or prediction
            probabilities = _at_size(prediction.network_probabilities, first.geometry.scaled_size)
            if view.flipped:
                probabilities = probabilities.flip(-1)
            merged = probabilities if merged is None else merged + probabilities
            if prediction.quality is not None:
                qualities.append(prediction.quality)
        assert merged is not None
        assert first is not None
        return replace(
            first,
            network_probabilities=merged / len(self._views),
            quality=torch.stack(qualities).mean(dim=0) if qualities else None,
        )

    @exclusive
    def skip(
        self,
        frame: FrameImage,
        labels: LabelMap | None = None,
        *,
        objects: Sequence[int] | None = None,
    ) -> bool:
        """Advance by a frame whose prediction is not needed; see :meth:`Segmenter.skip`."""
        self._require_equal_views()
        if labels is None and not self._views[0].segmenter.needs_next_frame:
            for view in self._views:
                view.segmenter.skip(frame)
            return False
        label_map = None if labels is None else label_array(labels)
        image = image_tensor(frame, self.device)[0]
        for view in self._views:
            view.segmenter.skip(view.image(image), view.labels(label_map), objects=objects)
        return True

    def _require_equal_views(self) -> None:
        """Raise InputError after a step that failed in some of the views and not in others."""
        if len({view.segmenter.frame_count for view in self._views}) > 1:
            raise InputError(
                "an earlier frame failed after some of the views had segmented it; call reset()"
            )


def _at_size(maps: Tensor, size: tuple[int, int]) -> Tensor:
    if tuple(maps.shape[-2:]) == size:
        return maps
    return functional.interpolate(
        maps.unsqueeze(0), size, mode="bilinear", align_corners=False
    ).squeeze(0)

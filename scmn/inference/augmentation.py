"""Test-time augmentation: segmenters on flipped and scaled frames, merged by probability."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from scmn.data.masks import object_ids
from scmn.errors import InputError
from scmn.inference.frames import FrameImage, image_tensor
from scmn.inference.geometry import most_probable
from scmn.inference.prediction import Prediction, with_given_labels
from scmn.inference.segmenter import VideoSegmenter
from scmn.inference.streaming import StreamingSegmenter
from scmn.networks.base import MemoryNetwork


@dataclass
class _View:
    """A segmenter and the way in which it sees the frames."""

    segmenter: VideoSegmenter
    flipped: bool


class AugmentedSegmenter(StreamingSegmenter):
    """Runs a video in several views and averages their probabilities.

    Each view keeps a memory of its own, so time and memory are those of one segmenter times the
    number of views. The interface is that of :class:`VideoSegmenter`.
    """

    def __init__(
        self,
        model: MemoryNetwork,
        *,
        flip: bool = True,
        scales: Sequence[float] = (1.0,),
        **settings: Any,
    ) -> None:
        """
        Args:
            model: a network.
            flip: see every scale mirrored as well.
            scales: factors on the frames' size.
            **settings: those of :class:`VideoSegmenter`.

        Raises:
            InputError: no scale, or one that is not positive.
        """
        if not scales or min(scales) <= 0:
            raise InputError(f"test-time scales must be positive numbers, not {list(scales)}")
        self._views: list[_View] = []
        for scale in sorted(scales, reverse=True):
            for flipped in [False, True] if flip else [False]:
                segmenter = VideoSegmenter(model, scale=scale, **settings)
                model = segmenter.model  # made ready once for all views
                self._views.append(_View(segmenter, flipped))

    @property
    def device(self) -> torch.device:
        """Where the network runs."""
        return self._views[0].segmenter.device

    @property
    def precision(self) -> str:
        """What the network runs at: fp32, bf16 or fp16."""
        return self._views[0].segmenter.precision

    @property
    def object_ids(self) -> tuple[int, ...]:
        """The ids of the objects that are being segmented."""
        return self._views[0].segmenter.object_ids

    def reset(self) -> None:
        """Forget everything: the next frame is the first of a new video."""
        for view in self._views:
            view.segmenter.reset()

    def remove_object(self, object_id: int) -> None:
        """Stop segmenting an object; InputError if there is no such object."""
        for view in self._views:
            view.segmenter.remove_object(object_id)

    @torch.inference_mode()
    def step(
        self,
        frame: FrameImage,
        labels: np.ndarray | None = None,
        *,
        objects: Sequence[int] | None = None,
    ) -> Prediction:
        """Segment the next frame; see :meth:`VideoSegmenter.step`."""
        image = image_tensor(frame, self._views[0].segmenter.device)[0]
        merged: Tensor | None = None
        first: Prediction | None = None
        for view in self._views:
            prediction = view.segmenter.step(
                image.flip(-1) if view.flipped else image,
                labels[:, ::-1] if view.flipped and labels is not None else labels,
                objects=objects,
            )
            # The views begin with the largest, at whose size all are merged.
            first = first or prediction
            probabilities = _at_size(prediction.network_probabilities, first.geometry.scaled_size)
            if view.flipped:
                probabilities = probabilities.flip(-1)
            merged = probabilities if merged is None else merged + probabilities
        assert merged is not None
        assert first is not None
        return self._merged(first, merged / len(self._views), labels, objects)

    def _merged(
        self,
        first: Prediction,
        probabilities: Tensor,
        labels: np.ndarray | None,
        objects: Sequence[int] | None,
    ) -> Prediction:
        ids = np.array([0, *first.object_ids], dtype=np.uint8)
        predicted = ids[most_probable(probabilities, first.geometry).cpu().numpy()]
        if labels is not None:
            given = object_ids(labels) if objects is None else objects
            predicted = with_given_labels(predicted, labels, given)
        return replace(first, labels=predicted, network_probabilities=probabilities)


def _at_size(maps: Tensor, size: tuple[int, int]) -> Tensor:
    if tuple(maps.shape[-2:]) == size:
        return maps
    return functional.interpolate(
        maps.unsqueeze(0), size, mode="bilinear", align_corners=False
    ).squeeze(0)

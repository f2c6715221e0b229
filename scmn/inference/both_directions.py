"""Merging of a forward and a backward pass over a video, object by object."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np
import torch

from scmn.data.masks import object_ids
from scmn.inference.frames import LabelMap, label_array
from scmn.inference.prediction import Prediction
from scmn.networks.aggregation import soft_aggregation


@dataclass(frozen=True)
class HeldPrediction:
    """A prediction that waits for the other pass, in half precision on the host."""

    prediction: Prediction
    confidence: Mapping[int, float]
    """By object id."""

    @staticmethod
    def of(prediction: Prediction) -> HeldPrediction:
        """Hold a prediction without its spatial prior."""
        held = Prediction(
            prediction.object_ids,
            prediction.geometry,
            prediction.network_probabilities.to("cpu", torch.float16),
            quality=None if prediction.quality is None else prediction.quality.cpu(),
            given=prediction.given,
        )
        numbers = prediction.confidence.tolist()
        return HeldPrediction(held, dict(zip(prediction.object_ids, numbers, strict=True)))

    def released(self, device: torch.device) -> Prediction:
        """Return the prediction on a device again, in single precision."""
        held = self.prediction
        return replace(
            held,
            network_probabilities=held.network_probabilities.to(device).float(),
            quality=None if held.quality is None else held.quality.to(device),
        )


def annotated_frames(labels: Mapping[int, LabelMap]) -> dict[int, list[int]]:
    """Return the frames where each object is given, in time order, by object id."""
    frames: dict[int, list[int]] = {}
    for time in sorted(labels):
        for object_id in object_ids(label_array(labels[time])):
            frames.setdefault(object_id, []).append(time)
    return frames


def meeting_frame(forward: Sequence[float], backward: Sequence[float]) -> int:
    """Return how many frames between two annotated ones the forward pass gets; the rest follow.

    Of all ways to divide them it is the one with the largest sum of confidence: if one pass gets
    less sure with every frame and the other one more, they meet where both are equally sure.

    Args:
        forward: confidence of an object on each of the frames.
        backward: the same of the other pass.
    """
    gain = np.cumsum(np.subtract(forward, backward))
    return int(np.argmax(np.concatenate([[0.0], gain])))


def forward_frames(
    object_id: int,
    annotated: Sequence[int],
    forward: Mapping[int, HeldPrediction],
    backward: Mapping[int, HeldPrediction],
) -> set[int]:
    """Return the frames on which an object takes the mask of the forward pass.

    Args:
        object_id: the user's id.
        annotated: the frames where the object is given, in time order.
        forward: the predictions of the forward pass by frame, up to the video's last label map.
        backward: those of the backward pass.
    """
    chosen = set(range(annotated[-1], len(forward)))
    for start, end in pairwise(annotated):
        between = range(start + 1, end)
        kept = meeting_frame(
            [forward[time].confidence[object_id] for time in between],
            [backward[time].confidence[object_id] for time in between],
        )
        chosen.update(range(start, start + 1 + kept))
    return chosen


def merged(
    forward: Prediction, backward: Prediction, from_forward: Mapping[int, bool]
) -> Prediction:
    """Merge two predictions of a frame.

    Args:
        forward: that of the forward pass.
        backward: that of the backward pass.
        from_forward: object id -> whether its mask is the forward one; all objects, in the order of
            the result.
    """
    sources = [forward if chosen else backward for chosen in from_forward.values()]
    chosen = [
        (source, source.object_ids.index(object_id))
        for object_id, source in zip(from_forward, sources, strict=True)
    ]
    masks = torch.stack([source.network_probabilities[1 + i] for source, i in chosen])
    qualities = [source.quality[i] for source, i in chosen if source.quality is not None]
    if all(source is sources[0] for source in sources):  # aggregated already
        probabilities = torch.cat([sources[0].network_probabilities[:1], masks])
    else:
        probabilities = soft_aggregation(masks.unsqueeze(0))[0][0]
    return Prediction(
        tuple(from_forward),
        forward.geometry,
        probabilities,
        quality=torch.stack(qualities) if qualities else None,
        given=forward.given,
    )

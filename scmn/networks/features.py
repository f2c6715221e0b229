"""What the calls of a network take and return: features, memory, and segmentation.

B images, N objects, T remembered frames; H, W pixels and h, w positions at stride 16.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor


@dataclass(frozen=True)
class QueryFeatures:
    """Features of the frame to segment, computed once per frame for all objects."""

    key: Tensor
    """(B, Ck, h, w)."""
    value: Tensor
    """(B, C, h, w), what is joined with every object's readout: of Cv channels, or the key again
    (SCMN with ``read_concat="key"``)."""
    stride16: Tensor
    stride8: Tensor
    stride4: Tensor


@dataclass(frozen=True)
class MemoryFrames:
    """One or more remembered frames of one or more objects."""

    key: Tensor
    """(B, N, Ck, T, h, w), or (B, 1, Ck, T, h, w) if the objects share it."""
    value: Tensor
    """(B, N, Cv, T, h, w), or Cv + 1 channels; see :meth:`weighted`."""
    times: Tensor | None = None
    """When the frames were, integers (T,) (None: they are in the order of time)."""

    def weighted(self, weights: Tensor) -> MemoryFrames:
        """Return the frames with a weight for each object and position.

        The values are multiplied by the weights, which become one more channel: the weighted mean
        of values that were read is the readout divided by its last channel.

        Args:
            weights: in [0, 1], expandable to (B, N, 1, T, h, w).
        """
        shape = list(self.value.shape)
        shape[2] = 1
        weights = weights.to(self.value.dtype).expand(shape)
        value = torch.cat([self.value * weights, weights], dim=2)
        return replace(self, value=value)

    @staticmethod
    def with_shared_key(query: QueryFeatures, value: Tensor) -> MemoryFrames:
        """Return one frame whose key is its own query key, shared by all objects.

        Args:
            query: the query features of that frame.
            value: (B, N, Cv, h, w).
        """
        return MemoryFrames(query.key[:, None, :, None], value.unsqueeze(3))

    @staticmethod
    def with_own_keys(key: Tensor, value: Tensor, *, objects: int) -> MemoryFrames:
        """Return one frame with a key for each object.

        Args:
            key: (B * N, Ck, h, w).
            value: (B * N, Cv, h, w).
            objects: N.
        """
        key, value = (x.unflatten(0, (-1, objects)).unsqueeze(3) for x in (key, value))
        return MemoryFrames(key, value)

    @staticmethod
    def join(frames: Sequence[MemoryFrames]) -> MemoryFrames:
        """Concatenate memories of the same objects, which are in the order of time."""
        return MemoryFrames(
            torch.cat([frame.key for frame in frames], dim=3),
            torch.cat([frame.value for frame in frames], dim=3),
        )

    def objects(self, chosen: slice) -> MemoryFrames:
        """Return the memory of a range of objects (views, no copies)."""
        key = self.key if self.key.shape[1] == 1 else self.key[:, chosen]
        return replace(self, key=key, value=self.value[:, chosen])

    @property
    def known_times(self) -> Tensor:
        """(T,): the times, or the frames' places if they are in the order of time."""
        if self.times is not None:
            return self.times
        return torch.arange(self.key.shape[3], device=self.key.device)

    def at(self, position: int) -> MemoryFrames:
        """Return one of the frames (T = 1; views, no copies)."""
        chosen = slice(position, position + 1)
        times = None if self.times is None else self.times[chosen]
        return MemoryFrames(self.key[:, :, :, chosen], self.value[:, :, :, chosen], times)


@dataclass(frozen=True)
class ObjectMaps:
    """The decoder's output for each object separately, before aggregation."""

    logits: Tensor
    """(B, N, 1 or 2, H, W): the object's logit, or background and object."""
    coarse_logits: Tensor | None = None
    """The logits before refinement, of the same shape (SCMN); supervised in training."""
    spatial_prior: Tensor | None = None
    """(B, N, 1, h, w) in [0, 1] (SCMN)."""

    @staticmethod
    def join(chunks: Sequence[ObjectMaps]) -> ObjectMaps:
        """Concatenate the maps of several batches of objects."""

        def joined(name: str) -> Tensor | None:
            parts = [getattr(chunk, name) for chunk in chunks]
            return None if parts[0] is None else torch.cat(parts, dim=1)

        logits = torch.cat([chunk.logits for chunk in chunks], dim=1)
        return ObjectMaps(logits, joined("coarse_logits"), joined("spatial_prior"))

    def detach(self) -> ObjectMaps:
        """Return the maps without their graph."""
        return ObjectMaps(
            self.logits.detach(), _detached(self.coarse_logits), _detached(self.spatial_prior)
        )


@dataclass(frozen=True)
class Segmentation:
    """The result of :meth:`MemoryNetwork.segment`."""

    probabilities: Tensor
    """(B, N + 1, H, W) over background and objects; they sum to 1."""
    logits: Tensor
    """(B, N + 1, H, W); the probabilities are their softmax."""
    auxiliary: ObjectMaps
    """The objects' own maps before aggregation, for losses and plots."""
    attention: Sequence[Tensor] = ()
    """For each group of objects, what ``ReadSettings.attention`` asks for."""
    quality: Tensor | None = None
    """(B, N), the estimated IoU of each object's mask; None unless ``estimates_quality``."""

    def detach(self) -> Segmentation:
        """Return the segmentation without its graph."""
        return Segmentation(
            self.probabilities.detach(),
            self.logits.detach(),
            self.auxiliary.detach(),
            [attention.detach() for attention in self.attention],
            _detached(self.quality),
        )


def _detached(tensor: Tensor | None) -> Tensor | None:
    return None if tensor is None else tensor.detach()

"""The contract that the networks share: encode a query, encode a memory, segment.

Training unrolls exactly these three calls over a clip, inference makes them over a video: there is
one forward path. Attributes state what inference must know about a network.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from scmn.networks.affinity import Similarity
from scmn.networks.aggregation import soft_aggregation
from scmn.networks.decoder import Decoder, Skips
from scmn.networks.encoders import MemoryEncoder, QueryEncoder
from scmn.networks.features import MemoryFrames, ObjectMaps, QueryFeatures, Segmentation
from scmn.networks.memory_read import ReadSettings, read_with_attention
from scmn.networks.temporal_embedding import TemporalEmbedding

SMALLEST_WEIGHT = 1e-6
"""Where all positions that are read have weight 0, the readout is 0."""
STRIDE = 16
"""Height and width of a network's input are multiples of this."""


@dataclass(frozen=True)
class ModelDescription:
    """A model's name and its network's settings: enough to rebuild it."""

    name: str
    settings: Mapping[str, Any]


class MemoryNetwork(nn.Module, ABC):
    """A space-time memory network for semi-supervised video object segmentation."""

    shared_key: bool
    """One key per frame for all objects (STCN) instead of one per object."""
    remembers_padding: ClassVar[bool]
    """Whether remembered masks keep the prediction in the padding (True) or are zero there."""
    padding_colour: ClassVar[tuple[float, float, float]]
    """RGB in [0, 1] with which frames are padded to a multiple of 16."""
    similarity: Similarity
    memory_defaults: Mapping[str, Any]
    """The published memory policy: what to remember and how to read it, by the field names of
    ``scmn.inference.memory.settings.MemorySettings``. Defined nowhere else."""

    key_dim: int
    value_dim: int
    uses_previous_masks: bool = False
    """Whether :meth:`segment` needs the previous frame's masks (SCMN)."""
    estimates_quality: bool = False
    """Whether :meth:`segment` estimates how good its masks are (SCMN with ``mask_quality``)."""
    description: ModelDescription | None = None
    """How ``build_model`` built this network; saved with its weights."""
    temporal_embedding: TemporalEmbedding | None
    """What tells a read the order of the remembered frames (None: it reads a set)."""
    query_encoder: QueryEncoder
    memory_encoder: MemoryEncoder
    decoder: Decoder

    @abstractmethod
    def encode_query(self, image: Tensor) -> QueryFeatures:
        """Encode the frame to segment.

        Args:
            image: float RGB in [0, 1], (B, 3, H, W), H and W multiples of 16.
        """

    @abstractmethod
    def encode_objects(
        self, image: Tensor, object_masks: Tensor, other_masks: Tensor, query: QueryFeatures | None
    ) -> MemoryFrames:
        """Encode a batch of a frame's objects; called by :meth:`encode_memory`.

        Args:
            image: (B, 3, H, W).
            object_masks: (B, n, H, W).
            other_masks: for each object the others' mask, (B, n, H, W); see :func:`other_masks`.
            query: this frame's query features; always given if ``shared_key``.
        """

    @abstractmethod
    def decode(
        self,
        query: QueryFeatures,
        skips: Skips,
        readout: Tensor,
        previous_masks: Tensor | None,
    ) -> ObjectMaps:
        """Decode the readouts of a batch of objects, (B, n, Cv, h, w), into their logits."""

    def estimate_quality(
        self, query: QueryFeatures, readouts: Sequence[Tensor], probabilities: Tensor
    ) -> Tensor | None:
        """Estimate the IoU of each object's mask, (B, N); None unless ``estimates_quality``.

        Args:
            query: features of the frame.
            readouts: (B, n, Cv, h, w) of each group of objects.
            probabilities: what was segmented, (B, N + 1, H, W).
        """
        return None

    def encode_memory(
        self,
        image: Tensor,
        object_masks: Tensor,
        query: QueryFeatures | None = None,
        *,
        objects_per_batch: int | None = None,
    ) -> MemoryFrames:
        """Encode a frame and its masks as memory.

        Args:
            image: float RGB in [0, 1], (B, 3, H, W), H and W multiples of 16.
            object_masks: soft masks of all objects, (B, N, H, W).
            query: this frame's query features if they are already computed.
            objects_per_batch: encode at most this many objects at a time (None: all at once).

        Returns:
            A memory of one frame (T = 1).
        """
        if query is None and self.shared_key:
            query = self.encode_query(image)
        others = other_masks(object_masks)
        chunks = [
            self.encode_objects(image, object_masks[:, chosen], others[:, chosen], query)
            for chosen in _batches(object_masks.shape[1], objects_per_batch)
        ]
        key = chunks[0].key if self.shared_key else torch.cat([c.key for c in chunks], dim=1)
        return MemoryFrames(key, torch.cat([chunk.value for chunk in chunks], dim=1))

    def read(
        self, query: QueryFeatures, memory: MemoryFrames, settings: ReadSettings | None = None
    ) -> tuple[Tensor, Tensor | None]:
        """Read the memory at every position of the query.

        Returns:
            Readout (B, N, Cv, h, w), and the attention that ``settings`` ask for; see
            :func:`~scmn.networks.memory_read.read_with_attention`.
        """
        query_key, embedding = query.key, None
        if self.temporal_embedding is not None:
            query_key = self.temporal_embedding.of_query(query_key)
            embedding = self.temporal_embedding.of_memory(memory.known_times)
        readout, attention = read_with_attention(
            query_key,
            memory.key,
            memory.value,
            similarity=self.similarity,
            settings=settings,
            key_embedding=embedding,
        )
        if readout.shape[2] > self.value_dim:
            values, weights = readout.float().split([self.value_dim, 1], dim=2)
            readout = (values / weights.clamp_min(SMALLEST_WEIGHT)).to(readout.dtype)
        return readout, attention

    def segment(
        self,
        query: QueryFeatures,
        memory: MemoryFrames | Sequence[MemoryFrames],
        previous_masks: Tensor | None = None,
        *,
        valid_objects: Tensor | None = None,
        read: ReadSettings | None = None,
        objects_per_batch: int | None = None,
    ) -> Segmentation:
        """Segment the query frame.

        Args:
            query: features of the frame to segment.
            memory: the objects' memory; a sequence if groups of objects remember different
                frames. Objects are ordered as in the groups.
            previous_masks: soft masks of the previous frame, (B, N, H, W); required if
                ``uses_previous_masks``.
            valid_objects: bool (B, N), which objects each clip of the batch has (None: all). A
                batch has as many object channels as its richest clip; the probability of the
                others' empty channels is 0 and their logit minus infinity, so that each clip gets
                the result it would get alone (STCN's training multiplies by a selector instead).
            read: how the memory is read.
            objects_per_batch: decode at most this many objects at a time (None: all at once).

        Raises:
            ValueError: the previous masks are missing.
        """
        if self.uses_previous_masks and previous_masks is None:
            raise ValueError(f"{type(self).__name__} needs the previous frame's masks")
        groups = [memory] if isinstance(memory, MemoryFrames) else memory
        skips = self.decoder.skips(query.stride8, query.stride4)
        maps: list[ObjectMaps] = []
        readouts: list[Tensor] = []
        attention: list[Tensor] = []
        first = 0
        for group in groups:
            readout, received = self.read(query, group, read)
            readouts.append(readout)
            if received is not None:
                attention.append(received)
            for chosen in _batches(readout.shape[1], objects_per_batch):
                previous = None
                if previous_masks is not None:
                    previous = previous_masks[:, first + chosen.start : first + chosen.stop]
                maps.append(self.decode(query, skips, readout[:, chosen], previous))
            first += readout.shape[1]
        joined = ObjectMaps.join(maps)
        probabilities, logits = self.aggregate(joined.logits, valid_objects)
        quality = self.estimate_quality(query, readouts, probabilities)
        return Segmentation(probabilities, logits, joined, attention, quality)

    def aggregate(
        self, object_logits: Tensor, valid_objects: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """Apply soft aggregation to the objects' own logits.

        Args:
            object_logits: (B, N, 1 or 2, H, W), from :class:`ObjectMaps`.
            valid_objects: as given to :meth:`segment`.

        Returns:
            Probabilities and logits over background and objects, both (B, N + 1, H, W), float32.
        """
        return soft_aggregation(own_probabilities(object_logits), valid_objects)


def other_masks(object_masks: Tensor) -> Tensor:
    """Return for each object the clamped sum of all other objects' masks, (B, N, H, W) (STM).

    Args:
        object_masks: soft masks of all objects, (B, N, H, W).
    """
    return (object_masks.sum(dim=1, keepdim=True) - object_masks).clamp(0, 1)


def own_probabilities(object_logits: Tensor) -> Tensor:
    """Return each object's probability independently of the others, float32 (B, N, H, W).

    Args:
        object_logits: (B, N, 1 or 2, H, W), from :class:`ObjectMaps`.
    """
    logits = object_logits.float()
    if logits.shape[2] == 1:
        return torch.sigmoid(logits).squeeze(2)
    return torch.sigmoid(logits[:, :, 1] - logits[:, :, 0])


def _batches(objects: int, objects_per_batch: int | None) -> Iterator[slice]:
    step = objects_per_batch or max(objects, 1)
    for start in range(0, objects, step):
        yield slice(start, min(start + step, objects))

"""SCMN: Spatial Constrained Memory Network.

Source: "Spatial Constrained Memory Network for Semi-supervised Video Object Segmentation", first
place of the DAVIS Challenge 2020, semi-supervised track. No code was published; docs/scmn.md goes
through the description sentence by sentence.

SCMN is STM with ResNeSt-50 encoders, another decoder and three parts between the memory read and
the masks::

    frame ──> query encoder ──> key ──> memory read <── keys, values <── memory encoder
                                 │           │                          (frame, mask, other masks)
                                 └──> [readout, query key]
                                             │
                                  segmentation head (ASPP)
                                             │ current embedding
      previous mask ──> spatial constraint ──┤ prior
                                             │ gated embedding
                    query skips ──> decoder ─┤ features, logits of each object
                                             │                └──> soft aggregation (1)
                                        refinement ──> logits ──> soft aggregation (2)

(2) is the prediction; training supervises (1) as well. Everything is a switch whose default is as
described: with all of them at STM's setting and ResNet-50 trunks, SCMN is STM, weight for weight.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Literal

import torch
from pydantic import PositiveInt
from torch import Tensor, nn
from torch.nn import functional

from scmn.networks.affinity import Similarity
from scmn.networks.base import STRIDE, MemoryNetwork
from scmn.networks.decoder import Decoder, Skips, join_query
from scmn.networks.encoders import (
    KeyValueProjection,
    MemoryEncoder,
    QueryEncoder,
    value_projection,
)
from scmn.networks.features import MemoryFrames, ObjectMaps, QueryFeatures
from scmn.networks.initialization import keep_variance
from scmn.networks.mask_quality import MaskQuality
from scmn.networks.refinement import Refinement
from scmn.networks.segmentation_head import SegmentationHead
from scmn.networks.spatial_constraint import ConstraintEmbedding, SpatialConstraint
from scmn.networks.stm import LOGITS, STM
from scmn.networks.temporal_embedding import TemporalEmbedding


class SCMN(MemoryNetwork):
    """STM + ASPP segmentation head + spatial constraint + refinement."""

    remembers_padding: ClassVar[bool] = STM.remembers_padding
    padding_colour: ClassVar[tuple[float, float, float]] = STM.padding_colour
    memory_defaults: Mapping[str, Any] = STM.memory_defaults

    def __init__(
        self,
        backbone: str = "resnest50",
        *,
        key_dim: PositiveInt = 128,
        value_dim: PositiveInt = 512,
        hidden_dim: PositiveInt = 256,
        decoder_dim: PositiveInt | None = None,
        refinement_dim: PositiveInt = 64,
        head: bool = True,
        spatial_constraint: bool = True,
        refinement: bool = True,
        read_concat: Literal["key", "value"] = "key",
        decoder: Literal["basnet", "stm"] = "basnet",
        refinement_input: Literal["features", "logits"] = "features",
        constraint_embedding: ConstraintEmbedding = "raw",
        other_masks: bool = True,
        memory_key: Literal["object", "frame"] = "object",
        similarity: Similarity = "dot",
        temporal_embedding: bool = False,
        mask_quality: bool = False,
    ) -> None:
        """
        Args:
            backbone: trunk of both encoders, a name of ``backbones.BACKBONES``.
            key_dim: channels of keys.
            value_dim: channels of values.
            hidden_dim: width of the current embedding, and of the decoder at stride 16.
            decoder_dim: width of the decoder at strides 8 and 4 (None: ``hidden_dim``).
            refinement_dim: width of the refinement.
            head: use the ASPP segmentation head instead of STM's single convolution.
            spatial_constraint: gate the embedding by the previous mask.
            refinement: refine the logits at full resolution.
            read_concat: the query map that is concatenated with the readout: its key, or its
                value, as in STM.
            decoder: stages that concatenate the query's skips ("basnet") or add them ("stm").
            refinement_input: the decoder's last feature map together with its logits, or the
                logits alone.
            constraint_embedding: whether the spatial constraint sees the embedding, but for a
                constant factor, or its direction
                (:class:`~scmn.networks.spatial_constraint.SpatialConstraint`).
            other_masks: the memory encoder also sees the mask of all other objects, as in STM.
            memory_key: "object": the memory encoder computes a key for each object, as in STM.
                "frame": the frame's own query key, shared by all objects, as in STCN. With
                "object" the two encoders must first learn to agree on keys, which ImageNet weights
                give them; from random weights "frame" trains several times faster.
            similarity: similarity of keys, "dot" (STM) or "l2" (STCN).
            temporal_embedding: tell the memory read the order of the remembered frames.
            mask_quality: estimate the IoU of each mask, as in QDMN. The masks stay as they are.
        """
        super().__init__()
        self.key_dim = key_dim
        self.value_dim = value_dim
        self.temporal_embedding = TemporalEmbedding(key_dim) if temporal_embedding else None
        self.similarity = similarity
        self.shared_key = memory_key == "frame"
        self.uses_previous_masks = spatial_constraint
        self.memory_encoder = MemoryEncoder(backbone, other_masks=other_masks)
        self.query_encoder = QueryEncoder(backbone)
        # Both encoders start with the same weights, as in STM.
        self.memory_encoder.trunk.load_state_dict(self.query_encoder.trunk.state_dict())
        stride4, stride8, stride16 = self.query_encoder.channels
        query_value_dim = value_dim if read_concat == "value" else None
        self.query_projection = KeyValueProjection(stride16, key_dim, query_value_dim)
        self.memory_projection: nn.Module
        if self.shared_key:
            self.memory_projection = value_projection(stride16, value_dim)
        else:
            self.memory_projection = KeyValueProjection(stride16, key_dim, value_dim)
            self.memory_projection.key.load_state_dict(self.query_projection.key.state_dict())
        joined_dim = value_dim + (query_value_dim or key_dim)
        self.head: nn.Module
        if head:
            self.head = SegmentationHead(joined_dim, hidden_dim)
        else:
            self.head = nn.Conv2d(joined_dim, hidden_dim, kernel_size=3, padding=1)
            keep_variance(self.head)
        decoder_dim = hidden_dim if decoder_dim is None else decoder_dim
        self.decoder = Decoder(
            hidden_dim,
            (hidden_dim, decoder_dim, decoder_dim),
            (stride8, stride4),
            kind=decoder,
            logits=LOGITS,
        )
        self.spatial_constraint: SpatialConstraint | None = None
        if spatial_constraint:
            self.spatial_constraint = SpatialConstraint(hidden_dim, embedding=constraint_embedding)
        self.refinement: Refinement | None = None
        if refinement:
            features = decoder_dim if refinement_input == "features" else None
            self.refinement = Refinement(refinement_dim, logits=LOGITS, features=features)
        # Last, so that the initial weights of all other parts do not depend on it.
        self.estimates_quality = mask_quality
        self.mask_quality: MaskQuality | None = None
        if mask_quality:
            self.mask_quality = MaskQuality(stride4, query_value_dim or key_dim, value_dim)

    def encode_query(self, image: Tensor) -> QueryFeatures:
        features = self.query_encoder(image)
        key, value = self.query_projection(features.stride16)
        return QueryFeatures(key, value, features.stride16, features.stride8, features.stride4)

    def encode_objects(
        self, image: Tensor, object_masks: Tensor, other_masks: Tensor, query: QueryFeatures | None
    ) -> MemoryFrames:
        features = self.memory_encoder(image, object_masks, other_masks)
        if not self.shared_key:
            key, value = self.memory_projection(features)
            return MemoryFrames.with_own_keys(key, value, objects=object_masks.shape[1])
        if query is None:
            raise ValueError("a shared key needs the query features of the same frame")
        value = self.memory_projection(features)
        return MemoryFrames.with_shared_key(query, value.unflatten(0, object_masks.shape[:2]))

    def decode(
        self,
        query: QueryFeatures,
        skips: Skips,
        readout: Tensor,
        previous_masks: Tensor | None,
    ) -> ObjectMaps:
        embedding = self.head(join_query(readout, query.value))
        prior = None
        if self.spatial_constraint is not None and previous_masks is not None:
            previous = functional.avg_pool2d(previous_masks.flatten(0, 1).unsqueeze(1), STRIDE)
            embedding, prior = self.spatial_constraint(embedding, previous)
        coarse, features = self.decoder(embedding, skips)
        refined = coarse if self.refinement is None else self.refinement(coarse, features)
        shape = readout.shape[:2]
        return ObjectMaps(
            refined.unflatten(0, shape),
            coarse_logits=None if self.refinement is None else coarse.unflatten(0, shape),
            spatial_prior=None if prior is None else prior.unflatten(0, shape),
        )

    def estimate_quality(
        self, query: QueryFeatures, readouts: Sequence[Tensor], probabilities: Tensor
    ) -> Tensor | None:
        if self.mask_quality is None:
            return None
        readout = torch.cat(list(readouts), dim=1)
        quality: Tensor = self.mask_quality(query.stride4, query.value, readout, probabilities)
        return quality

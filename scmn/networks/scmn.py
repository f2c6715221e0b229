"""SCMN: Spatial Constrained Memory Network.

Source: "Spatial Constrained Memory Network for Semi-supervised Video Object Segmentation", first
place of the DAVIS Challenge 2020, semi-supervised track. No code was published.

SCMN is STM with ResNeSt-50 encoders and three parts between the memory read and the masks::

    frame ──> query encoder ──> key ──> memory read <── keys, values <── memory encoder
                    │ value                  │                          (frame, mask, other masks)
                    └───────> [readout, query value]
                                             │
                                  segmentation head (ASPP)
                                             │ current embedding
      previous mask ──> spatial constraint ──┤ prior
                                             │ gated embedding
                    query skips ──> decoder ─┤ logits of each object ──> soft aggregation (1)
                                             │
                                        refinement ──> logits ──> soft aggregation (2)

(2) is the prediction; training supervises (1) too. Each part is a switch: with the three off and
ResNet-50 trunks, SCMN is STM, weight for weight.
"""

from __future__ import annotations

from typing import Literal

from torch import Tensor, nn
from torch.nn import functional

from scmn.networks.base import STRIDE, MemoryFrames, ObjectMaps, QueryFeatures
from scmn.networks.decoder import Skips
from scmn.networks.encoders import value_projection
from scmn.networks.memory_read import Similarity
from scmn.networks.refinement import Refinement
from scmn.networks.segmentation_head import SegmentationHead
from scmn.networks.spatial_constraint import SpatialConstraint
from scmn.networks.stm import LOGITS, STM


class SCMN(STM):
    """STM + ASPP segmentation head + spatial constraint + refinement."""

    def __init__(
        self,
        backbone: str = "resnest50",
        *,
        key_dim: int = 128,
        value_dim: int = 512,
        hidden_dim: int = 256,
        decoder_dim: int | None = None,
        refinement_dim: int = 64,
        head: bool = True,
        spatial_constraint: bool = True,
        refinement: bool = True,
        read_concat: Literal["value", "key"] = "value",
        memory_key: Literal["object", "frame"] = "object",
        similarity: Similarity = "dot",
    ) -> None:
        """
        Args:
            backbone: trunk of both encoders, a name of ``backbones.BACKBONES``.
            key_dim: channels of keys.
            value_dim: channels of values.
            hidden_dim: width of the current embedding, and of the decoder at stride 16.
            decoder_dim: width of the decoder at strides 8 and 4: ``hidden_dim`` if None.
            refinement_dim: width of the refinement.
            head: ASPP segmentation head instead of STM's single convolution.
            spatial_constraint: gate the embedding by the previous mask.
            refinement: refine the logits at full resolution.
            read_concat: what of the query is joined with the readout. STM's paper and code say
                its value; one description of SCMN says its key.
            memory_key: "object": keys of remembered frames come from the memory encoder, for each
                object, as in STM. "frame": they are the frame's own query key, shared by all
                objects, as in STCN. Two encoders must first agree on keys, which ImageNet weights
                do for them; from random weights "frame" learns several times faster.
            similarity: of keys: "dot" (STM) or "l2" (STCN).
        """
        for name, value, known in (
            ("read_concat", read_concat, ("value", "key")),
            ("memory_key", memory_key, ("object", "frame")),
            ("similarity", similarity, ("dot", "l2")),
        ):
            if value not in known:
                raise ValueError(f"{name} is {' or '.join(map(repr, known))}, not '{value}'")
        super().__init__(
            backbone,
            key_dim=key_dim,
            value_dim=value_dim,
            hidden_dim=hidden_dim,
            decoder_dim=decoder_dim,
        )
        self.similarity = similarity
        self.shared_key = memory_key == "frame"
        if self.shared_key:
            self.memory_projection = value_projection(self.memory_encoder.channels[2], value_dim)
        self.read_concat = read_concat
        joined_dim = value_dim + (value_dim if read_concat == "value" else key_dim)
        if head:
            self.head = SegmentationHead(joined_dim, hidden_dim)
        elif read_concat == "key":
            self.head = nn.Conv2d(joined_dim, hidden_dim, kernel_size=3, padding=1)
        self.spatial_constraint = SpatialConstraint(hidden_dim) if spatial_constraint else None
        self.refinement = Refinement(refinement_dim, logits=LOGITS) if refinement else None
        self.uses_previous_masks = spatial_constraint

    @property
    def floats_per_pixel(self) -> float:
        refinement = 0 if self.refinement is None else self.refinement.floats_per_pixel
        return super().floats_per_pixel + refinement

    def encode_objects(
        self, image: Tensor, object_masks: Tensor, other_masks: Tensor, query: QueryFeatures | None
    ) -> MemoryFrames:
        if not self.shared_key:
            return super().encode_objects(image, object_masks, other_masks, query)
        if query is None:
            raise ValueError("a shared key is that of the same frame's query features")
        value = self.memory_projection(self.memory_encoder(image, object_masks, other_masks))
        return MemoryFrames.with_shared_key(query, value.unflatten(0, object_masks.shape[:2]))

    def query_map(self, query: QueryFeatures) -> Tensor:
        return query.value if self.read_concat == "value" else query.key

    def decode(
        self,
        query: QueryFeatures,
        skips: Skips,
        readout: Tensor,
        previous_masks: Tensor | None,
    ) -> ObjectMaps:
        shape = readout.shape[:2]
        embedding = self.embed(query, readout)
        prior = None
        if self.spatial_constraint is not None and previous_masks is not None:
            previous = functional.avg_pool2d(previous_masks.flatten(0, 1).unsqueeze(1), STRIDE)
            embedding, prior = self.spatial_constraint(embedding, previous)
        coarse = self.decoder(embedding, skips)
        refined = coarse if self.refinement is None else self.refinement(coarse)
        return ObjectMaps(
            refined.unflatten(0, shape),
            coarse_logits=None if self.refinement is None else coarse.unflatten(0, shape),
            spatial_prior=None if prior is None else prior.unflatten(0, shape),
        )

"""STM: Space-Time Memory Networks.

Source: Oh, Lee, Xu, Kim, "Video Object Segmentation using Space-Time Memory Networks", ICCV 2019
(arXiv 1904.00607). Computes what the published code computes, and loads its weights. The only
change: the image's part of the memory stem and the decoder's skip path are computed once for all
objects.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from pydantic import PositiveInt
from torch import Tensor, nn

from scmn.networks.affinity import Similarity
from scmn.networks.base import MemoryNetwork
from scmn.networks.decoder import Decoder, Skips, join_query
from scmn.networks.encoders import KeyValueProjection, MemoryEncoder, QueryEncoder
from scmn.networks.features import MemoryFrames, ObjectMaps, QueryFeatures
from scmn.networks.initialization import keep_variance
from scmn.networks.temporal_embedding import TemporalEmbedding

LOGITS = 2
"""Outputs of the decoder for each object: background and object."""


class STM(MemoryNetwork):
    """Two encoders, a key and a value for each object, dot-product read, decoder."""

    shared_key: bool = False
    remembers_padding: ClassVar[bool] = False
    padding_colour: ClassVar[tuple[float, float, float]] = (0.0, 0.0, 0.0)
    similarity: Similarity = "dot"
    memory_defaults: Mapping[str, Any] = {
        "every": 5,
        "keep_annotated": True,
        "keep_previous": True,
        "max_frames": None,
        "top_k": None,
    }

    def __init__(
        self,
        backbone: str = "resnet50",
        *,
        key_dim: PositiveInt = 128,
        value_dim: PositiveInt = 512,
        hidden_dim: PositiveInt = 256,
        decoder_dim: PositiveInt | None = None,
        temporal_embedding: bool = False,
    ) -> None:
        """
        Args:
            backbone: trunk of both encoders, a name of ``backbones.BACKBONES``.
            key_dim: channels of keys.
            value_dim: channels of values.
            hidden_dim: width of the embedding, and of the decoder at stride 16.
            decoder_dim: width of the decoder at strides 8 and 4, where it does most of its
                arithmetic (None: ``hidden_dim``, as published).
            temporal_embedding: tell the memory read the order of the remembered frames.
        """
        super().__init__()
        decoder_dim = hidden_dim if decoder_dim is None else decoder_dim
        self.key_dim = key_dim
        self.value_dim = value_dim
        self.temporal_embedding = TemporalEmbedding(key_dim) if temporal_embedding else None
        self.memory_encoder = MemoryEncoder(backbone)
        self.query_encoder = QueryEncoder(backbone)
        stride4, stride8, stride16 = self.query_encoder.channels
        self.query_projection = KeyValueProjection(stride16, key_dim, value_dim)
        self.memory_projection = KeyValueProjection(stride16, key_dim, value_dim)
        # Both encoders start with the same weights, as they do from ImageNet weights: an object's
        # memory key is then close to its query key from the first step.
        self.memory_encoder.trunk.load_state_dict(self.query_encoder.trunk.state_dict())
        self.memory_projection.key.load_state_dict(self.query_projection.key.state_dict())
        self.head = nn.Conv2d(2 * value_dim, hidden_dim, kernel_size=3, padding=1)
        keep_variance(self.head)
        self.decoder = Decoder(
            hidden_dim,
            (hidden_dim, decoder_dim, decoder_dim),
            (stride8, stride4),
            kind="stm",
            logits=LOGITS,
        )

    def encode_query(self, image: Tensor) -> QueryFeatures:
        features = self.query_encoder(image)
        key, value = self.query_projection(features.stride16)
        return QueryFeatures(key, value, features.stride16, features.stride8, features.stride4)

    def encode_objects(
        self, image: Tensor, object_masks: Tensor, other_masks: Tensor, query: QueryFeatures | None
    ) -> MemoryFrames:
        features = self.memory_encoder(image, object_masks, other_masks)
        key, value = self.memory_projection(features)
        return MemoryFrames.with_own_keys(key, value, objects=object_masks.shape[1])

    def decode(
        self,
        query: QueryFeatures,
        skips: Skips,
        readout: Tensor,
        previous_masks: Tensor | None,
    ) -> ObjectMaps:
        embedding = self.head(join_query(readout, query.value))
        logits = self.decoder(embedding, skips).logits
        return ObjectMaps(logits.unflatten(0, readout.shape[:2]))

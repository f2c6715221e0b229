"""STCN: Space-Time Correspondence Networks.

Source: Cheng, Tai, Tang, "Rethinking Space-Time Networks with Improved Memory Coverage for
Efficient Video Object Segmentation", NeurIPS 2021 (arXiv 2106.05210). Equal to the published code,
whose weights load; changed is only the form of the value encoder's stem, which takes image and
masks by separate convolutions (their sum is the published five-channel convolution).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

import torch
from torch import Tensor, nn

from scmn.networks.backbones import IMAGENET_MEAN
from scmn.networks.base import MemoryFrames, MemoryNetwork, ObjectMaps, QueryFeatures
from scmn.networks.decoder import Decoder, Skips
from scmn.networks.encoders import MemoryEncoder, QueryEncoder
from scmn.networks.fusion import FeatureFusion
from scmn.networks.memory_read import Similarity


class STCN(MemoryNetwork):
    """One key per frame, a light value encoder for each object, L2 similarity, decoder."""

    shared_key: bool = True
    remembers_padding: ClassVar[bool] = True
    # The published code pads after normalisation: with what the mean colour becomes.
    padding_colour: ClassVar[tuple[float, float, float]] = IMAGENET_MEAN
    similarity: Similarity = "l2"
    memory_defaults: Mapping[str, int | bool | None] = {
        "every": 5,
        "keep_annotated": True,
        "keep_previous": False,
        "max_frames": None,
        "top_k": 20,
    }

    def __init__(
        self,
        backbone: str = "resnet50",
        *,
        value_backbone: str = "resnet18",
        key_dim: int = 64,
        value_dim: int = 512,
        hidden_dim: int = 256,
    ) -> None:
        """
        Args:
            backbone: trunk of the key encoder, a name of ``backbones.BACKBONES``.
            value_backbone: trunk of the value encoder.
            key_dim: channels of keys.
            value_dim: channels of values and of the compressed query feature.
            hidden_dim: width of the decoder at strides 8 and 4; twice that at stride 16.
        """
        super().__init__()
        self.key_dim = key_dim
        self.value_dim = value_dim
        self.query_encoder = QueryEncoder(backbone)
        self.memory_encoder = MemoryEncoder(value_backbone)
        stride4, stride8, stride16 = self.query_encoder.channels
        self.fusion = FeatureFusion(self.memory_encoder.channels[2] + stride16, value_dim)
        self.key_projection = nn.Conv2d(stride16, key_dim, kernel_size=3, padding=1)
        self.key_compression = nn.Conv2d(stride16, value_dim, kernel_size=3, padding=1)
        self.decoder = Decoder(
            2 * value_dim,
            (2 * hidden_dim, hidden_dim, hidden_dim),
            (stride8, stride4),
            residual_skips=False,
            logits=1,
        )

    def encode_query(self, image: Tensor) -> QueryFeatures:
        """The query's value is STCN's compressed feature."""
        features = self.query_encoder(image)
        stride16 = features.stride16
        return QueryFeatures(
            self.key_projection(stride16),
            self.key_compression(stride16),
            stride16,
            features.stride8,
            features.stride4,
        )

    def encode_objects(
        self, image: Tensor, object_masks: Tensor, other_masks: Tensor, query: QueryFeatures | None
    ) -> MemoryFrames:
        if query is None:
            raise ValueError("STCN encodes objects with the query features of the same frame")
        features = self.memory_encoder(image, object_masks, other_masks)
        value = self.fusion(features, query.stride16)
        return MemoryFrames.with_shared_key(query, value.unflatten(0, object_masks.shape[:2]))

    def decode(
        self,
        query: QueryFeatures,
        skips: Skips,
        readout: Tensor,
        previous_masks: Tensor | None,
    ) -> ObjectMaps:
        expanded = query.value.unsqueeze(1).expand(-1, readout.shape[1], -1, -1, -1)
        logits = self.decoder(torch.cat([readout, expanded], dim=2).flatten(0, 1), skips)
        return ObjectMaps(logits.unflatten(0, readout.shape[:2]))

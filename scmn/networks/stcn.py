"""STCN: Space-Time Correspondence Networks.

Source: Cheng, Tai, Tang, "Rethinking Space-Time Networks with Improved Memory Coverage for
Efficient Video Object Segmentation", NeurIPS 2021 (arXiv 2106.05210). Computes what the published
code computes, and loads its weights. The only change is the form of the value encoder's stem:
separate convolutions of image and masks, whose sum is the published five-channel convolution.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import torch
from pydantic import PositiveInt
from torch import Tensor, nn

from scmn.networks.affinity import Similarity
from scmn.networks.backbones import IMAGENET_MEAN
from scmn.networks.base import MemoryNetwork
from scmn.networks.decoder import Decoder, ResidualBlock, Skips, join_query
from scmn.networks.encoders import MemoryEncoder, QueryEncoder
from scmn.networks.features import MemoryFrames, ObjectMaps, QueryFeatures
from scmn.networks.initialization import spread_keys
from scmn.networks.temporal_embedding import TemporalEmbedding

REDUCTION = 16
"""CBAM's reduction of channels in the channel gate."""


class STCN(MemoryNetwork):
    """One key per frame, a light value encoder for each object, L2 similarity, decoder."""

    shared_key: bool = True
    remembers_padding: ClassVar[bool] = True
    # The published code pads with zeros after normalisation, which is the mean colour before it.
    padding_colour: ClassVar[tuple[float, float, float]] = IMAGENET_MEAN
    similarity: Similarity = "l2"
    memory_defaults: Mapping[str, Any] = {
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
        key_dim: PositiveInt = 64,
        value_dim: PositiveInt = 512,
        hidden_dim: PositiveInt = 256,
        temporal_embedding: bool = False,
    ) -> None:
        """
        Args:
            backbone: trunk of the key encoder, a name of ``backbones.BACKBONES``.
            value_backbone: trunk of the value encoder.
            key_dim: channels of keys.
            value_dim: channels of values and of the compressed query feature.
            hidden_dim: width of the decoder at strides 8 and 4; twice that at stride 16.
            temporal_embedding: tell the memory read the order of the remembered frames.
        """
        super().__init__()
        self.key_dim = key_dim
        self.value_dim = value_dim
        self.temporal_embedding = TemporalEmbedding(key_dim) if temporal_embedding else None
        self.query_encoder = QueryEncoder(backbone)
        self.memory_encoder = MemoryEncoder(value_backbone)
        for stem in self.memory_encoder.mask_stems:
            nn.init.orthogonal_(stem.weight)
        stride4, stride8, stride16 = self.query_encoder.channels
        self.fusion = FeatureFusion(self.memory_encoder.channels[2] + stride16, value_dim)
        self.key_projection = nn.Conv2d(stride16, key_dim, kernel_size=3, padding=1)
        spread_keys(self.key_projection, gain=1.0)
        self.key_compression = nn.Conv2d(stride16, value_dim, kernel_size=3, padding=1)
        self.decoder = Decoder(
            2 * value_dim,
            (2 * hidden_dim, hidden_dim, hidden_dim),
            (stride8, stride4),
            kind="stcn",
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
            raise ValueError("STCN encodes objects with the query features of their frame")
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
        logits = self.decoder(join_query(readout, query.value), skips).logits
        return ObjectMaps(logits.unflatten(0, readout.shape[:2]))


class FeatureFusion(nn.Module):
    """Fuse an object's features with the image's: residual blocks around CBAM attention.

    Sources: STCN, 3.2; CBAM (Woo et al., ECCV 2018, 3).
    """

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__()
        self.block1 = ResidualBlock(in_channels, out_channels)
        self.channel_gate = ChannelGate(out_channels)
        self.spatial_gate = SpatialGate()
        self.block2 = ResidualBlock(out_channels, out_channels)

    def forward(self, object_features: Tensor, image_features: Tensor) -> Tensor:
        """(B * N, C1, h, w) and (B, C2, h, w) -> (B * N, out_channels, h, w)."""
        objects = object_features.shape[0] // image_features.shape[0]
        image_features = image_features.repeat_interleave(objects, dim=0)
        x = self.block1(torch.cat([object_features, image_features], dim=1))
        return self.block2(x + self.spatial_gate(self.channel_gate(x)))


class ChannelGate(nn.Module):
    """Weight channels by one MLP of their average and their maximum."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.mlp = nn.Sequential(
            nn.Linear(channels, channels // REDUCTION),
            nn.ReLU(),
            nn.Linear(channels // REDUCTION, channels),
        )

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, h, w) -> the same shape."""
        weights = self.mlp(x.mean(dim=(2, 3))) + self.mlp(x.amax(dim=(2, 3)))
        return x * torch.sigmoid(weights)[:, :, None, None]


class SpatialGate(nn.Module):
    """Weight positions by a 7x7 convolution of the channels' maximum and average."""

    def __init__(self) -> None:
        super().__init__()
        self.convolution = nn.Conv2d(2, 1, kernel_size=7, padding=3)

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, h, w) -> the same shape."""
        pooled = torch.cat([x.amax(dim=1, keepdim=True), x.mean(dim=1, keepdim=True)], dim=1)
        return x * torch.sigmoid(self.convolution(pooled))

"""Inference as in the published code of STM and STCN, with this package's weights.

It deliberately keeps what is slow there, as the baseline: float32 in the default memory layout; the
image stem and (STM) the skip path computed for every object; memory that grows by concatenation, in
STM always for 11 objects; one dense affinity; top-k by scattering into a dense matrix; in STCN the
images and probabilities of the whole video beside the memory. SCMN has no published code and is run
as STM's engine with SCMN's own parts.

Sources: the published inference code of STM (Oh et al., ICCV 2019) and STCN (Cheng et al., NeurIPS
2021), reimplemented from their behaviour.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from scmn.data.masks import to_one_hot
from scmn.inference.frames import image_tensor
from scmn.inference.geometry import FrameGeometry
from scmn.networks.aggregation import EPSILON
from scmn.networks.base import MemoryNetwork
from scmn.networks.decoder import Skips
from scmn.networks.features import QueryFeatures
from scmn.networks.stcn import STCN

STM_SLOTS = 11
"""Objects, including the background, for which the published STM reserves memory."""

STCN_EVERY = 5
"""The published STCN remembers every n-th frame."""


class ReferenceEngine:
    """Remembers the given frames and segments one frame after another."""

    def __init__(self, network: MemoryNetwork) -> None:
        self.network = network.eval()
        self.top_k = network.memory_defaults["top_k"]
        self.keep_previous = network.memory_defaults["keep_previous"]
        self._keys: Tensor | None = None
        self._values: Tensor | None = None
        self._previous: tuple[Tensor, Tensor] | None = None
        self._video: list[Tensor] = []
        self._device = next(network.parameters()).device
        self._colour = torch.tensor(network.padding_colour, device=self._device).view(3, 1, 1)

    @torch.no_grad()
    def give(self, frame: np.ndarray, labels: np.ndarray, objects: Sequence[int]) -> None:
        """Remember a frame (H, W, 3) permanently, with the given objects of a label map (H, W).

        It represents the frames of a video up to the next remembered one.
        """
        image, geometry = self._image(frame)
        masks = torch.from_numpy(to_one_hot(labels, tuple(objects))).float()
        masks = geometry.network_masks(masks.unsqueeze(0).to(self._device))
        self._keys, self._values = self._with(self._encode(image, masks))
        self._previous = None
        self._last_masks = masks
        with_background = functional.pad(masks, (0, 0, 0, 0, 1, 0))
        self._hold(image, with_background, frames=STCN_EVERY)

    @torch.no_grad()
    def step(self, frame: np.ndarray) -> np.ndarray:
        """Segment the next frame; labels (H, W) of 0 and the objects' positions from 1 on."""
        image, geometry = self._image(frame)
        if self.keep_previous and self._previous is not None:
            keys, values = self._with(self._encode(*self._previous))
        else:
            assert self._keys is not None
            assert self._values is not None
            keys, values = self._keys, self._values
        probabilities = self._segment(image, keys, values)
        masks = probabilities[:, 1:]
        if not self.network.remembers_padding:
            masks = geometry.without_padding(masks)
        self._previous = (image, masks)
        self._last_masks = masks
        self._hold(image, probabilities, frames=1)
        labels = geometry.crop(probabilities[0]).argmax(dim=0)
        return labels.to(torch.uint8).cpu().numpy()

    def _image(self, frame: np.ndarray) -> tuple[Tensor, FrameGeometry]:
        image = image_tensor(frame, self._device)
        geometry = FrameGeometry.of_frame(*image.shape[-2:], shorter_side=None)
        return geometry.network_image(image, self._colour).contiguous(), geometry

    def _hold(self, image: Tensor, probabilities: Tensor, *, frames: int) -> None:
        """Allocate the frames of the video, which STCN holds at once (STM: in host memory)."""
        if isinstance(self.network, STCN):
            self._video.append(torch.cat([image, probabilities], dim=1).repeat(frames, 1, 1, 1))

    def _encode(self, image: Tensor, masks: Tensor) -> tuple[Tensor, Tensor]:
        """Encode the image once per object: keys and values (N, C, 1, h, w)."""
        objects = masks.shape[1]
        others = (masks.sum(dim=1, keepdim=True) - masks).clamp(0, 1)
        query = self.network.encode_query(image) if self.network.shared_key else None
        if query is not None:
            encoded = [
                self.network.encode_objects(image, masks[:, n : n + 1], others[:, n : n + 1], query)
                for n in range(objects)
            ]
            return query.key.unsqueeze(2), torch.cat([frame.value[0] for frame in encoded])
        frame = self.network.encode_objects(
            image.expand(objects, -1, -1, -1), masks[0].unsqueeze(1), others[0].unsqueeze(1), None
        )
        keys, values = frame.key[:, 0], frame.value[:, 0]
        empty = STM_SLOTS - 1 - objects
        if empty < 0:
            raise ValueError(f"the published STM takes up to {STM_SLOTS - 1} objects")
        # Slot 0 is the background.
        pads = (0, 0) * 4 + (1, empty)
        return functional.pad(keys, pads), functional.pad(values, pads)

    def _with(self, frame: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
        keys, values = frame
        if self._keys is None or self._values is None:
            return keys, values
        return torch.cat([self._keys, keys], dim=2), torch.cat([self._values, values], dim=2)

    def _segment(self, image: Tensor, keys: Tensor, values: Tensor) -> Tensor:
        objects = self._last_masks.shape[1]
        query = self.network.encode_query(image)
        if self.network.shared_key:
            readout = self._read(query.key, keys, values[:objects])
        else:
            chosen = slice(1, objects + 1)
            readout = self._read(
                query.key.expand(objects, -1, -1, -1), keys[chosen], values[chosen]
            )
        skips = self._skips(query, objects)
        previous = self._last_masks if self.network.uses_previous_masks else None
        logits = self.network.decode(query, skips, readout.unsqueeze(0), previous).logits
        if logits.shape[2] == 1:
            own = torch.sigmoid(logits[:, :, 0])
        else:
            own = torch.softmax(logits, dim=2)[:, :, 1]
        background = torch.prod(1 - own, dim=1, keepdim=True)
        everything = torch.cat([background, own], dim=1).clamp(EPSILON, 1 - EPSILON)
        return torch.softmax(torch.log(everything / (1 - everything)), dim=1)

    def _skips(self, query: QueryFeatures, objects: int) -> Skips:
        """STCN shares the skips between objects; STM computes them for each."""
        stride8, stride4 = query.stride8, query.stride4
        if self.network.shared_key:
            return self.network.decoder.skips(stride8, stride4)
        return self.network.decoder.skips(
            stride8.repeat(objects, 1, 1, 1), stride4.repeat(objects, 1, 1, 1)
        )

    def _read(self, query: Tensor, keys: Tensor, values: Tensor) -> Tensor:
        """One affinity over all positions: (G, P, Q); readout (N, Cv, h, w)."""
        keys, values = keys.flatten(2), values.flatten(2)
        affinity = keys.transpose(1, 2) @ query.flatten(2)
        if self.network.similarity == "l2":
            affinity = 2 * affinity - keys.square().sum(dim=1).unsqueeze(2)
        affinity = affinity / math.sqrt(keys.shape[1])
        if self.top_k is None:
            weights = torch.softmax(affinity, dim=1)
        else:
            best, positions = torch.topk(affinity, min(self.top_k, affinity.shape[1]), dim=1)
            best = torch.softmax(best, dim=1)
            weights = affinity.zero_().scatter_(1, positions, best)
        return (values @ weights).unflatten(2, query.shape[-2:])

"""VideoSegmenter: one frame in, one prediction out; nothing but the memory is kept."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from scmn.data.masks import MAX_OBJECT_ID, VOID, object_ids, to_one_hot
from scmn.errors import InputError
from scmn.inference.devices import autocast, reduced_dtype, resolve_device
from scmn.inference.frames import FrameImage, image_tensor
from scmn.inference.geometry import FrameGeometry, most_probable
from scmn.inference.memory.settings import MemorySettings
from scmn.inference.memory_bank import MemoryBank, complete_settings
from scmn.inference.object_chunks import objects_at_once
from scmn.inference.prediction import Prediction, with_given_labels
from scmn.inference.prepared import prepare
from scmn.inference.streaming import StreamingSegmenter
from scmn.networks.aggregation import soft_aggregation
from scmn.networks.base import MemoryNetwork, QueryFeatures, Segmentation
from scmn.networks.memory_read import ReadSettings


class VideoSegmenter(StreamingSegmenter):
    """Segments a video frame by frame from the masks that it is given.

    Objects may be given on any frame, again or for the first time, and removed at any time. Object
    ids are the user's, 1..254, and need not be consecutive.

    Example::

        segmenter = VideoSegmenter(build_model("stcn", weights="stcn.pth"), device="cuda")
        for prediction in segmenter.run(frames, first_labels):
            prediction.labels  # uint8 (H, W)
    """

    def __init__(
        self,
        model: MemoryNetwork,
        *,
        memory: MemorySettings | Mapping[str, Any] | None = None,
        size: int | None = None,
        scale: float = 1.0,
        device: str | torch.device | None = None,
        precision: str = "fp32",
        compile: bool = False,
        objects_per_batch: int | None = None,
        max_objects: int = MAX_OBJECT_ID,
        block_bytes: int | None = None,
    ) -> None:
        """
        Args:
            model: a network. It stays as it is: a copy is made ready for the device, and does not
                see what the network learns later.
            memory: what is remembered: a mapping of the settings that differ from the network's
                published policy, or complete settings that replace it.
            size: scale frames down to this shorter side (None: keep their size).
            scale: further factor on the frames' size (for multi-scale testing).
            device: "cpu", "cuda", ... or "auto" (None: where the model is).
            precision: "fp32", or "bf16" or "fp16" by automatic mixed precision.
            compile: compile encoders and decoder, on a GPU into CUDA graphs: pays for many frames
                of one size.
            objects_per_batch: decode at most so many at a time (None: what suits the device).
            max_objects: refuse more objects than this.
            block_bytes: largest affinity matrix that a memory read holds, in bytes (None: what
                suits the device).

        Raises:
            InputError: a setting or the device does not exist.
        """
        self.device = next(model.parameters()).device if device is None else resolve_device(device)
        self.precision = precision
        self._dtype = reduced_dtype(self.device, precision)
        _check_sizes(size=size, objects_per_batch=objects_per_batch, scale=scale)
        self.model = prepare(model, self.device, self._dtype, compiled=compile)
        self._compiled = compile
        self.memory_settings = complete_settings(model, memory)
        self.size = size
        self.scale = scale
        self.objects_per_batch = objects_per_batch
        self.max_objects = max_objects
        self._read = ReadSettings(top_k=self.memory_settings.top_k, block_bytes=block_bytes)
        self._colour = torch.tensor(model.padding_colour, device=self.device).view(3, 1, 1)
        self.reset()

    def reset(self) -> None:
        """Forget everything: the next frame is the first of a new video."""
        self.bank = MemoryBank(self.memory_settings)
        self._time = 0
        self._geometry: FrameGeometry | None = None
        self._previous_masks: Tensor | None = None

    @property
    def object_ids(self) -> tuple[int, ...]:
        """The ids of the objects that are being segmented."""
        return self.bank.object_ids

    @torch.inference_mode()
    def step(
        self,
        frame: FrameImage,
        labels: np.ndarray | None = None,
        *,
        objects: Sequence[int] | None = None,
    ) -> Prediction:
        """Segment the next frame.

        Args:
            frame: uint8 (H, W, 3) RGB array, PIL image, or float tensor (3, H, W) in [0, 1].
            labels: label map (H, W) of objects that are given on this frame. Objects that are
                already there take the given mask, new ones are added; other objects are segmented
                as ever, outside the given masks.
            objects: the ids that ``labels`` speaks for (None: those that it holds). One that is
                listed and has no pixel is thereby said to be hidden.

        Raises:
            InputError: a frame or a label map of a wrong type or size, or a label map without
                object.
        """
        if self._compiled:
            torch.compiler.cudagraph_mark_step_begin()  # nothing of the frame before is used again
        image, geometry = self._prepare(frame)
        given = None if labels is None else self._given_masks(labels, objects, geometry)
        together = self.objects_per_batch or objects_at_once(
            self.model, geometry.network_size, self.device, self._dtype
        )
        tracked = self.bank.object_ids
        segmented = [] if given is None else [i for i in tracked if i not in given]
        with autocast(self.device, self.precision):
            query: QueryFeatures | None = None
            segmentation: Segmentation | None = None
            if tracked and (given is None or segmented):
                query = self.model.encode_query(image)
                segmentation = self.model.segment(
                    query,
                    self.bank.memory(),
                    self._previous_masks,
                    read=self._read,
                    objects_per_batch=together,
                )
        # Nothing below fails on the user's input.
        self._geometry = geometry
        probabilities = self._with_given(segmentation, given, image)
        masks = probabilities[:, 1:]
        if not self.model.remembers_padding:
            masks = geometry.without_padding(masks)
        try:
            self._remember(image, masks, query, together, annotated=given is not None)
        except torch.OutOfMemoryError:
            self.bank.drop_objects_without_memory()
            raise
        prediction = self._prediction(probabilities, segmentation, geometry, given, labels)
        self._time += 1
        return prediction

    def remove_object(self, object_id: int) -> None:
        """Stop segmenting an object and forget it.

        Raises:
            InputError: there is no such object.
        """
        if object_id not in self.object_ids:
            raise InputError(f"no object {object_id} to remove; there are {list(self.object_ids)}")
        position = self.object_ids.index(object_id)
        self.bank.remove_object(object_id)
        if self._previous_masks is not None:
            kept = [i for i in range(self._previous_masks.shape[1]) if i != position]
            self._previous_masks = self._previous_masks[:, kept]

    def _prepare(self, frame: FrameImage) -> tuple[Tensor, FrameGeometry]:
        """Return the image at the network's size (1, 3, H, W) and the video's geometry."""
        image = image_tensor(frame, self.device)
        height, width = image.shape[-2:]
        geometry = self._geometry or FrameGeometry.of_frame(
            height, width, shorter_side=self.size, scale=self.scale
        )
        if geometry.frame_size != (height, width):
            raise InputError(
                f"frame {self._time} is {height}x{width}, but the video's frames before are "
                f"{geometry.frame_size[0]}x{geometry.frame_size[1]}"
            )
        image = geometry.network_image(image, self._colour)
        return image.contiguous(memory_format=torch.channels_last), geometry

    def _given_masks(
        self, labels: np.ndarray, objects: Sequence[int] | None, geometry: FrameGeometry
    ) -> dict[int, Tensor]:
        """Return the given objects' masks (H, W) at the network's size by id."""
        labels = np.asarray(labels)
        if labels.shape != geometry.frame_size:
            raise InputError(
                f"label map of frame {self._time} is {'x'.join(map(str, labels.shape))}, "
                f"its frame {'x'.join(map(str, geometry.frame_size))}"
            )
        if labels.dtype.kind not in "bui":
            raise InputError(f"label map of frame {self._time} holds {labels.dtype}, not integers")
        if labels.min() < 0 or labels.max() > VOID:
            raise InputError(
                f"label map of frame {self._time} holds ids {labels.min()}..{labels.max()}; "
                f"0..{MAX_OBJECT_ID} and {VOID} (void) are allowed"
            )
        ids = object_ids(labels) if objects is None else tuple(objects)
        if not ids:
            raise InputError(f"label map of frame {self._time} has no object: all is background")
        if not all(1 <= object_id <= MAX_OBJECT_ID for object_id in ids):
            raise InputError(f"object ids are 1..{MAX_OBJECT_ID}, not {list(ids)}")
        count = len(set(self.object_ids) | set(ids))
        if count > self.max_objects:
            raise InputError(
                f"frame {self._time}: {count} objects, more than max_objects={self.max_objects}"
            )
        one_hot = torch.from_numpy(to_one_hot(labels, ids)).to(self.device, torch.float32)
        return dict(zip(ids, geometry.network_masks(one_hot.unsqueeze(0))[0], strict=True))

    def _with_given(
        self, segmentation: Segmentation | None, given: dict[int, Tensor] | None, image: Tensor
    ) -> Tensor:
        """Put the given masks into the segmentation; probabilities (1, N + 1, H, W).

        As published (STCN, interactive fusion): inside a given mask every other object's
        probability is zero, then all are aggregated again.
        """
        if given is None:
            if segmentation is not None:
                return segmentation.probabilities
            return image.new_ones(1, 1, *image.shape[-2:])
        claimed = torch.stack(list(given.values())).amax(dim=0)
        tracked = self.bank.object_ids
        self.bank.add_objects([object_id for object_id in given if object_id not in tracked])
        masks = []
        for position, object_id in enumerate(self.bank.object_ids):
            if object_id in given:
                masks.append(given[object_id])
            elif segmentation is not None:
                masks.append(segmentation.probabilities[0, position + 1] * (1 - claimed))
        return soft_aggregation(torch.stack(masks).unsqueeze(0))[0]

    def _remember(
        self,
        image: Tensor,
        masks: Tensor,
        query: QueryFeatures | None,
        together: int,
        *,
        annotated: bool,
    ) -> None:
        if self.object_ids and self.bank.wants(self._time, annotated=annotated):
            with autocast(self.device, self.precision):
                frame = self.model.encode_memory(image, masks, query, objects_per_batch=together)
            self.bank.remember(self._time, frame, annotated=annotated)
        self._previous_masks = masks if self.model.uses_previous_masks else None

    def _prediction(
        self,
        probabilities: Tensor,
        segmentation: Segmentation | None,
        geometry: FrameGeometry,
        given: dict[int, Tensor] | None,
        labels: np.ndarray | None,
    ) -> Prediction:
        cropped = geometry.crop(probabilities[0])
        ids = torch.tensor([0, *self.object_ids], dtype=torch.uint8, device=self.device)
        channel = most_probable(cropped, geometry)
        predicted = ids.index_select(0, channel.flatten()).view(channel.shape).cpu().numpy()
        if given is not None and labels is not None:
            predicted = with_given_labels(predicted, labels, tuple(given))
        prior = None if segmentation is None else segmentation.auxiliary.spatial_prior
        return Prediction(
            predicted,
            self.object_ids,
            geometry,
            cropped,
            None if prior is None else _for_all_objects(prior[0, :, 0], len(self.object_ids)),
        )


def _for_all_objects(prior: Tensor, objects: int) -> Tensor:
    """Fill up with NaN for objects that were given on this frame and have no prior yet."""
    missing = prior.new_full((objects - prior.shape[0], *prior.shape[1:]), torch.nan)
    return torch.cat([prior, missing])


def _check_sizes(**values: float | None) -> None:
    for name, value in values.items():
        if value is not None and not value > 0:
            raise InputError(f"{name} must be above 0 or None, not {value}")

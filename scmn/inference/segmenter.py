"""VideoSegmenter: one frame in, one prediction out; only the memory is kept."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import torch
from pydantic import SkipValidation
from torch import Tensor

from scmn.data.masks import MAX_OBJECT_ID, ObjectCount
from scmn.errors import InputError
from scmn.inference.acceleration.budgets import fitting_objects, read_settings
from scmn.inference.acceleration.network import accelerate
from scmn.inference.base import Segmenter, exclusive
from scmn.inference.confidence import presence, without_objects
from scmn.inference.devices import (
    autocast,
    reduced_dtype,
    resolve_device,
    resolve_precision,
)
from scmn.inference.frames import FrameImage, LabelMap, image_tensor, label_array
from scmn.inference.geometry import FrameGeometry
from scmn.inference.given_objects import GivenObjects, given_objects, with_given_masks
from scmn.inference.memory.policy import MemoryBank
from scmn.inference.memory.settings import MemorySettings, complete_settings
from scmn.inference.memory.weights import frame_weights
from scmn.inference.prediction import Prediction, frame_prediction
from scmn.inference.settings import Precision
from scmn.inference.video_state import VideoState
from scmn.networks.base import MemoryNetwork
from scmn.networks.features import QueryFeatures, Segmentation
from scmn.settings import Count, Positive, checked
from scmn.tensor_files import tensors_checksum, weighted_bit_sums


class VideoSegmenter(Segmenter):
    """Segments a video frame by frame, from label maps on any of its frames.

    Objects may be added or corrected on any frame and removed at any time. Object ids are the
    user's, 1..254, and need not be consecutive.

    Example::

        segmenter = VideoSegmenter(build_model("stcn", weights="stcn.pth"), device="cuda")
        for prediction in segmenter.run(frames, first_labels):
            prediction.labels  # uint8 (H, W)
    """

    @checked
    def __init__(
        self,
        model: SkipValidation[MemoryNetwork],
        *,
        memory: SkipValidation[MemorySettings | Mapping[str, Any] | None] = None,
        size: Count | None = None,
        upscale: bool = False,
        scale: Positive = 1.0,
        device: SkipValidation[str | torch.device | None] = None,
        precision: Precision = "fp32",
        compile: bool = False,
        objects_per_batch: Count | None = None,
        max_objects: ObjectCount = MAX_OBJECT_ID,
        block_bytes: Count | None = None,
    ) -> None:
        """
        Args:
            model: a network. It is not changed; an accelerated copy is made, which later
                training of the network does not affect.
            memory: a mapping of the memory settings that differ from the network's policy, or
                complete settings, which replace it.
            size: scale frames down to this shorter side (None: keep their size).
            upscale: scale smaller frames up to ``size``, too.
            scale: additional factor on the frames' size (for multi-scale testing).
            device: "cpu", "cuda", ... or "auto" (None: the model's device).
            precision: "fp32" (IEEE, also on a GPU), "tf32" (CUDA), "bf16" or "fp16" by automatic
                mixed precision, or "auto": bf16 if the device has instructions for it, else fp32.
            compile: compile encoders, decoder and refinement, on a GPU into CUDA graphs; worthwhile
                for many frames of one size.
            objects_per_batch: decode at most this many objects at a time (None: as many as fit in
                the device's memory budget).
            max_objects: reject videos with more objects.
            block_bytes: size limit of a memory read's affinity matrix in bytes (None: depends on
                the device).

        Raises:
            InputError: an unknown or wrong setting, or no such device.
        """
        super().__init__()
        self.device = next(model.parameters()).device if device is None else resolve_device(device)
        self.precision = resolve_precision(self.device, precision)
        self._dtype = reduced_dtype(self.device, self.precision)
        self._description = model.description
        self._weight_sums = weighted_bit_sums(model)
        self.model = accelerate(model, self.device, self._dtype, compiled=compile)
        self._compiled = compile
        self.memory_settings = complete_settings(memory, model.memory_defaults)
        self.size = size
        self.upscale = upscale
        self.scale = scale
        self.objects_per_batch = objects_per_batch
        self.max_objects = max_objects
        self._read = read_settings(self.device, self.memory_settings, block_bytes=block_bytes)
        self._colour = torch.tensor(model.padding_colour, device=self.device).view(3, 1, 1)
        self._forget()

    @exclusive
    def reset(self) -> None:
        """Forget everything: the next frame is the first of a new video."""
        self._forget()

    def _forget(self) -> None:
        self._video = VideoState(self._new_bank())
        self._fitting: dict[tuple[int, int], int] = {}

    def _new_bank(self) -> MemoryBank:
        return MemoryBank(self.memory_settings, self.model.similarity)

    @property
    def bank(self) -> MemoryBank:
        """The memory of the video."""
        return self._video.bank

    @property
    def frame_count(self) -> int:
        """The number of frames of the video so far."""
        return self._video.frame_count

    @property
    def object_ids(self) -> tuple[int, ...]:
        """The ids of the objects that are being segmented."""
        return self.bank.object_ids

    @property
    def needs_next_frame(self) -> bool:
        """Whether later predictions depend on the next frame, even if no masks are given on it."""
        remembered = self.bank.wants(self.frame_count, annotated=False)
        observed = self.bank.attention(self.frame_count, annotated=False) is not None
        return bool(self.object_ids) and (self.model.uses_previous_masks or remembered or observed)

    @exclusive
    @torch.inference_mode()
    def step(
        self,
        frame: FrameImage,
        labels: LabelMap | None = None,
        *,
        objects: Sequence[int] | None = None,
    ) -> Prediction:
        """Segment the next frame; see :meth:`Segmenter.step`."""
        return self._advance(frame, labels, objects)

    @exclusive
    @torch.inference_mode()
    def skip(
        self,
        frame: FrameImage,
        labels: LabelMap | None = None,
        *,
        objects: Sequence[int] | None = None,
    ) -> bool:
        """Advance by a frame whose prediction is not needed; see :meth:`Segmenter.skip`."""
        if labels is not None or self.needs_next_frame:
            self._advance(frame, labels, objects)
            return True
        self._video.frame_count += 1
        return False

    def _advance(
        self, frame: FrameImage, labels: LabelMap | None, objects: Sequence[int] | None
    ) -> Prediction:
        """Segment the next frame and remember it."""
        if self._compiled:
            torch.compiler.cudagraph_mark_step_begin()  # the previous frame's outputs are not used
        image, geometry = self._network_image(frame)
        given = None if labels is None else self._given_objects(labels, objects, geometry)
        objects_per_batch = self.objects_per_batch or self._fitting_objects(geometry)
        query, segmentation = self._segment(image, geometry, given, objects_per_batch)
        # From here on the user's input cannot cause an error.
        self._video.geometry = geometry
        if segmentation is not None and segmentation.attention:
            self.bank.observe(segmentation.attention, segmentation.probabilities[:, 1:])
        try:
            probabilities = self._with_given(segmentation, given, image)
            prediction = frame_prediction(
                probabilities,
                self.object_ids,
                geometry,
                segmentation=segmentation,
                given=given,
                estimates_quality=self.model.estimates_quality,
            )
            self._remember(image, query, probabilities, prediction, objects_per_batch)
        except BaseException:  # memory is exhausted, or Ctrl-C in a notebook
            self.bank.drop_objects_without_memory()
            raise
        self._video.frame_count += 1
        return prediction

    @exclusive
    def remove_object(self, object_id: int) -> None:
        """Stop segmenting an object and forget it.

        Raises:
            InputError: there is no such object.
        """
        self._video.remove_object(object_id)

    @exclusive
    def save_memory(self, path: str | Path) -> None:
        """Write what is remembered of the video so far to a ``.safetensors`` file, atomically.

        Raises:
            InputError: the file cannot be written.
        """
        self._video.save(Path(path), origin=self._origin())

    @exclusive
    def load_memory(self, path: str | Path, *, new_video: bool = False) -> None:
        """Replace what is remembered by what :meth:`save_memory` wrote.

        The next frame is the one after the last that had been segmented, and gets the same
        prediction as it would have got then.

        Args:
            path: the file.
            new_video: the next frame is the first of another video, in which the objects may be
                anywhere. At the network's input it has the size of the earlier one, whose frames
                count as those before: the last of them is frame -1.

        Raises:
            InputError: the file is missing, damaged or not a memory, or another network, other
                weights or other settings made it. The present memory is left as it is.
        """
        self._video = VideoState.load(
            Path(path),
            origin=self._origin(),
            bank=self._new_bank(),
            device=self.device,
            new_video=new_video,
        )
        self._fitting.clear()

    def _origin(self) -> dict[str, Any]:
        """Return what a saved memory depends on, JSON values by name."""
        description = self._description
        return {
            "network": None if description is None else asdict(description),
            "weights": tensors_checksum({"sums": self._weight_sums}),
            "memory": asdict(self.memory_settings),
            "precision": self.precision,
            "size": self.size,
            "upscale": self.upscale,
            "scale": self.scale,
        }

    def _fitting_objects(self, geometry: FrameGeometry) -> int:
        # Once per video: the free memory changes, and batches of another size round differently.
        size = geometry.network_size
        if size not in self._fitting:
            self._fitting[size] = fitting_objects(self.model, size, self.device, self._dtype)
        return self._fitting[size]

    def _network_image(self, frame: FrameImage) -> tuple[Tensor, FrameGeometry]:
        """Return the image at the network's size (1, 3, H, W) and the video's geometry."""
        image = image_tensor(frame, self.device)
        height, width = image.shape[-2:]
        geometry = self._video.geometry_of(
            (height, width), shorter_side=self.size, upscale=self.upscale, scale=self.scale
        )
        image = geometry.network_image(image, self._colour)
        return image.contiguous(memory_format=torch.channels_last), geometry

    def _given_objects(
        self, labels: LabelMap, objects: Sequence[int] | None, geometry: FrameGeometry
    ) -> GivenObjects:
        given = given_objects(
            label_array(labels), objects, geometry, frame=self.frame_count, device=self.device
        )
        count = len({*self.object_ids, *given.ids})
        if count > self.max_objects:
            raise InputError(
                f"frame {self.frame_count}: {count} objects, more than "
                f"max_objects={self.max_objects}"
            )
        return given

    def _segment(
        self,
        image: Tensor,
        geometry: FrameGeometry,
        given: GivenObjects | None,
        objects_per_batch: int,
    ) -> tuple[QueryFeatures | None, Segmentation | None]:
        """Segment the known objects, unless masks are given for all of them.

        Objects that are taken for absent have empty masks.
        """
        known = self.object_ids
        if not known or (given and given.masks.keys() >= set(known)):
            return None, None
        with autocast(self.device, self.precision):
            query = self.model.encode_query(image)
            attention = self.bank.attention(self.frame_count, annotated=given is not None)
            segmentation = self.model.segment(
                query,
                self.bank.memory(),
                self._video.previous_masks,
                read=replace(self._read, attention=attention),
                objects_per_batch=objects_per_batch,
            )
        absence = self.memory_settings.absence
        if absence is not None:
            absent = presence(geometry.crop(segmentation.probabilities[0])) < absence.confidence
            probabilities = without_objects(segmentation.probabilities, absent)
            quality = segmentation.quality
            if quality is not None:  # of the masks that are emptied
                quality = quality.masked_fill(absent, 0)
            segmentation = replace(segmentation, probabilities=probabilities, quality=quality)
        return query, segmentation

    def _with_given(
        self, segmentation: Segmentation | None, given: GivenObjects | None, image: Tensor
    ) -> Tensor:
        """Add the given objects to the segmented ones; probabilities (1, N + 1, H, W)."""
        if given is None:
            if segmentation is not None:
                return segmentation.probabilities
            return image.new_ones(1, 1, *image.shape[-2:])
        segmented: dict[int, Tensor] = {}
        if segmentation is not None:
            masks = segmentation.probabilities[0, 1:].unbind()
            segmented = dict(zip(self.object_ids, masks, strict=True))
        self.bank.add_objects([i for i in given.ids if i not in self.object_ids])
        return with_given_masks(segmented, given.masks, self.object_ids)

    def _remember(
        self,
        image: Tensor,
        query: QueryFeatures | None,
        probabilities: Tensor,
        prediction: Prediction,
        objects_per_batch: int,
    ) -> None:
        masks = probabilities[:, 1:]
        if not self.model.remembers_padding:
            masks = prediction.geometry.without_padding(masks)
        annotated, time = prediction.given is not None, self.frame_count
        trusted: list[bool] | None = None
        if self.bank.judges(time, annotated=annotated):
            confidence = prediction.confidence * prediction.present
            given = () if prediction.given is None else prediction.given[1]
            trusted = self.bank.trust(confidence, given)
        if self.bank.wants(time, annotated=annotated, trusted=trusted):
            with autocast(self.device, self.precision):
                frame = self.model.encode_memory(
                    image, masks, query, objects_per_batch=objects_per_batch
                )
            weights = frame_weights(
                probabilities[0], trusted, weigh_cells=self.memory_settings.weigh_cells
            )
            frame = frame if weights is None else frame.weighted(weights)
            self.bank.remember(time, frame, annotated=annotated, trusted=trusted)
        self._video.previous_masks = masks if self.model.uses_previous_masks else None

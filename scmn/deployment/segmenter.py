"""OnnxSegmenter: ``VideoSegmenter``'s ``step`` with NumPy and ONNX Runtime alone.

Nothing here imports torch.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from scmn.deployment.graphs import ExportedNetwork
from scmn.deployment.memory import ArrayMemory, memory_settings, object_ids_of
from scmn.deployment.probabilities import presence, soft_aggregation, with_objects
from scmn.deployment.resampling import STRIDE, padding, resize, resize_masks, scaled_size
from scmn.errors import InputError


@dataclass(frozen=True)
class OnnxPrediction:
    """Segmentation of one frame, at the frame's own size and with the user's object ids."""

    object_ids: tuple[int, ...]
    """In the order of the probabilities' channels 1..N."""
    frame_size: tuple[int, int]
    network_probabilities: np.ndarray
    """(N + 1, h, w) over background and objects, at the network's size without padding."""
    given: tuple[np.ndarray, tuple[int, ...]] | None = None
    """The label map given on this frame and the ids of the objects that are given in it."""

    @cached_property
    def probabilities(self) -> np.ndarray:
        """(N + 1, H, W) over background and objects at the frame's own size."""
        return resize(self.network_probabilities, self.frame_size)

    @cached_property
    def labels(self) -> np.ndarray:
        """Label map, uint8 (H, W): 0 background, otherwise the user's object ids."""
        table = np.array([0, *self.object_ids], np.uint8)
        labels = table[self.probabilities.argmax(axis=0)]
        if self.given is not None:
            given, ids = self.given
            labels[np.isin(labels, ids)] = 0
            inside = np.isin(given, ids)
            labels[inside] = given[inside]
        return labels


class OnnxSegmenter:
    """Segments a video frame by frame with the graphs that ``scripts/export_onnx.py`` wrote.

        segmenter = OnnxSegmenter(Path("scmn_small-onnx"), size=480)
        prediction = segmenter.step(frame, labels)   # then segmenter.step(frame)
        prediction.labels

    It behaves as ``VideoSegmenter`` and keeps the memory itself; the graphs have no state.
    """

    def __init__(
        self,
        folder: Path,
        *,
        size: int | None = None,
        memory: Mapping[str, Any] | None = None,
        providers: Sequence[str] = ("CPUExecutionProvider",),
        threads: int | None = None,
    ) -> None:
        """
        Args:
            folder: of the graphs.
            size: scale frames down to this shorter side (None: keep their size).
            memory: differences from the policy of the export: ``every``, ``keep_annotated``,
                ``keep_previous``, ``max_frames``, ``absence``.
            providers: of ONNX Runtime, such as "CUDAExecutionProvider", the preferred one first.
            threads: of the CPU (None: one per core).

        Raises:
            InputError: a file is missing, not readable, or of another version of this package, or
                a setting is wrong.
        """
        if size is not None and size < 1:
            raise InputError(f"size must be above 0 or None, not {size}")
        self._network = ExportedNetwork(folder, providers=providers, threads=threads)
        self.size = size
        self._settings = memory_settings(self._network.memory, memory or {})
        self.reset()

    def reset(self) -> None:
        """Forget everything: the next frame is the first of a new video."""
        self._memory = ArrayMemory(self._settings)
        self._time = 0
        self._frame_size: tuple[int, int] | None = None
        self._previous_masks = np.zeros((0, 0, 0), np.float32)

    @property
    def frame_count(self) -> int:
        """The number of frames of the video so far."""
        return self._time

    @property
    def object_ids(self) -> tuple[int, ...]:
        """The ids of the objects that are being segmented."""
        return self._memory.object_ids

    def run(
        self, frames: Iterable[np.ndarray], labels: np.ndarray | Mapping[int, np.ndarray]
    ) -> Iterator[OnnxPrediction]:
        """Segment a new video lazily, from the label map of its first frame or of several."""
        by_frame = {0: labels} if isinstance(labels, np.ndarray) else dict(labels)
        self.reset()
        for index, frame in enumerate(frames):
            yield self.step(frame, by_frame.pop(index, None))
        if by_frame:
            raise InputError(
                f"label map for frame {min(by_frame)}, but the video has only {self._time} frames"
            )

    def remove_object(self, object_id: int) -> None:
        """Stop segmenting an object and forget it; InputError if there is no such object."""
        ids = self.object_ids
        self._memory.remove_object(object_id)
        self._previous_masks = np.delete(self._previous_masks, ids.index(object_id), axis=0)

    def step(
        self,
        frame: np.ndarray,
        labels: np.ndarray | None = None,
        *,
        objects: Sequence[int] | None = None,
    ) -> OnnxPrediction:
        """Segment the next frame.

        Args:
            frame: uint8 (H, W, 3), RGB.
            labels: label map, integers (H, W), of objects that are given on this frame. Known
                objects take the given mask, new ones are added; all others are segmented as usual
                outside the given masks.
            objects: ids annotated in ``labels`` (None: those that occur in it). A listed object
                without pixels is hidden on this frame.

        Raises:
            InputError: a frame or a label map of a wrong type or size, or without objects.
        """
        size = self._check_frame(frame)
        image = self._image(frame, size)
        given = (
            None if labels is None else self._given_masks(labels, objects, frame.shape[:2], size)
        )
        query: dict[str, np.ndarray] = {}
        segmented = None
        if self.object_ids and not (given and set(self.object_ids) <= set(given)):
            query = self._network.call("encode_query", image=image)
            segmented = self._segment(query)
        # From here on the user's input cannot cause an error.
        self._frame_size = (frame.shape[0], frame.shape[1])
        (top, bottom), (left, right) = padding(size)
        rows = slice(top, image.shape[2] - bottom)
        columns = slice(left, image.shape[3] - right)
        absence = self._settings["absence"]
        if segmented is not None and absence is not None:
            sure = presence(segmented[:, rows, columns])
            segmented = with_objects(segmented, [p >= absence["confidence"] for p in sure])
        probabilities = self._with_given(segmented, given, image.shape[2:])
        cropped = probabilities[:, rows, columns]
        masks = probabilities[1:]
        if not self._network.remembers_padding:
            masks = np.zeros_like(masks)
            masks[:, rows, columns] = cropped[1:]
        self._remember(image, masks, query, annotated=given is not None)
        self._time += 1
        known = None if labels is None or given is None else (labels.copy(), tuple(given))
        return OnnxPrediction(self.object_ids, self._frame_size, cropped, known)

    def _check_frame(self, frame: np.ndarray) -> tuple[int, int]:
        """Return the frame's size after scaling."""
        if frame.dtype != np.uint8 or frame.ndim != 3 or frame.shape[2] != 3:
            raise InputError(f"a frame is uint8 (H, W, 3), not {frame.dtype} {frame.shape}")
        own = (frame.shape[0], frame.shape[1])
        if self._frame_size not in (None, own):
            raise InputError(
                f"frame {self._time} is {own[0]}x{own[1]}, but the video's earlier frames are "
                f"{self._frame_size[0]}x{self._frame_size[1]}"  # type: ignore[index]
            )
        if min(own) < STRIDE:
            raise InputError(f"frame of {own[0]}x{own[1]} pixels: at least 16x16 are needed")
        size = scaled_size(own, self.size)
        positions = -(-size[0] // STRIDE) * -(-size[1] // STRIDE)
        if positions < (self._network.top_k or 0):
            raise InputError(
                f"frame of {own[0]}x{own[1]} pixels: the memory is read at the best "
                f"{self._network.top_k} positions, but a frame has only {positions}"
            )
        return size

    def _image(self, frame: np.ndarray, size: tuple[int, int]) -> np.ndarray:
        """Return the image at the network's size, float32 (1, 3, H, W) in [0, 1]."""
        image = frame.transpose(2, 0, 1).astype(np.float32) / 255
        image = resize(image, size).clip(0, 1)
        (top, bottom), (left, right) = padding(size)
        shape = (3, size[0] + top + bottom, size[1] + left + right)
        padded = np.broadcast_to(self._network.padding_colour, shape).copy()
        padded[:, top : top + size[0], left : left + size[1]] = image
        return padded[None]

    def _given_masks(
        self,
        labels: np.ndarray,
        objects: Sequence[int] | None,
        frame_size: tuple[int, ...],
        size: tuple[int, int],
    ) -> dict[int, np.ndarray]:
        """Return the given objects' masks (H, W) at the network's size by id."""
        if labels.shape != tuple(frame_size) or labels.dtype.kind not in "bui":
            raise InputError(
                f"label map of frame {self._time} is {labels.dtype} {labels.shape}, expected "
                f"integers {tuple(frame_size)}"
            )
        if labels.min() < 0 or labels.max() > 255:
            raise InputError(
                f"label map of frame {self._time} holds ids {labels.min()}..{labels.max()}; "
                "0..254 and 255 (void) are allowed"
            )
        ids = object_ids_of(labels) if objects is None else list(objects)
        if not ids:
            raise InputError(f"label map of frame {self._time} has no objects")
        if not all(0 < object_id < 255 for object_id in ids):
            raise InputError(f"object ids are 1..254, not {ids}")
        masks = np.stack([labels == object_id for object_id in ids]).astype(np.float32)
        padded = np.pad(resize_masks(masks, size), ((0, 0), *padding(size)))
        return dict(zip(ids, padded, strict=True))

    def _segment(self, query: Mapping[str, np.ndarray]) -> np.ndarray:
        """Return the probabilities of all objects, (N + 1, H, W)."""
        own, first = [], 0
        for group in self._memory.groups:
            last = first + len(group.object_ids)
            outputs = self._network.call(
                "segment",
                **query,
                memory_key=group.keys(),
                memory_value=group.values(),
                previous_masks=self._previous_masks[None, first:last],
            )
            own.append(outputs["object_probabilities"][0])
            first = last
        return soft_aggregation(np.concatenate(own))

    def _with_given(
        self,
        segmented: np.ndarray | None,
        given: dict[int, np.ndarray] | None,
        size: tuple[int, ...],
    ) -> np.ndarray:
        """Insert the given masks; probabilities (N + 1, H, W)."""
        if given is None:
            return np.ones((1, *size), np.float32) if segmented is None else segmented
        taken = np.max(list(given.values()), axis=0)
        known = self.object_ids
        self._memory.add_objects([object_id for object_id in given if object_id not in known])
        masks = []
        for position, object_id in enumerate(self.object_ids):
            if object_id in given:
                masks.append(given[object_id])
            elif segmented is not None:
                masks.append(segmented[position + 1] * (1 - taken))
        return soft_aggregation(np.stack(masks))

    def _remember(
        self,
        image: np.ndarray,
        masks: np.ndarray,
        query: dict[str, np.ndarray],
        *,
        annotated: bool,
    ) -> None:
        if self.object_ids and self._memory.wants(self._time, annotated=annotated):
            query = query or self._network.call("encode_query", image=image)
            frame = self._network.call(
                "encode_memory", image=image, object_masks=masks[None], **query
            )
            self._memory.remember(
                self._time, frame["memory_key"], frame["memory_value"], annotated=annotated
            )
        self._previous_masks = masks

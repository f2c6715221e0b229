"""A project: footage, objects, and a label map per frame that the user draws or a network predicts.

It knows neither the network nor the page.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace

import cv2
import numpy as np

from scmn.data.masks import MAX_OBJECT_ID, davis_palette, object_ids
from scmn.demo.footage import Footage, Limits
from scmn.errors import InputError

HISTORY = 100
"""Number of steps that can be undone."""
NAME_LENGTH = 40


@dataclass(frozen=True)
class VideoObject:
    """An object of the project."""

    object_id: int
    name: str
    hexadecimal: str
    """Its colour, "#rrggbb"."""


@dataclass(frozen=True)
class FrameMasks:
    """The label map of a frame, compressed, and what is known about it.

    Attributes:
        png: the label map.
        areas: the share of the frame that each object in it covers.
        given: objects whose masks are the user's; the others are a network's.
        confidence: of the objects whose masks a network predicted, in [0, 1].
    """

    png: bytes
    areas: Mapping[int, float]
    given: frozenset[int]
    confidence: Mapping[int, float]

    @classmethod
    def of(
        cls, labels: np.ndarray, *, given: Collection[int], confidence: Mapping[int, float]
    ) -> FrameMasks:
        """Compress a label map, uint8 (H, W)."""
        _, png = cv2.imencode(".png", labels)
        counts = np.bincount(labels.ravel(), minlength=256)
        areas = {i: counts[i] / labels.size for i in range(1, MAX_OBJECT_ID + 1) if counts[i]}
        return cls(png.tobytes(), areas, frozenset(given), confidence)

    @property
    def labels(self) -> np.ndarray:
        """Label map, uint8 (H, W)."""
        return np.asarray(cv2.imdecode(np.frombuffer(self.png, np.uint8), cv2.IMREAD_GRAYSCALE))


@dataclass(frozen=True)
class _Snapshot:
    objects: dict[int, VideoObject]
    masks: dict[int, FrameMasks]


class Project:
    """Footage with objects, one at first, and masks; every change can be undone.

    Attributes:
        footage: the frames.
        limits: on the number of objects.
        objects: by id.
        masks: by frame; a frame without an entry has no mask.

    A change replaces these two mappings, which are never changed themselves: so a snapshot is a
    reference, and the page can read them during a run.
    """

    def __init__(self, footage: Footage, limits: Limits) -> None:
        self.footage = footage
        self.limits = limits
        self.objects: dict[int, VideoObject] = {}
        self.masks: dict[int, FrameMasks] = {}
        self._add(1)
        self._history: list[_Snapshot] = []

    def labels(self, index: int) -> np.ndarray:
        """Return the label map of a frame, uint8 (H, W); zeros if it has no mask."""
        if index in self.masks:
            return self.masks[index].labels
        return np.zeros(self.footage.size, np.uint8)

    @property
    def palette(self) -> np.ndarray:
        """The colours of labels, uint8 (256, 3) RGB."""
        palette = davis_palette().copy()
        for object_id, drawn in self.objects.items():
            palette[object_id] = list(bytes.fromhex(drawn.hexadecimal[1:]))
        return palette

    def add_object(self) -> VideoObject:
        """Add an object with the lowest free id; InputError if there are too many."""
        self._require_room(len(self.objects) + 1)
        object_id = next(i for i in range(1, MAX_OBJECT_ID + 1) if i not in self.objects)
        self.remember()
        return self._add(object_id)

    def _add(self, object_id: int) -> VideoObject:
        colour = f"#{davis_palette()[object_id].tobytes().hex()}"
        added = VideoObject(object_id, f"object {object_id}", colour)
        self.objects = dict(sorted({**self.objects, object_id: added}.items()))
        return added

    def change_object(
        self, object_id: int, *, name: str | None = None, colour: str | None = None
    ) -> None:
        """Give an object another name or colour; InputError if that is not "#rrggbb"."""
        changed = self.objects[object_id]
        if name is not None:
            changed = replace(changed, name=name.strip()[:NAME_LENGTH] or changed.name)
        if colour is not None:
            if not re.fullmatch("#[0-9a-fA-F]{6}", colour):
                raise InputError(f"a colour is #rrggbb, not '{colour}'")
            changed = replace(changed, hexadecimal=colour)
        if changed != self.objects[object_id]:
            self.remember()
            self.objects = {**self.objects, object_id: changed}

    def remove_object(self, object_id: int) -> None:
        """Remove an object and its masks on all frames."""
        self.remember()
        self.objects = {i: kept for i, kept in self.objects.items() if i != object_id}
        self.masks = {i: _without(masks, object_id) for i, masks in self.masks.items()}

    def draw(self, index: int, object_id: int, marked: np.ndarray, *, erase: bool = False) -> None:
        """Add what is marked, bool (H, W), to an object's mask, or erase it from that object."""
        labels = self.labels(index)
        if erase:
            changed = np.where(marked & (labels == object_id), 0, labels)
        else:
            changed = np.where(marked, object_id, labels)
        if not np.array_equal(changed, labels):
            self._set_by_user(index, changed.astype(np.uint8), {object_id})

    def replace_labels(self, index: int, labels: np.ndarray) -> None:
        """Take a label map, uint8 (H, W), as the user's; objects that it names are added.

        Raises:
            InputError: it has another size than the frames, no objects or too many.
        """
        height, width = self.footage.size
        if labels.shape != (height, width):
            raise InputError(
                f"the mask is {labels.shape[1]}x{labels.shape[0]} pixels but the frames are "
                f"{width}x{height}"
            )
        ids = object_ids(labels)
        if not ids:
            raise InputError("the mask has no object: it is all background")
        self._require_room(len({*self.objects, *ids}))
        self._set_by_user(index, labels, ids)
        for object_id in ids:
            if object_id not in self.objects:
                self._add(object_id)

    def confirm(self, index: int) -> None:
        """Take what a network predicted on a frame as the user's masks."""
        masks = self.masks.get(index)
        if masks is None or not masks.areas:
            raise InputError(f"frame {index} has no mask: draw one there first")
        self._put(index, replace(masks, given=masks.given | set(masks.areas)))

    def clear(self, index: int) -> None:
        """Remove all masks of a frame."""
        if index in self.masks:
            self.remember()
            self.masks = {i: kept for i, kept in self.masks.items() if i != index}

    def set_prediction(
        self, index: int, labels: np.ndarray, confidence: Mapping[int, float]
    ) -> None:
        """Record what a network predicts on a frame; what the user gave there stays given."""
        given = self.masks[index].given if index in self.masks else ()
        self._put(index, FrameMasks.of(labels, given=given, confidence=confidence))

    @property
    def given_frames(self) -> list[int]:
        """The frames on which the user gave masks, in time order."""
        return sorted(index for index, masks in self.masks.items() if masks.given)

    def remember(self) -> None:
        """Make the present state one to which ``undo`` returns."""
        self._history.append(_Snapshot(self.objects, self.masks))
        del self._history[:-HISTORY]

    def undo(self) -> None:
        """Return to the state before the last change, if there is one."""
        if self._history:
            snapshot = self._history.pop()
            self.objects, self.masks = snapshot.objects, snapshot.masks

    def _set_by_user(self, index: int, labels: np.ndarray, touched: Collection[int]) -> None:
        self.remember()
        given = {*object_ids(labels), *touched}
        if index in self.masks:
            # Whoever corrects a frame has seen, and so confirmed, its other masks.
            given |= {*self.masks[index].given, *self.masks[index].areas}
        self._put(index, FrameMasks.of(labels, given=given, confidence={}))

    def _put(self, index: int, masks: FrameMasks) -> None:
        self.masks = {**self.masks, index: masks}

    def _require_room(self, count: int) -> None:
        if count > self.limits.objects:
            raise InputError(f"{count} objects: at most {self.limits.objects} are accepted")


def _without(masks: FrameMasks, object_id: int) -> FrameMasks:
    given = masks.given - {object_id}
    confidence = {i: number for i, number in masks.confidence.items() if i != object_id}
    if object_id not in masks.areas:
        return replace(masks, given=given, confidence=confidence)
    labels = masks.labels
    labels[labels == object_id] = 0
    return FrameMasks.of(labels, given=given, confidence=confidence)

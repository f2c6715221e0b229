"""A scene: things, surroundings, camera and light together, rendered at any time."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass

import cv2
import numpy as np

from scmn.data.synthetic.motion import Camera, Wander, similarity
from scmn.data.synthetic.settings import SyntheticSettings
from scmn.data.synthetic.things import (
    Footprint,
    Light,
    Thing,
    cast_shadow,
    find_footprint,
    motion_kernel,
    paint,
)

LIGHT_GRID = (9, 48)
"""Size of ``Scene.light_field``; a third of its width is over the frame at a time."""


@dataclass(frozen=True)
class Scene:
    """Everything about a sequence that does not depend on the frame."""

    settings: SyntheticSettings
    background: np.ndarray
    """uint8 (H', W', 3), larger than the frame."""
    things: tuple[Thing, ...]
    """In depth order, the hindmost first."""
    camera: Camera
    light: Light
    brightness: Wander
    """Of the logarithm of the light and of its warmth, and of the drift of a cloud's shadow."""
    light_field: np.ndarray
    """float32 LIGHT_GRID: the unevenness of the light; a window of it slides over the frame."""

    def footprints(
        self,
        time: float,
        size: tuple[int, int],
        *,
        hidden: Collection[int] = (),
        light: Light | None = None,
    ) -> Iterator[tuple[Thing, Footprint]]:
        """Yield the things in view, the hindmost first, without the objects in ``hidden``.

        Without a light they have their label maps right but not their colours.
        """
        to_frame = pixels_per_unit(size) @ self.camera.view(time)
        for thing in self.things:
            if thing.object_id and thing.object_id in hidden:
                continue
            footprint = find_footprint(thing, to_frame, time, size, light=light)
            if footprint is not None:
                yield thing, footprint

    def labels(
        self, time: float, size: tuple[int, int], *, hidden: Collection[int] = ()
    ) -> np.ndarray:
        """Return the label map at a time, uint8 ``size``: the frontmost thing at pixel centres."""
        labels = np.zeros(size, np.uint8)
        for thing, footprint in self.footprints(time, size, hidden=hidden):
            labels[footprint.rows, footprint.columns][footprint.support] = thing.object_id
        return labels

    def render(self, time: float, *, hidden: Collection[int] = ()) -> tuple[np.ndarray, np.ndarray]:
        """Return the image without sensor noise, uint8 (H, W, 3), and its label map (H, W)."""
        size = self.settings.size
        unit = unit_length(size)
        image = self._surroundings(time)
        labels = np.zeros(size, np.uint8)
        for thing, footprint in self.footprints(time, size, hidden=hidden, light=self.light):
            coverage = footprint.coverage(thing.softness * unit)
            if self.settings.shadows:
                length = thing.height * unit
                cast_shadow(image, footprint, coverage, light=self.light, length=length)
            way = self._way(thing, time) * self.settings.motion_blur
            paint(image, footprint, coverage, blur=way)
            labels[footprint.rows, footprint.columns][footprint.support] = thing.object_id
        return self._lit(image, time), labels

    def _surroundings(self, time: float) -> np.ndarray:
        size = self.settings.size
        image = self._look_at_background(time)
        way = (self.camera.panned(time + 0.5) - self.camera.panned(time - 0.5)) * unit_length(size)
        kernel = motion_kernel(way * self.settings.motion_blur)
        return image if kernel is None else cv2.filter2D(image, -1, kernel)

    def _look_at_background(self, time: float) -> np.ndarray:
        size = self.settings.size
        shift = similarity(-self.camera.panned(time), angle=0.0, scale=1.0)
        to_scene = np.linalg.inv(pixels_per_unit(self.background.shape[:2], unit_length(size)))
        matrix = pixels_per_unit(size) @ self.camera.view(time) @ shift @ to_scene
        return cv2.warpAffine(
            self.background,
            matrix[:2],
            size[::-1],
            flags=cv2.INTER_LINEAR,
            borderMode=cv2.BORDER_REFLECT_101,
        )

    def _way(self, thing: Thing, time: float) -> np.ndarray:
        """Return how far a thing's middle moves in the frame during one frame, (2,) pixels."""
        ends = [
            (pixels_per_unit(self.settings.size) @ self.camera.view(moment))
            @ [*thing.path.place(moment), 1.0]
            for moment in (time - 0.5, time + 0.5)
        ]
        return np.asarray((ends[1] - ends[0])[:2])

    def _lit(self, image: np.ndarray, time: float) -> np.ndarray:
        """Apply the light's strength, colour and unevenness at a time."""
        height, width = image.shape[:2]
        level, warmth, slide = self.brightness.at(time)
        rows, columns = LIGHT_GRID[0], LIGHT_GRID[1] // 3
        window = np.array([[1.0, 0.0, -columns * (1 + np.tanh(slide))], [0.0, 1.0, 0.0]])
        field = cv2.warpAffine(self.light_field, window, (columns, rows))
        field = cv2.resize(field, (width, height), interpolation=cv2.INTER_LINEAR)
        field = np.clip(field * 255, 0, 255).astype(np.uint8)
        gains = np.exp(level + warmth * np.array([1.0, 0.0, -1.0]))
        shaded = cv2.multiply(image, cv2.merge([field, field, field]), scale=1 / 255)
        table = np.clip(np.arange(256)[:, None] * gains, 0, 255).round().astype(np.uint8)
        return cv2.LUT(shaded, table[:, None])


def unit_length(size: tuple[int, ...]) -> float:
    """Return the pixels per unit: frames of equal area have equal units, 16:9 the height."""
    return float(np.sqrt(size[0] * size[1] * 9 / 16))


def pixels_per_unit(size: tuple[int, ...], unit: float | None = None) -> np.ndarray:
    """Return the map from units about the middle of a frame (H, W) to pixels, (3, 3)."""
    unit = unit_length(size) if unit is None else unit
    return similarity(np.array([(size[1] - 1) / 2, (size[0] - 1) / 2]), angle=0.0, scale=unit)

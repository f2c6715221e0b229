"""A scene: objects, background, camera and light together, rendered at any time."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import cv2
import numpy as np

from scmn.data.synthetic.motion import Camera, Wander, similarity
from scmn.data.synthetic.objects import (
    Footprint,
    Light,
    MovingObject,
    cast_shadow,
    motion_kernel,
    paint,
)
from scmn.data.synthetic.synthetic_settings import SyntheticSettings

LIGHT_GRID = (9, 48)
"""Size of ``Scene.light_field``; a third of its width lies over the frame at a time."""


@dataclass(frozen=True)
class Scene:
    """Everything in a sequence that does not depend on the frame."""

    settings: SyntheticSettings
    background: np.ndarray
    """uint8 (H', W', 3), larger than the frame."""
    objects: tuple[MovingObject, ...]
    """In depth order, the furthest first."""
    camera: Camera
    light: Light
    brightness: Wander
    """Of the logarithm of the light, of its warmth, and of the shift of ``light_field``."""
    light_field: np.ndarray
    """float32 LIGHT_GRID: the unevenness of the light; a window of it slides over the frame."""

    def footprints(
        self, time: float, size: tuple[int, int], *, light: Light | None = None
    ) -> Iterator[tuple[MovingObject, Footprint]]:
        """Yield the objects in view, the furthest first; lit only if a light is given."""
        to_frame = pixels_per_unit(size) @ self.camera.view(time)
        for drawn in self.objects:
            footprint = drawn.footprint(to_frame, time, size, light=light)
            if footprint is not None:
                yield drawn, footprint

    def labels(self, time: float, size: tuple[int, int]) -> np.ndarray:
        """Return the label map at a time, uint8 ``size``: the nearest object at pixel centres."""
        labels = np.zeros(size, np.uint8)
        for drawn, footprint in self.footprints(time, size):
            labels[footprint.rows, footprint.columns][footprint.support] = drawn.object_id
        return labels

    def render(self, time: float) -> tuple[np.ndarray, np.ndarray]:
        """Return the image without sensor noise, uint8 (H, W, 3), and its label map (H, W)."""
        size, unit = self.settings.size, unit_length(self.settings.size)
        image = self._render_background(time)
        labels = np.zeros(size, np.uint8)
        for drawn, footprint in self.footprints(time, size, light=self.light):
            coverage = footprint.coverage(drawn.softness * unit)
            if self.settings.shadows:
                length = drawn.height * unit
                cast_shadow(image, footprint, coverage, light=self.light, length=length)
            blur = self._motion(drawn, time) * self.settings.motion_blur
            paint(image, footprint, coverage, blur=blur)
            labels[footprint.rows, footprint.columns][footprint.support] = drawn.object_id
        return self._lit(image, time), labels

    def _render_background(self, time: float) -> np.ndarray:
        size, unit = self.settings.size, unit_length(self.settings.size)
        shift = similarity(-self.camera.panned(time), angle=0.0, scale=1.0)
        to_scene = np.linalg.inv(pixels_per_unit(self.background.shape[:2], unit))
        matrix = pixels_per_unit(size) @ self.camera.view(time) @ shift @ to_scene
        image = cv2.warpAffine(
            self.background,
            matrix[:2],
            size[::-1],
            flags=cv2.INTER_LINEAR,
            borderMode=cv2.BORDER_REFLECT_101,
        )
        motion = (self.camera.panned(time + 0.5) - self.camera.panned(time - 0.5)) * unit
        kernel = motion_kernel(motion * self.settings.motion_blur)
        return image if kernel is None else cv2.filter2D(image, -1, kernel)

    def _motion(self, drawn: MovingObject, time: float) -> np.ndarray:
        """Return how far an object's centre moves in the frame from frame to frame, (2,) pixels."""
        before, after = (
            (pixels_per_unit(self.settings.size) @ self.camera.view(moment))
            @ [*drawn.path.place(moment), 1.0]
            for moment in (time - 0.5, time + 0.5)
        )
        return np.asarray((after - before)[:2])

    def _lit(self, image: np.ndarray, time: float) -> np.ndarray:
        """Apply the light's strength, colour and unevenness at a time."""
        height, width = image.shape[:2]
        level, warmth, shift = self.brightness.at(time)
        rows, columns = LIGHT_GRID[0], LIGHT_GRID[1] // 3
        window = np.array([[1.0, 0.0, -columns * (1 + np.tanh(shift))], [0.0, 1.0, 0.0]])
        field = cv2.warpAffine(self.light_field, window, (columns, rows))
        field = cv2.resize(field, (width, height), interpolation=cv2.INTER_LINEAR)
        field = np.clip(field * 255, 0, 255).astype(np.uint8)
        gains = np.exp(level + warmth * np.array([1.0, 0.0, -1.0]))
        shaded = cv2.multiply(image, cv2.merge([field, field, field]), scale=1 / 255)
        table = np.clip(np.arange(256)[:, None] * gains, 0, 255).round().astype(np.uint8)
        return cv2.LUT(shaded, table[:, None])


def unit_length(size: tuple[int, ...]) -> float:
    """Return the pixels per unit of length: the height of the 16:9 frame of equal area."""
    return float(np.sqrt(size[0] * size[1] * 9 / 16))


def pixels_per_unit(size: tuple[int, ...], unit: float | None = None) -> np.ndarray:
    """Return the map from units about the centre of a frame (H, W) to its pixels, (3, 3)."""
    unit = unit_length(size) if unit is None else unit
    return similarity(np.array([(size[1] - 1) / 2, (size[0] - 1) / 2]), angle=0.0, scale=unit)

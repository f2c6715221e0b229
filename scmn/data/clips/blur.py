"""Motion blur of single frames, as fast objects and moving cameras have it."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from scmn.data.clips.clip import refuse_setting


@dataclass(frozen=True)
class MotionBlur:
    """Averages some frames along a line of random direction; masks stay sharp.

    Raises InputError for a value out of its range.
    """

    probability: float = 0.0
    """Chance of each frame to be blurred."""
    length: float = 0.05
    """Longest line, as a share of the frame's shorter side."""

    def __post_init__(self) -> None:
        if not 0 <= self.probability <= 1:
            refuse_setting("blur.probability", self.probability, "a chance from 0 to 1")
        if not 0 < self.length <= 0.5:
            refuse_setting("blur.length", self.length, "a share above 0, up to 0.5")

    def apply(self, image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """Return the frame, uint8 (H, W, 3), blurred if it is drawn to be."""
        if self.probability == 0 or rng.random() >= self.probability:
            return image
        reach = rng.uniform(0, self.length) * min(image.shape[:2]) / 2
        angle = rng.uniform(0, np.pi)
        radius = int(np.ceil(reach))
        kernel = np.zeros((2 * radius + 1, 2 * radius + 1), np.float32)
        end = np.rint(reach * np.array([np.cos(angle), np.sin(angle)])).astype(int)
        cv2.line(kernel, (radius - end).tolist(), (radius + end).tolist(), 1.0)
        return cv2.filter2D(image, -1, kernel / kernel.sum(), borderType=cv2.BORDER_REPLICATE)

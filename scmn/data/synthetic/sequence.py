"""One synthetic sequence: a pure function of settings, seed and number at every frame."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cached_property, lru_cache, partial

import cv2
import numpy as np

from scmn.data.masks import keep_objects, object_ids
from scmn.data.sequences import Frame
from scmn.data.synthetic.composition import compose, random_stream
from scmn.data.synthetic.scene import Scene
from scmn.data.synthetic.synthetic_settings import SyntheticSettings
from scmn.errors import InputError

_NOISE_LEVELS = 24.0  # standard deviation of the stored sensor noise, grey levels
_NOISE_MARGIN = 64


class SyntheticSequence:
    """A video of moving objects with exact label maps; frames can be drawn in any order.

    The same ``settings``, ``seed`` and ``number`` give the same video in every process. Other
    versions of NumPy or OpenCV may round a few pixels differently. Object ids are 1..N; objects
    that appear after frame 0 have the highest. A sequence is a ``FrameSource``: each object's mask
    is given on the first frame that shows it.

    The scene is composed on the first access to a frame, which takes as long as several frames.

    Raises:
        InputError: a negative seed or number, or the objects cannot all be placed.
    """

    def __init__(self, settings: SyntheticSettings, seed: int, number: int) -> None:
        for name, value in (("seed", seed), ("number", number)):
            if value < 0:
                raise InputError(f"{name} of a synthetic sequence is {value}; expected 0 or more")
        self.settings = settings
        self.seed = seed
        self.number = number

    @property
    def name(self) -> str:
        return f"synthetic-{self.number:05d}"

    def __len__(self) -> int:
        return self.settings.frames

    @cached_property
    def _scene(self) -> Scene:
        return compose(self.settings, partial(random_stream, self.seed, self.number))

    @property
    def object_ids(self) -> tuple[int, ...]:
        """The ids of the labelled objects, 1..N."""
        return tuple(sorted(drawn.object_id for drawn in self._scene.objects if drawn.object_id))

    def frame(self, index: int) -> tuple[np.ndarray, np.ndarray]:
        """Return the image, uint8 (H, W, 3) RGB, and the label map, uint8 (H, W), of one frame.

        Raises:
            IndexError: there is no such frame.
        """
        self._check(index)
        image, labels = self._scene.render(index)
        return self._with_sensor_noise(image, index), labels

    def image(self, index: int) -> np.ndarray:
        """Return the image of one frame, uint8 (H, W, 3) RGB."""
        return self.frame(index)[0]

    def annotation(self, index: int) -> np.ndarray:
        """Return the label map of one frame, uint8 (H, W), without rendering the image."""
        self._check(index)
        return self._scene.labels(index, self.settings.size)

    def frames(self) -> Iterator[Frame]:
        """Yield the frames in time order; an object is given on the first frame that shows it."""
        given: set[int] = set()
        for index in range(len(self)):
            image, labels = self.frame(index)
            new = [object_id for object_id in object_ids(labels) if object_id not in given]
            given.update(new)
            yield Frame(index, f"{index:05d}", image, keep_objects(labels, new) if new else None)

    def is_written(self, frame_name: str) -> bool:
        return True

    def _check(self, index: int) -> None:
        if not 0 <= index < len(self):
            raise IndexError(f"{self.name} has frames 0..{len(self) - 1}, not {index}")

    def _with_sensor_noise(self, image: np.ndarray, index: int) -> np.ndarray:
        if not self.settings.sensor_noise:
            return image
        height, width = image.shape[:2]
        rng = random_stream(self.seed, self.number, "sensor", index)
        top, left = rng.integers(0, _NOISE_MARGIN, 2)
        grain = _sensor_noise((height, width))[top : top + height, left : left + width]
        gain = self.settings.sensor_noise / _NOISE_LEVELS
        return cv2.addWeighted(image, 1.0, grain, gain, -128 * gain)


@lru_cache(maxsize=2)
def _sensor_noise(size: tuple[int, int]) -> np.ndarray:
    """Return normal noise around 128, uint8, a little larger than a frame of ``size``."""
    shape = (size[0] + _NOISE_MARGIN, size[1] + _NOISE_MARGIN, 3)
    levels = np.random.default_rng(480).standard_normal(shape, dtype=np.float32)
    noise = np.clip(np.round(levels * _NOISE_LEVELS + 128), 0, 255).astype(np.uint8)
    noise.setflags(write=False)
    return noise

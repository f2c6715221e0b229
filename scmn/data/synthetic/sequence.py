"""One synthetic sequence: a pure function of settings, seed and number, at any frame."""

from __future__ import annotations

import zlib
from collections.abc import Collection, Iterator
from functools import cached_property, lru_cache

import cv2
import numpy as np

from scmn.data.masks import keep_objects, object_ids
from scmn.data.sequences import Frame
from scmn.data.synthetic.challenges import find_challenges
from scmn.data.synthetic.composition import Composition, compose
from scmn.data.synthetic.settings import SyntheticSettings
from scmn.errors import InputError

_NOISE_LEVELS = 24.0  # standard deviation of the stored sensor noise, grey levels
_NOISE_MARGIN = 64


class SyntheticSequence:
    """A video of moving things with exact label maps; frames in any order, equal every time.

    It is the video that ``settings``, ``seed`` and ``number`` name, whatever was drawn before it
    and in whichever process; other versions of NumPy or OpenCV may round a few pixels otherwise.
    Ids are 1..N; objects that enter late have the highest. It can stand where a ``FrameSource`` is
    asked for: each object's mask is given in the frame where it is first seen.

    The scene is drawn when the first frame is asked for, which takes as long as several frames.

    Raises InputError for a negative seed or number, or if the objects cannot all be placed.
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
    def _composition(self) -> Composition:
        return compose(self.settings, self._stream)

    def _stream(self, part: str, place: int = 0) -> np.random.Generator:
        """Return the random numbers of one part of the scene; no part disturbs another."""
        return np.random.default_rng([self.seed, self.number, zlib.crc32(part.encode()), place])

    @property
    def object_ids(self) -> tuple[int, ...]:
        """The ids of the labelled objects, 1..N."""
        cast = self._composition.cast
        return tuple(member.object_id for member in cast if member.role == "object")

    @property
    def look_alikes(self) -> tuple[tuple[int, int], ...]:
        """Pairs of an object id and the id of what looks like it (0: an unlabelled distractor)."""
        cast = self._composition.cast
        return tuple(
            (cast[member.look_alike_of].object_id, member.object_id)
            for member in cast
            if member.look_alike_of is not None
        )

    @cached_property
    def challenges(self) -> tuple[str, ...]:
        """Names of the sequence's difficulties, as ``find_challenges`` measures them."""
        return find_challenges(self._composition)

    def frame(self, index: int, *, hidden: Collection[int] = ()) -> tuple[np.ndarray, np.ndarray]:
        """Return image, uint8 (H, W, 3) RGB, and label map, uint8 (H, W), of one frame.

        ``hidden`` leaves objects out of the scene: what is behind them is seen.
        IndexError for a frame that the sequence does not have.
        """
        self._check(index)
        image, labels = self._composition.scene.render(index, hidden=hidden)
        return self._with_sensor_noise(image, index), labels

    def image(self, index: int) -> np.ndarray:
        """Return one frame, uint8 (H, W, 3) RGB."""
        return self.frame(index)[0]

    def annotation(self, index: int) -> np.ndarray:
        """Return one label map, uint8 (H, W), without the cost of the image."""
        self._check(index)
        return self._composition.scene.labels(index, self.settings.size)

    def whole_object(self, index: int, object_id: int) -> np.ndarray:
        """Return the mask of an object as if nothing were in front of it, bool (H, W)."""
        self._check(index)
        mask = np.zeros(self.settings.size, bool)
        for thing, footprint in self._composition.scene.footprints(index, self.settings.size):
            if thing.object_id == object_id:
                mask[footprint.rows, footprint.columns] = footprint.support
        return mask

    def frames(self) -> Iterator[Frame]:
        """Yield the frames in time order; an object is given in the first that shows it."""
        given: set[int] = set()
        for index in range(len(self)):
            image, labels = self.frame(index)
            new = [object_id for object_id in object_ids(labels) if object_id not in given]
            given.update(new)
            yield Frame(index, f"{index:05d}", image, keep_objects(labels, new) if new else None)

    def is_written(self, frame_name: str) -> bool:
        """Every frame's mask is written."""
        return True

    def _check(self, index: int) -> None:
        if not 0 <= index < len(self):
            raise IndexError(f"{self.name} has frames 0..{len(self) - 1}, not {index}")

    def _with_sensor_noise(self, image: np.ndarray, index: int) -> np.ndarray:
        if not self.settings.sensor_noise:
            return image
        height, width = image.shape[:2]
        top, left = self._stream("sensor", index).integers(0, _NOISE_MARGIN, 2)
        grain = _sensor_noise((height, width))[top : top + height, left : left + width]
        gain = self.settings.sensor_noise / _NOISE_LEVELS
        return cv2.addWeighted(image, 1.0, grain, gain, -128 * gain)


@lru_cache(maxsize=2)
def _sensor_noise(size: tuple[int, int]) -> np.ndarray:
    """Return normal noise about 128, uint8, a little larger than a frame of ``size``."""
    shape = (size[0] + _NOISE_MARGIN, size[1] + _NOISE_MARGIN, 3)
    levels = np.random.default_rng(480).standard_normal(shape, dtype=np.float32)
    noise = np.clip(np.round(levels * _NOISE_LEVELS + 128), 0, 255).astype(np.uint8)
    noise.setflags(write=False)
    return noise

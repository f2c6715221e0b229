"""Training clips of synthetic videos, which are rendered in memory."""

from __future__ import annotations

from collections import OrderedDict

import numpy as np

from scmn.data.clips.clip import ClipSettings, DrawnClip
from scmn.data.clips.curriculum import SkipCurriculum
from scmn.data.clips.video_clips import VideoAugmentation, VideoClips
from scmn.data.synthetic import SyntheticSequence, SyntheticSettings

KEPT_SCENES = 16
_ENDLESS = 2**31


class SyntheticClips:
    """Draws clips of the synthetic sequences ``0..scenes - 1`` of a seed, or of endless new ones.

    Composing a scene takes as long as rendering ten of its frames, so each process keeps the
    last ``KEPT_SCENES``.
    """

    def __init__(
        self,
        synthetic: SyntheticSettings,
        *,
        seed: int,
        scenes: int,
        settings: ClipSettings,
        endless: bool = False,
        augmentation: VideoAugmentation | None = None,
        curriculum: SkipCurriculum | None = None,
    ) -> None:
        """``scenes`` is the number of clips in a pass over the data. With ``endless`` each clip
        shows a new scene; otherwise every pass shows the same scenes."""
        self.name = "synthetic"
        self.settings = settings
        self._synthetic = synthetic
        self._seed = seed
        self._scenes = scenes
        self._endless = endless
        self._kept: OrderedDict[int, SyntheticSequence] = OrderedDict()
        self._clips = VideoClips(
            [self._sequence(0)],
            name=self.name,
            settings=settings,
            augmentation=augmentation,
            curriculum=curriculum,
        )

    def __len__(self) -> int:
        return self._scenes

    def draw(self, index: int, *, rng: np.random.Generator, progress: float) -> DrawnClip:
        """Draw a clip of scene ``index``, or of a new scene."""
        number = int(rng.integers(_ENDLESS)) if self._endless else index
        return self._clips.draw_from(self._sequence(number), rng=rng, progress=progress)

    def _sequence(self, number: int) -> SyntheticSequence:
        sequence = self._kept.pop(number, None)
        if sequence is None:
            sequence = SyntheticSequence(self._synthetic, self._seed, number)
        self._kept[number] = sequence
        if len(self._kept) > KEPT_SCENES:
            self._kept.popitem(last=False)
        return sequence

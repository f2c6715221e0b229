"""Training clips of synthetic videos, which are rendered in memory."""

from __future__ import annotations

import numpy as np

from scmn.data.clips.clip import ClipSettings, DrawnClip
from scmn.data.clips.curriculum import SkipCurriculum
from scmn.data.clips.video_clips import VideoAugmentation, VideoClips
from scmn.data.synthetic import SyntheticSequence, SyntheticSettings

_ENDLESS = 2**31


class SyntheticClips:
    """Draws clips of the synthetic sequences ``0..scenes - 1`` of a seed, or endless new ones."""

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
        return SyntheticSequence(self._synthetic, self._seed, number)

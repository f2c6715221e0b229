"""BL30K on disk: 30 000 rendered videos for training, every frame annotated.

Cheng et al., "Modular Interactive Video Object Segmentation" (CVPR 2021), section 4.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np

from scmn.data.images import list_images, read_image
from scmn.data.layout import require_folder, select_sequences, subfolders
from scmn.data.masks import read_label_map
from scmn.errors import InputError

LAYOUT = "BL30K: JPEGImages/<video>/00000.jpg and Annotations/<video>/00000.png for every frame"


@dataclass(frozen=True)
class Bl30kVideo:
    """A video whose files are listed when it is drawn.

    Five million paths would fill gigabytes of memory in every worker.
    """

    name: str
    frames_folder: Path
    masks_folder: Path

    def __len__(self) -> int:
        return len(self._frames())

    def image(self, index: int) -> np.ndarray:
        """Return frame ``index`` as uint8 (H, W, 3) RGB; InputError if it cannot be read."""
        return read_image(self._frames()[index])

    def annotation(self, index: int) -> np.ndarray:
        """Return the label map of frame ``index``, uint8 (H, W); InputError as ``image``."""
        return read_label_map(self.masks_folder / f"{self._frames()[index].stem}.png")

    def _frames(self) -> tuple[Path, ...]:
        return _listed(self.frames_folder)


_listed = lru_cache(maxsize=4)(list_images)


def bl30k_videos(root: Path) -> tuple[Bl30kVideo, ...]:
    """Return the videos in ``root``, which contains JPEGImages and Annotations.

    Raises:
        InputError: a folder is missing.
    """
    frames, masks = root / "JPEGImages", root / "Annotations"
    for folder in (frames, masks):
        require_folder(folder, LAYOUT)
    names = select_sequences(subfolders(frames), None, frames)
    without = sorted(set(names).difference(subfolders(masks)))
    if without:
        raise InputError(
            f"{masks} has no folder '{without[0]}' ({len(without)} are missing); expected {LAYOUT}"
        )
    return tuple(Bl30kVideo(name, frames / name, masks / name) for name in names)

"""Make the pictures in the documentation: synthetic sequences segmented with the bundled weights.

"readme" shows typical sequences, "failures" (model card) confusions among look-alikes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from scmn import VideoSegmenter, build_model
from scmn.cli import ArgumentParser, run_program
from scmn.data.synthetic import SyntheticSequence, SyntheticSettings
from scmn.visualization import contact_sheet, overlay


@dataclass(frozen=True)
class Picture:
    """One row per sequence, one column per frame shown."""

    file: str
    settings: SyntheticSettings
    seed: int
    numbers: Sequence[int]
    shown: Sequence[int]


SIZE = (360, 640)
LOOK_ALIKES = SyntheticSettings(
    size=SIZE,
    frames=24,
    objects=(1, 2),
    distractors=(1, 2),
    look_alikes=1.0,
    minimum_area=0.05,
)
PICTURES = {
    # The weights were trained on the first 200 sequences of seed 0.
    "readme": Picture("synthetic.jpg", SyntheticSettings(SIZE), 1, (3, 8, 11), (0, 10, 20, 30)),
    "failures": Picture("failures.jpg", LOOK_ALIKES, 0, (2004, 2008, 2014), (0, 7, 15, 23)),
}


def main() -> None:
    parser = ArgumentParser.of_program(__doc__ or "")
    parser.add_argument("picture", choices=list(PICTURES))
    parser.add_argument(
        "--output", type=Path, default=Path("docs/images"), help="folder (%(default)s)"
    )
    given = parser.parse_args()
    picture = PICTURES[given.picture]
    segmenter = VideoSegmenter(build_model("scmn_small", weights="default"))
    overlays = []
    for number in picture.numbers:
        sequence = SyntheticSequence(picture.settings, picture.seed, number)
        images = [sequence.image(time) for time in range(picture.shown[-1] + 1)]
        for time, prediction in enumerate(segmenter.run(images, sequence.annotation(0))):
            if time in picture.shown:
                seen = Image.fromarray(overlay(images[time], prediction.labels))
                overlays.append(np.asarray(seen.resize((320, 180), Image.Resampling.LANCZOS)))
    sheet = contact_sheet(overlays, columns=len(picture.shown))
    Image.fromarray(sheet).save(given.output / picture.file, quality=85)


if __name__ == "__main__":
    run_program(main)

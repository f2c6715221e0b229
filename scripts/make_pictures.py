"""Make the pictures in the documentation: videos segmented with the bundled weights.

"clip" (README) animates the example clip; "failures" (model card) shows confusions among synthetic
look-alikes, one row per sequence and one column per frame shown.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image

from scmn import VideoFile, VideoSegmenter, build_model
from scmn.data.synthetic import SyntheticSequence, SyntheticSettings
from scmn.program import ArgumentParser, run_program
from scmn.visualization import contact_sheet, overlay

EXAMPLES = Path(__file__).resolve().parents[1] / "examples"
ANIMATION_STEP = 2
ANIMATION_SIZE = (480, 270)
LOOK_ALIKES = SyntheticSettings(
    size=(360, 640),
    frames=24,
    objects=(1, 2),
    distractors=(1, 2),
    look_alikes=1.0,
    minimum_area=0.05,
)
LOOK_ALIKE_NUMBERS = (2004, 2008, 2014)  # the weights were trained on the first 200 of this seed
SHEET_FRAMES = (0, 7, 15, 23)
SHEET_SIZE = (320, 180)


def main() -> None:
    parser = ArgumentParser.of_program(__doc__ or "")
    parser.add_argument("picture", choices=["clip", "failures"])
    parser.add_argument(
        "--output", type=Path, default=Path("docs/images"), help="folder (%(default)s)"
    )
    given = parser.parse_args()
    segmenter = VideoSegmenter(build_model("scmn_small", weights="default"))
    if given.picture == "clip":
        animate_clip(segmenter, given.output / "bunny.webp")
    else:
        draw_failures(segmenter, given.output / "failures.jpg")


def animate_clip(segmenter: VideoSegmenter, file: Path) -> None:
    """Write the example clip with its masks as an animation."""
    clip = VideoFile(EXAMPLES / "bunny.mp4", EXAMPLES / "bunny.png")
    overlays = []
    for time, frame in enumerate(clip.frames()):
        prediction = segmenter.step(frame.image, frame.labels)
        if time % ANIMATION_STEP == 0:
            overlays.append(_picture(frame.image, prediction.labels, ANIMATION_SIZE))
    duration = round(1000 * ANIMATION_STEP / clip.frame_rate)
    first, *others = overlays
    first.save(
        file, save_all=True, append_images=others, duration=duration, loop=0, quality=60, method=6
    )


def draw_failures(segmenter: VideoSegmenter, file: Path) -> None:
    """Write a contact sheet of synthetic look-alikes."""
    overlays = []
    for number in LOOK_ALIKE_NUMBERS:
        sequence = SyntheticSequence(LOOK_ALIKES, 0, number)
        images = [sequence.image(time) for time in range(SHEET_FRAMES[-1] + 1)]
        for time, prediction in enumerate(segmenter.run(images, sequence.annotation(0))):
            if time in SHEET_FRAMES:
                overlays.append(np.asarray(_picture(images[time], prediction.labels, SHEET_SIZE)))
    sheet = contact_sheet(overlays, columns=len(SHEET_FRAMES))
    Image.fromarray(sheet).save(file, quality=85)


def _picture(image: np.ndarray, labels: np.ndarray, size: tuple[int, int]) -> Image.Image:
    return Image.fromarray(overlay(image, labels)).resize(size, Image.Resampling.LANCZOS)


if __name__ == "__main__":
    run_program(main)

"""Make the README's picture: what the weights that come with the package segment."""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
from PIL import Image

from scmn import VideoSegmenter, build_model
from scmn.data.synthetic import SyntheticSequence, SyntheticSettings
from scmn.programs import run_program
from scmn.visualization import contact_sheet, overlay

SEED = 1  # the weights were trained on sequences of seed 0
SEQUENCES = (3, 8, 11)
FRAMES = 31
SHOWN = (0, 10, 20, 30)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("output", type=Path, nargs="?", default=Path("docs/images/synthetic.jpg"))
    output: Path = parser.parse_args().output
    settings = SyntheticSettings(size=(360, 640))
    segmenter = VideoSegmenter(build_model("scmn_small", weights="default"))
    pictures = []
    for number in SEQUENCES:
        sequence = SyntheticSequence(settings, SEED, number)
        images = [sequence.image(time) for time in range(FRAMES)]
        predictions = segmenter.run(images, sequence.annotation(0))
        for time, prediction in enumerate(predictions):
            if time in SHOWN:
                picture = Image.fromarray(overlay(images[time], prediction.labels))
                pictures.append(picture.resize((320, 180), Image.Resampling.LANCZOS))
    sheet = contact_sheet([np.asarray(picture) for picture in pictures], columns=len(SHOWN))
    Image.fromarray(sheet).save(output, quality=85)


if __name__ == "__main__":
    run_program(main)

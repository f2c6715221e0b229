"""Make the README's picture: synthetic sequences under their exact masks."""

from __future__ import annotations

import argparse
from pathlib import Path

from PIL import Image

from scmn.data.synthetic import SyntheticSequence, SyntheticSettings
from scmn.programs import run_program
from scmn.visualization import contact_sheet, overlay

SEQUENCES = (3, 8, 11)
TIMES = (0, 10, 20, 30)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("output", type=Path, nargs="?", default=Path("docs/images/synthetic.jpg"))
    output: Path = parser.parse_args().output
    settings = SyntheticSettings(size=(180, 320))
    pictures = [
        overlay(*SyntheticSequence(settings, 0, number).frame(time))
        for number in SEQUENCES
        for time in TIMES
    ]
    Image.fromarray(contact_sheet(pictures, columns=len(TIMES))).save(output, quality=85)


if __name__ == "__main__":
    run_program(main)

#!/usr/bin/env python
"""Write synthetic sequences with exact masks as a DAVIS 2017 tree.

    python scripts/make_synthetic_davis.py OUT --sequences 20 --size 480x854

The same arguments give the same files; run the same command again to add missing ones.
"""

from __future__ import annotations

import argparse
import re
from pathlib import Path

from sizes import parse_size
from tqdm import tqdm

from scmn.data.synthetic import SyntheticSettings, write_davis
from scmn.program import ArgumentParser, run_program


def _range(text: str) -> tuple[int, int]:
    match = re.fullmatch(r"(\d+)(?:-(\d+))?", text)
    if match is None:
        raise argparse.ArgumentTypeError(f"'{text}' is not a number or a range like 1-4")
    return int(match[1]), int(match[2] or match[1])


def _parser() -> ArgumentParser:
    default = SyntheticSettings()
    parser = ArgumentParser.of_program(__doc__ or "")
    add = parser.add_argument
    add("out", type=Path, metavar="OUT", help="a new folder, or one written by this script")
    add("--sequences", type=int, default=20, help="number of sequences (%(default)s)")
    add("--first-number", type=int, default=0, help="number of the first sequence (%(default)s)")
    add("--seed", type=int, default=0, help="(%(default)s)")
    add("--split", default="val", help="split to add them to (%(default)s)")
    add("--frames", type=int, default=default.frames, help="per sequence (%(default)s)")
    add("--size", type=parse_size, default=default.size, metavar="HxW", help="pixels (480x854)")
    add("--objects", type=_range, default=default.objects, help="range of labelled objects (1-4)")
    add(
        "--distractors",
        type=_range,
        default=default.distractors,
        help="range of unlabelled objects (0-2)",
    )
    add(
        "--occluders",
        type=_range,
        default=default.occluders,
        help="range of objects in front of all others (0-2)",
    )
    for name, meaning in (
        ("look_alikes", "probability that an object looks like an earlier one"),
        ("out_of_view", "probability that an object leaves the frame and returns"),
        ("late_objects", "probability that an object appears only after frame 0"),
        ("minimum_area", "smallest area of an object in frame 0, as a fraction"),
    ):
        flag = "--" + name.replace("_", "-")
        add(flag, type=float, default=getattr(default, name), help=f"{meaning} (%(default)s)")
    add("--workers", type=int, default=1, help="processes (%(default)s); the files are the same")
    return parser


def main() -> None:
    given = _parser().parse_args()
    settings = SyntheticSettings(
        size=given.size,
        frames=given.frames,
        objects=given.objects,
        distractors=given.distractors,
        occluders=given.occluders,
        look_alikes=given.look_alikes,
        out_of_view=given.out_of_view,
        late_objects=given.late_objects,
        minimum_area=given.minimum_area,
    )
    with tqdm(total=given.sequences, unit="sequence") as bar:

        def advance(_name: str) -> None:
            bar.update()

        write_davis(
            given.out,
            sequences=given.sequences,
            seed=given.seed,
            settings=settings,
            split=given.split,
            first_number=given.first_number,
            workers=given.workers,
            on_sequence=advance,
        )


if __name__ == "__main__":
    run_program(main)

"""Make long videos of short ones, which they play forward and back, as a DAVIS 2017 tree of links.

    python scripts/make_loop.py OUT --dataset davis2017-val --data DAVIS --sequence blackswan

OUT must be a new folder. Its frames and label maps are symbolic links to those of the data set.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TypeVar

from scmn.data.datasets import open_dataset
from scmn.data.sequences import VideoSequence
from scmn.errors import InputError
from scmn.program import ArgumentParser, run_program

T = TypeVar("T")


def main() -> None:
    parser = ArgumentParser.of_program(__doc__ or "")
    add = parser.add_argument
    add("out", type=Path, metavar="OUT", help="new folder")
    add("--dataset", required=True)
    add("--data", type=Path, required=True)
    add("--sequence", action="append", help="only this one (repeatable)")
    add("--frames", type=int, default=2000, help="per sequence (default: %(default)s)")
    given = parser.parse_args()
    if given.frames < 1:
        parser.error(f"--frames must be at least 1, not {given.frames}")
    dataset = open_dataset(given.dataset, given.data, sequences=given.sequence)
    if given.out.exists():
        raise InputError(f"{given.out} exists; choose a new folder")
    for sequence in dataset.sequences:
        link_loop(sequence, given.out, given.frames)
    split = given.out / "ImageSets/2017/val.txt"
    split.parent.mkdir(parents=True)
    split.write_text("".join(f"{sequence.name}\n" for sequence in dataset.sequences))


def link_loop(sequence: VideoSequence, root: Path, count: int) -> None:
    """Link the first ``count`` frames of a sequence that is played forward and back."""
    loop = there_and_back(range(len(sequence)))
    for number, index in enumerate(itertools.islice(loop, count)):
        files = {"JPEGImages": sequence.image_paths[index]}
        if index in sequence.annotation_paths:
            files["Annotations"] = sequence.annotation_paths[index]
        for kind, path in files.items():
            link = root / kind / "480p" / sequence.name / f"{number:05d}{path.suffix}"
            link.parent.mkdir(parents=True, exist_ok=True)
            link.symlink_to(path.resolve())


def there_and_back(frames: Sequence[T]) -> Iterator[T]:
    """Yield the frames forward, then backward, without end; none of them twice in a row."""
    return itertools.cycle([*frames, *frames[-2:0:-1]])


if __name__ == "__main__":
    run_program(main)

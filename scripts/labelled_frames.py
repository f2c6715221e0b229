#!/usr/bin/env python
"""Collect frames of a video and their masks as still images to train on.

    python scripts/labelled_frames.py my.mp4 my-masks.zip --frame 0 40 80 --output data/mine
    python scripts/labelled_frames.py frames/ masks/ --output data/mine

MASKS is a folder or a zip, such as scmn-demo's, of label PNGs named like their frames (00040.png).
Run it once for each video: it writes OUTPUT/images/<video>-00040.png and OUTPUT/masks/<the same>.
"""

from __future__ import annotations

import tempfile
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import cast

import numpy as np
from PIL import Image

from scmn.data.atomic import atomic_path
from scmn.data.images import list_images, read_image
from scmn.data.masks import write_label_map
from scmn.data.sequences import FrameSource
from scmn.errors import InputError
from scmn.evaluation.tasks import video_task
from scmn.program import ArgumentParser, run_program


def main(arguments: Sequence[str] | None = None) -> None:
    parser = ArgumentParser.of_program(__doc__ or "")
    add = parser.add_argument
    add("video", type=Path, help="video file or folder of frames")
    add("masks", type=Path, help="folder or zip of label PNGs")
    add("--frame", type=int, nargs="+", metavar="N", help="only these frames, the first is 0")
    add("--output", type=Path, required=True, help="folder for images/ and masks/")
    given = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory() as folder:
        masks = given.masks
        if masks.is_file():
            masks = _unpacked(masks, Path(folder))
        written = collect(given.video, masks, given.frame, given.output)
    print(f"wrote {len(written)} frames to {given.output}: {', '.join(written)}")


def collect(video: Path, masks: Path, frames: Sequence[int] | None, output: Path) -> list[str]:
    """Write the frames that have a mask, or only some of them; return their names.

    Raises:
        InputError: a mask is missing, has no object, or fits no frame, or a frame of this name has
            been collected from another video.
    """
    chosen = [masks]
    if frames is not None:
        chosen = [masks / f"{name}.png" for name in _names(video, frames)]
    written = []
    sources = cast(Sequence[FrameSource], video_task(video, chosen).data)
    for source in sources:
        for frame in source.frames():
            if frame.labels is None:
                continue
            name = f"{source.name}-{frame.name}"
            path = output / "images" / f"{name}.png"
            if path.exists() and not np.array_equal(read_image(path), frame.image):
                raise InputError(
                    f"{path} is of another video of this name; rename one of the two, or choose "
                    "another --output"
                )
            with atomic_path(path) as temporary:
                Image.fromarray(frame.image).save(temporary)
            write_label_map(output / "masks" / f"{name}.png", frame.labels)
            written.append(name)
    return written


def _names(video: Path, frames: Sequence[int]) -> list[str]:
    if not video.is_dir():
        return [f"{index:05d}" for index in frames]
    images = list_images(video)
    if not 0 <= min(frames) <= max(frames) < len(images):
        raise InputError(f"{video} has the frames 0 to {len(images) - 1}, not {list(frames)}")
    return [images[index].stem for index in frames]


def _unpacked(file: Path, folder: Path) -> Path:
    try:
        with zipfile.ZipFile(file) as content:
            content.extractall(folder)  # never writes outside the folder
    except (zipfile.BadZipFile, OSError, RuntimeError) as error:  # damaged, or encrypted
        raise InputError(f"{file} is neither a folder nor a zip of masks: {error}") from error
    return folder


if __name__ == "__main__":
    run_program(main)

"""Names that are not text, panoramas, and what is no file where a frame is expected."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from scmn import InputError
from scmn.data.masks import write_label_map
from scmn.data.video_writer import VideoWriter
from scmn.evaluation.tasks import video_task
from tests.evaluation.runs import masks_of, run_task

NOT_UTF8 = os.fsdecode(b"v\xff\xe9")
needs_such_names = pytest.mark.skipif(
    sys.platform in ("darwin", "win32"), reason="its file systems have no such names"
)


def write_frames(folder: Path, *, count: int = 2, size: tuple[int, int] = (48, 64)) -> Path:
    folder.mkdir(parents=True)
    for index in range(count):
        Image.fromarray(np.full((*size, 3), 40 * index, np.uint8)).save(folder / f"{index}.png")
    return folder


def write_mask(path: Path, size: tuple[int, int] = (48, 64)) -> Path:
    labels = np.zeros(size, np.uint8)
    labels[:9, :9] = 1
    write_label_map(path, labels)
    return path


@needs_such_names
@pytest.mark.parametrize("kind", ["sequence", "video"])
def test_names_need_not_be_utf8(weights: Path, tmp_path: Path, kind: str) -> None:
    source = tmp_path / NOT_UTF8
    if kind == "sequence":
        write_frames(source)
    else:
        source = source.with_suffix(".mp4")
        with VideoWriter(source, frame_rate=10) as writer:
            for _ in range(2):
                writer.write(np.zeros((48, 64, 3), np.uint8))
    mask = write_mask(tmp_path / f"{NOT_UTF8}.png")
    output = tmp_path / f"out-{NOT_UTF8}"
    run_task(video_task(source, [mask]), weights, output, exports=["overlay"])
    assert len(masks_of(output)) == 2
    assert (output / "overlays" / f"{NOT_UTF8}.mp4").is_file()
    with Image.open(output / "pictures" / f"{NOT_UTF8}.jpg") as image:
        assert image.format == "JPEG"
    assert r"v\udcff\udce9" in (output / "report.html").read_text(encoding="utf-8")


@pytest.mark.parametrize("size", [(16, 2000), (1000, 16)])
def test_a_panorama_has_a_picture(weights: Path, tmp_path: Path, size: tuple[int, int]) -> None:
    frames = write_frames(tmp_path / "frames", count=4, size=size)
    mask = write_mask(tmp_path / "mask.png", size)
    run_task(video_task(frames, [mask]), weights, tmp_path / "out", "evaluation.size=16")
    with Image.open(tmp_path / "out/pictures/frames.jpg") as image:
        image.load()
    assert "data:image/jpeg" in (tmp_path / "out/report.html").read_text(encoding="utf-8")


@pytest.mark.skipif(sys.platform == "win32", reason="POSIX pipes and devices")
@pytest.mark.parametrize("kind", ["pipe", "device", "folder"])
def test_what_is_no_file_is_refused(weights: Path, tmp_path: Path, kind: str) -> None:
    frames = write_frames(tmp_path / "frames")
    mask = write_mask(tmp_path / "mask.png")
    for place in (frames / "2.png", tmp_path / "other.png"):
        if kind == "pipe":
            os.mkfifo(place)
        elif kind == "device":
            place.symlink_to("/dev/zero")
        else:
            place.mkdir()
    with pytest.raises(InputError, match=r"image .*2\.png is not a file"):
        video_task(frames, [mask])
    (frames / "2.png").rename(tmp_path / "clip.mp4")
    if kind != "folder":  # a folder of masks is welcome
        with pytest.raises(InputError, match=r"mask .*other\.png is not a file"):
            video_task(frames, [tmp_path / "other.png"])
        with pytest.raises(InputError, match=r"video .*clip\.mp4 is not a file"):
            video_task(tmp_path / "clip.mp4", [mask])

"""Reading video files."""

from __future__ import annotations

import re
import struct
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from scmn.data.masks import object_ids
from scmn.data.video import VideoFile
from scmn.errors import InputError
from tests.data.videos import picture, write_mask, write_video


def test_video_file_reads_written_frames(tmp_path: Path) -> None:
    mask = write_mask(tmp_path / "any.png")
    video = VideoFile(write_video(tmp_path / "clip.mp4"), mask)
    assert (video.name, len(video), video.frame_rate) == ("clip", 6, Fraction(12))
    frames = list(video.frames())
    assert [frame.name for frame in frames] == [f"{index:05d}" for index in range(6)]
    for frame in frames:
        assert frame.image.dtype == np.uint8
        assert np.abs(frame.image.astype(int) - picture(frame.index)).mean() < 4
        assert video.is_written(frame.name)
    assert frames[0].labels is not None
    assert object_ids(frames[0].labels) == (3,)
    assert all(frame.labels is None for frame in frames[1:])
    assert [frame.index for frame in video.frames()] == list(range(6))  # a second time


def test_video_file_places_masks_by_name(tmp_path: Path) -> None:
    masks = [write_mask(tmp_path / f"{name}.png") for name in ("00004", "00001")]
    video = VideoFile(write_video(tmp_path / "clip.mp4"), masks)
    given = [frame.index for frame in video.frames() if frame.labels is not None]
    assert given == [1, 4]
    masks.append(write_mask(tmp_path / "00006.png"))
    with pytest.raises(InputError, match=r"00006\.png matches no frame"):
        VideoFile(video.path, masks)


def test_video_file_counts_frames_if_the_container_does_not(tmp_path: Path) -> None:
    path = tmp_path / "clip.mkv"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=10)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        for index in range(7):
            frame = av.VideoFrame.from_ndarray(picture(index), format="rgb24")
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    with av.open(str(path)) as container:
        assert container.streams.video[0].frames == 0
    video = VideoFile(path, write_mask(tmp_path / "m.png"))
    assert len(video) == len(list(video.frames())) == 7


def set_display_matrix(path: Path, numbers: Sequence[int]) -> None:
    """Replace the first two columns of the matrix, x_x, x_y, y_x, y_y, in an MP4's track header."""
    content = bytearray(path.read_bytes())
    matrix = content.index(b"tkhd") + 44
    x_x, x_y, y_x, y_y = (number << 16 for number in numbers)
    content[matrix : matrix + 36] = struct.pack(">9i", x_x, x_y, 0, y_x, y_y, 0, 0, 0, 1 << 30)
    path.write_bytes(content)


TURNED = {
    "as it is": ((1, 0, 0, 1), lambda image: image),
    "left": ((0, -1, 1, 0), lambda image: np.rot90(image)),  # counterclockwise
    "half": ((-1, 0, 0, -1), lambda image: np.rot90(image, 2)),
    "right": ((0, 1, -1, 0), lambda image: np.rot90(image, 3)),
    "mirrored": ((-1, 0, 0, 1), lambda image: image[:, ::-1]),
    "upside down": ((1, 0, 0, -1), lambda image: image[::-1]),
    "transposed": ((0, 1, 1, 0), lambda image: image.swapaxes(0, 1)),
    "other diagonal": ((0, -1, -1, 0), lambda image: image.swapaxes(0, 1)[::-1, ::-1]),
}


@pytest.mark.parametrize("name", TURNED)
def test_video_file_is_turned_and_mirrored_by_its_display_matrix(tmp_path: Path, name: str) -> None:
    matrix, turn = TURNED[name]
    path = write_video(tmp_path / "phone.mp4", count=1)
    set_display_matrix(path, matrix)
    expected = turn(picture(0)).astype(int)
    (frame,) = VideoFile(path, write_mask(tmp_path / "m.png", expected.shape[:2])).frames()
    assert frame.image.shape == expected.shape
    assert np.abs(frame.image - expected).mean() < 4


def test_video_file_refuses_a_mask_of_another_size(tmp_path: Path) -> None:
    video = VideoFile(write_video(tmp_path / "c.mp4"), write_mask(tmp_path / "m.png", (48, 62)))
    with pytest.raises(InputError, match=r"m\.png is 62x48 pixels but its frame is 64x48"):
        next(video.frames())


def test_video_file_refuses_missing_and_other_files(tmp_path: Path) -> None:
    mask = write_mask(tmp_path / "m.png")
    with pytest.raises(InputError, match=r"none\.mp4 does not exist"):
        VideoFile(tmp_path / "none.mp4", mask)
    for content in (b"", b"not a video at all" * 50):
        (tmp_path / "bad.mp4").write_bytes(content)
        with pytest.raises(InputError, match=r"bad\.mp4 cannot be opened as a video"):
            VideoFile(tmp_path / "bad.mp4", mask)


def test_video_file_refuses_audio(tmp_path: Path) -> None:
    path = tmp_path / "sound.wav"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("pcm_s16le", rate=8000, layout="mono")
        sound = av.AudioFrame.from_ndarray(np.zeros((1, 800), np.int16), "s16", layout="mono")
        sound.sample_rate = 8000
        container.mux(stream.encode(sound))
        container.mux(stream.encode(None))
    with pytest.raises(InputError, match=r"sound\.wav has no video stream"):
        VideoFile(path, write_mask(tmp_path / "m.png"))


def test_video_file_names_the_frame_that_cannot_be_decoded(tmp_path: Path) -> None:
    path = write_video(tmp_path / "clip.mp4")
    content = bytearray(path.read_bytes())
    payload = content.index(b"mdat") + 4
    content[payload:] = bytes(len(content) - payload)
    path.write_bytes(content)
    video = VideoFile(path, write_mask(tmp_path / "m.png"))
    with pytest.raises(InputError, match=r"clip\.mp4 cannot be decoded at frame 0: Invalid data"):
        list(video.frames())


@pytest.mark.parametrize(
    ("name", "codec", "warning"),
    [
        ("clip.mkv", "libx264", "ends .* s early, after {} frames"),
        ("clip.webm", "libvpx", "ends .* s early, after {} frames"),
        ("clip.avi", "mpeg4", "announces 40 frames but ends after {}"),
        ("clip.ts", "libx264", "cut off: of {} frames 1 are incomplete"),
        ("clip.h264", "libx264", "cut off: of {} frames 1 are incomplete"),
    ],
)
def test_video_file_warns_if_it_is_cut_off(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, name: str, codec: str, warning: str
) -> None:
    path = tmp_path / name
    noise = np.random.default_rng(0)
    reproducible = {"mbtree": "0"} if codec == "libx264" else {}  # as in VideoWriter
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=10, options=reproducible)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        for _ in range(40):
            image = noise.integers(0, 255, (48, 64, 3), dtype=np.uint8)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(image, format="rgb24")))
        container.mux(stream.encode(None))
    assert len(list(VideoFile(path).frames())) == 40
    assert not caplog.records
    path.write_bytes(path.read_bytes()[: path.stat().st_size * 6 // 10])
    count = len(list(VideoFile(path).frames()))
    assert 10 < count < 30
    assert re.search(warning.format(count), caplog.text)


def test_video_file_warns_if_frames_are_missing(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = write_video(tmp_path / "clip.mp4", count=12)
    content = path.read_bytes()
    payload = content.index(b"mdat")
    path.write_bytes(content[: payload + (len(content) - payload) * 9 // 10])
    video = VideoFile(path, write_mask(tmp_path / "m.png"))
    count = len(list(video.frames()))
    assert 0 < count < 12
    assert f"announces 12 frames but ends after {count}" in caplog.text

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from PIL import Image

from scmn import InputError, VideoFile
from scmn.data.video_writer import VideoWriter
from scmn.demo.footage import Limits, Upload, import_footage, sample_footage
from tests.demo.projects import sequence, write_video


def test_video_gives_the_frames_that_video_file_decodes(tmp_path: Path) -> None:
    path = write_video(tmp_path / "upload")
    footage = import_footage([Upload(path, "my clip.mp4")], tmp_path / "frames", Limits())
    assert (footage.name, len(footage), footage.size) == ("my clip", 8, (96, 160))
    assert footage.frame_rate == 24
    for frame in VideoFile(path, name="clip").frames():
        np.testing.assert_array_equal(footage.image(frame.index), frame.image)


def test_images_are_ordered_by_the_users_names(tmp_path: Path) -> None:
    uploads = []
    for name, grey in (("f10.png", 10), ("f9.png", 9), ("f11.png", 11)):
        path = tmp_path / f"upload-{grey}"
        Image.new("RGB", (16, 8), (grey, grey, grey)).save(path, "PNG")
        uploads.append(Upload(path, name))
    footage = import_footage(uploads, tmp_path / "frames", Limits())
    assert [footage.image(index)[0, 0, 0] for index in range(3)] == [9, 10, 11]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"hello", "'my.mp4' is neither a video"),
        (b"", "'my.mp4' is neither a video"),
        (b"#EXTM3U\n#EXTINF:1,\nfile:///etc/hostname\n", "'my.mp4' is neither a video"),
        (b"ffconcat version 1.0\nfile /etc/hostname\n", "'my.mp4' is neither a video"),
        (b"\x00\x00\x00\x18ftypmp42 and no more", "'my.mp4' cannot be opened as a video"),
        (b"\x00\x00\x00\x18free<MPD profiles='dash:profile:isoff-live:2011'>", "'my.mp4'"),
    ],
)
def test_what_is_no_video_is_refused_in_the_users_words(
    tmp_path: Path, content: bytes, message: str
) -> None:
    path = tmp_path / "upload"
    path.write_bytes(content)
    with pytest.raises(InputError, match=message) as caught:
        import_footage([Upload(path, "my.mp4")], tmp_path / "frames", Limits())
    assert str(tmp_path) not in str(caught.value)


@pytest.mark.parametrize(
    ("limits", "message"),
    [(Limits(frames=5), "too long: at most 5 frames"), (Limits(pixels=1000), "too large: 160x96")],
)
def test_limits_are_kept(tmp_path: Path, limits: Limits, message: str) -> None:
    video = Upload(write_video(tmp_path / "upload"), "clip.mp4")
    with pytest.raises(InputError, match=message):
        import_footage([video], tmp_path / "frames", limits)


def test_images_of_different_sizes_are_refused(tmp_path: Path) -> None:
    uploads = []
    for width in (8, 16):
        path = tmp_path / f"upload-{width}"
        Image.new("RGB", (width, 8)).save(path, "PNG")
        uploads.append(Upload(path, f"{width}.png"))
    with pytest.raises(InputError, match="16x8 after 8x8"):
        import_footage(uploads, tmp_path / "frames", Limits())


def test_sample_needs_no_download(tmp_path: Path) -> None:
    footage = sample_footage(tmp_path / "frames")
    assert (len(footage), footage.size) == (40, (240, 428))
    assert footage.image(39).std() > 10


@pytest.mark.parametrize(
    ("suffix", "codec"), [(".mov", "h264"), (".webm", "vp9"), (".avi", "mjpeg")]
)
def test_usual_formats_are_read(tmp_path: Path, suffix: str, codec: str) -> None:
    path = tmp_path / f"clip{suffix}"
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=24)
        stream.width, stream.height = 160, 96
        stream.pix_fmt = "yuvj420p" if codec == "mjpeg" else "yuv420p"
        for index in range(3):
            frame = av.VideoFrame.from_ndarray(sequence().image(index), format="rgb24")
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    upload = Upload(path.rename(tmp_path / "upload"), f"clip{suffix}")
    footage = import_footage([upload], tmp_path / "frames", Limits())
    assert (len(footage), footage.size) == (3, (96, 160))


def test_times_of_a_variable_rate_are_kept(tmp_path: Path) -> None:
    times = [Fraction(0), Fraction(1, 10), Fraction(3), Fraction(4)]
    with VideoWriter(tmp_path / "clip.mp4", frame_rate=24, duration=Fraction(5)) as writer:
        for index, time in enumerate(times):
            writer.write(sequence().image(index), time)
    upload = Upload(tmp_path / "clip.mp4", "clip.mp4")
    footage = import_footage([upload], tmp_path / "frames", Limits())
    assert footage.times == times
    assert footage.duration == 5


def test_several_videos_are_refused(tmp_path: Path) -> None:
    path = write_video(tmp_path / "upload")
    uploads = [Upload(path, "a.mp4"), Upload(path, "b.mp4")]
    with pytest.raises(InputError, match="upload one video, or images"):
        import_footage(uploads, tmp_path / "frames", Limits())


@pytest.mark.parametrize("kind", ["GIF", "PNG", "WEBP"])
def test_animated_images_are_refused(tmp_path: Path, kind: str) -> None:
    frames = [Image.fromarray(sequence().image(index)) for index in range(3)]
    path = tmp_path / "upload"
    frames[0].save(path, kind, save_all=True, append_images=frames[1:])
    with pytest.raises(InputError, match="'a' is an animated image: convert it"):
        import_footage([Upload(path, "a")], tmp_path / "frames", Limits())

"""Reading and writing video files."""

from __future__ import annotations

import re
import struct
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from scmn.data.masks import object_ids, write_label_map
from scmn.data.video import VideoFile
from scmn.data.video_writer import VideoWriter
from scmn.errors import InputError


def picture(index: int, height: int = 48, width: int = 64) -> np.ndarray:
    """Return a picture that encodes its index and survives compression."""
    image = np.full((height, width, 3), 40, dtype=np.uint8)
    image[: height // 2, : width // 2] = (200, 20 + 20 * index, 60)
    return image


def write_video(path: Path, count: int = 6, size: tuple[int, int] = (48, 64)) -> Path:
    with VideoWriter(path, frame_rate=12, quality=5) as writer:
        for index in range(count):
            writer.write(picture(index, *size))
    return path


def write_mask(path: Path, size: tuple[int, int] = (48, 64)) -> Path:
    labels = np.zeros(size, dtype=np.uint8)
    labels[:4, :4] = 3
    write_label_map(path, labels)
    return path


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


def test_video_writer_gives_the_same_bytes_for_the_same_frames(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    frames = rng.integers(0, 255, (12, 201, 151, 3), dtype=np.uint8)
    written = set()
    for index in range(3):
        path = tmp_path / f"{index}.mp4"
        with VideoWriter(path, frame_rate=12) as writer:
            for frame in frames:
                writer.write(frame)
        written.add(path.read_bytes())
    (content,) = written
    assert b" threads=4 " in content  # on any machine
    assert b" sliced_threads=0 " in content  # slices of a frame differ now and then


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
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=10)
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


@pytest.mark.parametrize("size", [(47, 63), (48, 63), (47, 64)])
def test_video_writer_pads_odd_sizes(tmp_path: Path, size: tuple[int, int]) -> None:
    path = write_video(tmp_path / "odd.mp4", count=2, size=size)
    frame = next(VideoFile(path, write_mask(tmp_path / "m.png")).frames())
    assert frame.image.shape == (48, 64, 3)
    assert np.abs(frame.image[: size[0], : size[1]].astype(int) - picture(0, *size)).mean() < 4


def test_video_writer_output_plays_in_a_browser(tmp_path: Path) -> None:
    path = tmp_path / "new folder" / "clip.mp4"
    with VideoWriter(path, frame_rate=Fraction(30000, 1001)) as writer:
        writer.write(picture(0))
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        assert (stream.codec_context.name, stream.codec_context.pix_fmt) == ("h264", "yuv420p")
        assert stream.average_rate == Fraction(30000, 1001)
    content = path.read_bytes()
    assert content.index(b"moov") < content.index(b"mdat")  # playback starts while loading


def write_variable_rate(path: Path, times: Sequence[Fraction], duration: Fraction) -> None:
    """Write a clip without the package's writer; the last frame lasts until ``duration``."""
    tick = Fraction(1, 600)
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=12, options={"bf": "0"})
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        stream.codec_context.time_base = tick
        packets = []
        for index, time in enumerate(times):
            frame = av.VideoFrame.from_ndarray(picture(index), format="rgb24")
            frame.pts, frame.time_base = round(time / tick), tick
            packets += stream.encode(frame)
        packets += stream.encode(None)
        packets[-1].duration = round((duration - times[-1]) / tick)
        container.mux(packets)


def times_and_duration(path: Path) -> tuple[list[float], float]:
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        times = [float(frame.pts * frame.time_base) for frame in container.decode(stream)]
        return times, float(stream.duration * stream.time_base)


def test_video_writer_keeps_the_times_of_a_variable_rate(tmp_path: Path) -> None:
    times = [Fraction(tenths, 10) for tenths in (0, 1, 2, 10, 12, 40, 47)]
    write_variable_rate(tmp_path / "in.mp4", times, Fraction(5))
    video = VideoFile(tmp_path / "in.mp4", write_mask(tmp_path / "m.png"))
    assert video.duration == 5
    frames = list(video.frames())
    assert [frame.time for frame in frames] == times
    with VideoWriter(
        tmp_path / "out.mp4", frame_rate=video.frame_rate, duration=video.duration
    ) as writer:
        for frame in frames:
            writer.write(frame.image, frame.time)
    written, duration = times_and_duration(tmp_path / "out.mp4")
    assert written == pytest.approx([float(time) for time in times], abs=1e-4)
    assert duration == pytest.approx(5, abs=1e-3)


def test_video_writer_without_a_duration_shows_the_last_frame_at_the_rate(tmp_path: Path) -> None:
    with VideoWriter(tmp_path / "clip.mp4", frame_rate=10) as writer:
        for index, time in enumerate((0, 0, 1)):  # the time of a damaged file is repeated
            writer.write(picture(index), Fraction(time))
    times, duration = times_and_duration(tmp_path / "clip.mp4")
    assert times == pytest.approx([0, 0, 1], abs=1e-4)
    assert duration == pytest.approx(1.1, abs=1e-3)


def test_video_writer_is_atomic(tmp_path: Path) -> None:
    path = tmp_path / "clip.mp4"
    with VideoWriter(path, frame_rate=10) as writer:
        writer.write(picture(0))
        assert not path.exists()
    before = path.read_bytes()

    def write_and_fail() -> None:
        with VideoWriter(path, frame_rate=10) as writer:
            writer.write(picture(1))
            raise OSError("elsewhere")

    with pytest.raises(OSError, match="elsewhere"):
        write_and_fail()
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


def test_video_writer_refuses_no_frames_and_changing_sizes(tmp_path: Path) -> None:
    with (
        pytest.raises(InputError, match="the video has no frame"),
        VideoWriter(tmp_path / "a.mp4", frame_rate=10),
    ):
        pass
    with VideoWriter(tmp_path / "b.mp4", frame_rate=10) as writer:
        writer.write(picture(0))
        with pytest.raises(ValueError, match="in a video of"):
            writer.write(picture(0, 50, 64))
    assert list(tmp_path.iterdir()) == [tmp_path / "b.mp4"]


def test_video_writer_reports_an_unwritable_path(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with (
        pytest.raises(InputError, match=r"cannot write .*clip\.mp4"),
        VideoWriter(tmp_path / "file" / "clip.mp4", frame_rate=10) as writer,
    ):
        writer.write(picture(0))

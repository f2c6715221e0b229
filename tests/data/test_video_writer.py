"""Writing video files."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from scmn.data.video import VideoFile
from scmn.data.video_writer import VideoWriter
from scmn.errors import InputError
from tests.data.videos import picture, write_mask, write_video


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
        colours = stream.codec_context
        assert (colours.colorspace, colours.color_primaries, colours.color_trc) == (6, 6, 6)
        assert colours.color_range == 1
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

"""Single videos: files and folders of frames, masks in the middle, both directions."""

from __future__ import annotations

import shutil
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from scmn import InputError, VideoSegmenter, build_model
from scmn.data.images import read_image
from scmn.data.masks import read_label_map, write_label_map
from scmn.data.video import VideoFile
from scmn.data.video_writer import VideoWriter
from scmn.evaluation.tasks import video_task
from tests.evaluation.runs import FRAMES, SIZE, masks_of, run_task


def test_overlay_of_a_video_file_shows_frames_when_the_original_does(
    weights: Path, tmp_path: Path
) -> None:
    times = [Fraction(tenths, 10) for tenths in (0, 1, 2, 25, 46)]
    labels = np.zeros(SIZE, np.uint8)
    labels[10:40, 20:60] = 1
    write_label_map(tmp_path / "mask.png", labels)
    with VideoWriter(tmp_path / "clip.mp4", frame_rate=24, duration=Fraction(5)) as writer:
        for time_shown in times:
            writer.write(np.repeat(labels[..., None] * 200, 3, axis=2), time_shown)
    task = video_task(tmp_path / "clip.mp4", [tmp_path / "mask.png"])
    run_task(task, weights, tmp_path / "out", exports=["overlay"])
    shown = VideoFile(tmp_path / "out/overlays/clip.mp4", tmp_path / "mask.png")
    assert [float(frame.time or 0) for frame in shown.frames()] == pytest.approx(times, abs=1e-3)
    assert shown.duration == pytest.approx(Fraction(5), abs=1e-3)


def test_video_task_reads_a_folder_of_frames(davis: Path, weights: Path, tmp_path: Path) -> None:
    frames = sorted((davis / "JPEGImages/480p").iterdir())[0]
    mask = davis / "Annotations/480p" / frames.name / "00000.png"
    result = run_task(video_task(frames, [mask]), weights, tmp_path)
    assert result.scores is None
    assert len(masks_of(tmp_path)) == FRAMES
    assert (tmp_path / "report.html").is_file()


def test_masks_in_the_middle_are_carried_both_ways(
    davis: Path, weights: Path, tmp_path: Path
) -> None:
    frames = sorted((davis / "JPEGImages/480p").iterdir())[0]
    given = {}
    for index in (1, FRAMES - 2):
        mask = davis / "Annotations/480p" / frames.name / f"{index:05d}.png"
        shutil.copy(mask, tmp_path)
        given[index] = read_label_map(mask)
    task = video_task(frames, [tmp_path])
    output = tmp_path / "out"
    result = run_task(task, weights, output, "evaluation.direction=both", exports=["overlay"])
    assert result.records[0].segmented_frames == result.records[0].frames == FRAMES
    images = [read_image(path) for path in sorted(frames.iterdir())]
    network = build_model("scmn", weights=weights)
    predictions = VideoSegmenter(network, size=480).run(images, given, direction="both")
    for expected, obtained in zip(predictions, masks_of(output).values(), strict=True):
        assert np.array_equal(obtained, expected.labels)
    assert (output / "overlays" / f"{frames.name}.mp4").is_file()
    with pytest.raises(InputError, match="direction: both -> forward"):
        run_task(task, weights, output)
    with pytest.raises(InputError, match="direction must be 'forward' or 'both', not 'back'"):
        run_task(task, weights, output, "evaluation.direction=back")


def test_errors_in_both_directions_name_the_sequence(
    davis: Path, weights: Path, tmp_path: Path
) -> None:
    frames = shutil.copytree(sorted((davis / "JPEGImages/480p").iterdir())[0], tmp_path / "clip")
    Image.new("RGB", (40, 30)).save(frames / "00001.jpg")
    mask = davis / "Annotations/480p" / sorted((davis / "JPEGImages/480p").iterdir())[0].name
    shutil.copy(mask / "00002.png", tmp_path / "00002.png")
    task = video_task(frames, [tmp_path / "00002.png"])
    with pytest.raises(
        InputError, match="sequence 'clip': backward from frame 2: frame 1 is 30x40"
    ):
        run_task(task, weights, tmp_path / "out", "evaluation.direction=both")


def test_video_task_reads_a_folder_of_sequences(davis: Path, weights: Path, tmp_path: Path) -> None:
    task = video_task(davis / "JPEGImages/480p", [davis / "Annotations/480p"])
    result = run_task(task, weights, tmp_path)
    assert len(result.records) == 2

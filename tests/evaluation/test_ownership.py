"""What an evaluation does not touch: files of the user, and the results of another input."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest

from scmn import InputError, VideoSegmenter
from scmn.data.datasets import open_dataset
from scmn.data.masks import write_label_map
from scmn.data.video_writer import VideoWriter
from scmn.evaluation.evaluate import rescore
from scmn.evaluation.evaluator import Evaluator
from scmn.evaluation.tasks import dataset_task, video_task
from scmn.output_lock import output_lock
from scmn.processes import Processes
from tests.conftest import build_small
from tests.evaluation.runs import SIZE, masks_of, run_task

LENGTH = 4


def write_mask(path: Path, value: int = 1, size: tuple[int, int] = SIZE) -> Path:
    labels = np.zeros(size, dtype=np.uint8)
    labels[10:30, 10 : 20 + 2 * value] = value
    write_label_map(path, labels)
    return path


def write_clip(path: Path, length: int = LENGTH) -> Path:
    path.parent.mkdir(exist_ok=True)
    with VideoWriter(path, frame_rate=10) as writer:
        for t in range(length):
            writer.write(np.full((*SIZE, 3), 20 * t + length, dtype=np.uint8))
    return path


@pytest.fixture
def clip(tmp_path: Path) -> Path:
    return write_clip(tmp_path / "a" / "clip.mp4")


@pytest.fixture
def first(tmp_path: Path) -> Path:
    return write_mask(tmp_path / "first.png")


@pytest.fixture
def output(clip: Path, first: Path, weights: Path, tmp_path: Path) -> Path:
    """The results of an evaluation."""
    run_task(video_task(clip, [first]), weights, tmp_path / "out", exports=["overlay"])
    return tmp_path / "out"


def state(folder: Path) -> dict[str, tuple[int, bytes]]:
    """Return everything that a refused run must leave as it is."""
    return {
        str(path.relative_to(folder)): (path.lstat().st_mtime_ns, path.read_bytes())
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.name != ".lock"
    }


def refuses(clip: Path, masks: list[Path], weights: Path, output: Path, message: str) -> None:
    """Check that a run ends with the message and leaves the folder as it is."""
    before = state(output)
    with pytest.raises(InputError, match=message):
        run_task(video_task(clip, masks), weights, output, exports=["overlay"])
    assert state(output) == before


def test_evaluate_refuses_a_mask_in_its_own_output(
    output: Path, clip: Path, first: Path, weights: Path, tmp_path: Path
) -> None:
    corrected = write_mask(output / "masks/clip/00002.png", 2)
    refuses(clip, [corrected], weights, output, r"00002\.png is where its own result is written")
    placed = shutil.copy(first, tmp_path / "00000.png")
    refuses(clip, [placed, corrected], weights, output, "is where its own result is written")


def test_evaluate_refuses_to_segment_its_own_overlay(
    output: Path, first: Path, weights: Path
) -> None:
    video = output / "overlays/clip.mp4"
    refuses(video, [first], weights, output, r"clip\.mp4 is where its own result is written")


def test_evaluate_refuses_a_corrected_result(
    output: Path, clip: Path, first: Path, weights: Path
) -> None:
    write_mask(output / "masks/clip/00002.png", 2)
    refuses(clip, [first], weights, output, r"00002\.png has been changed since it was written")


@pytest.mark.parametrize(
    "name",
    [
        "masks/clip/extra.png",
        "overlays/clip.mp4",
        "rgba/clip/1/00000.png",
        "report.html",
        "results.json",
    ],
)
def test_evaluate_refuses_to_replace_files_of_the_user(
    name: str, clip: Path, first: Path, weights: Path, tmp_path: Path
) -> None:
    evaluator = Evaluator(video_task(clip, [first]).data, tmp_path / "out", exports=["overlay"])
    (tmp_path / "out" / name).parent.mkdir(parents=True)
    (tmp_path / "out" / name).write_text("the user's")
    before = state(tmp_path / "out")
    with pytest.raises(InputError, match=f"{name} was not written by an evaluation into"):
        evaluator.segment(VideoSegmenter(build_small("scmn")))
    assert state(tmp_path / "out") == before


def test_evaluate_leaves_other_files_beside_the_masks(
    output: Path, clip: Path, first: Path, weights: Path
) -> None:
    (output / "masks/clip/notes.txt").write_text("the user's")
    (output / "masks/clip/00001.png").unlink()
    run_task(video_task(clip, [first]), weights, output, exports=["overlay"])
    assert (output / "masks/clip/notes.txt").read_text() == "the user's"
    assert len(masks_of(output)) == LENGTH


@pytest.mark.parametrize("name", ["masks/clip", "masks", "records", "overlays"])
def test_evaluate_refuses_linked_folders(
    name: str, output: Path, clip: Path, first: Path, weights: Path, tmp_path: Path
) -> None:
    (output / name).rename(tmp_path / "elsewhere")
    (output / name).symlink_to(tmp_path / "elsewhere")
    before = state(tmp_path / "elsewhere")
    refuses(clip, [first], weights, output, f"{name} is a symbolic link")
    assert state(tmp_path / "elsewhere") == before


def test_evaluate_writes_to_a_linked_output(
    clip: Path, first: Path, weights: Path, tmp_path: Path
) -> None:
    (tmp_path / "disk").mkdir()
    (tmp_path / "out").symlink_to(tmp_path / "disk")
    run_task(video_task(clip, [first]), weights, tmp_path / "out")
    assert len(masks_of(tmp_path / "disk")) == LENGTH


def test_evaluate_refuses_another_video_or_mask_and_names_both(
    output: Path, clip: Path, first: Path, weights: Path, tmp_path: Path
) -> None:
    other = write_clip(tmp_path / "b" / "clip.mp4", 3)
    refuses(other, [first], weights, output, rf"from: {clip} -> {other}")
    second = write_mask(tmp_path / "second.png", 2)
    refuses(
        clip, [second], weights, output, rf"mask {first} \(.* on frame 0, not from mask {second}"
    )
    wrong = write_mask(tmp_path / "wrong.png", size=(40, 40))
    refuses(clip, [wrong], weights, output, "was segmented from mask")
    later = write_mask(tmp_path / "00002.png", 2)
    placed = shutil.copy(first, tmp_path / "00000.png")
    refuses(clip, [placed, later], weights, output, "from no mask on frame 2, not from mask")
    write_mask(first, 3)
    refuses(clip, [first], weights, output, rf"mask {first} \(.*, not from mask {first} \(")


def test_evaluate_refuses_another_mask_after_an_interruption(
    output: Path, clip: Path, weights: Path, tmp_path: Path
) -> None:
    (output / "records/clip.json").unlink()
    second = write_mask(tmp_path / "second.png", 2)
    refuses(clip, [second], weights, output, "was segmented from mask")


def test_evaluate_refuses_frames_that_have_changed(
    output: Path, clip: Path, first: Path, weights: Path
) -> None:
    write_clip(clip, 3)
    refuses(clip, [first], weights, output, r"frames or masks of 'clip' .* have changed since")


def test_evaluate_takes_the_same_mask_under_another_name(
    output: Path, clip: Path, first: Path, weights: Path, tmp_path: Path
) -> None:
    before = state(output / "masks")
    shutil.copy(first, tmp_path / "copy.png")
    run_task(video_task(clip, [tmp_path / "copy.png"]), weights, output, exports=["overlay"])
    assert state(output / "masks") == before


def test_evaluate_checks_all_masks_before_earlier_results_go(
    clip: Path, first: Path, weights: Path, tmp_path: Path
) -> None:
    """Without settings everything is segmented again, from whatever is given."""
    segmenter = VideoSegmenter(build_small("scmn"))
    Evaluator(video_task(clip, [first]).data, tmp_path / "out").segment(segmenter)
    before = state(tmp_path / "out")
    given = [shutil.copy(first, tmp_path / "00000.png")]
    given.append(write_mask(tmp_path / "00003.png", size=(40, 40)))
    frames = tmp_path / "clip"
    for t in range(LENGTH):
        write_mask(frames / f"{t:05d}.png")
    for video in (clip, frames):
        with pytest.raises(InputError, match=r"00003\.png is 40x40 pixels"):
            Evaluator(video_task(video, given).data, tmp_path / "out").segment(segmenter)
        assert state(tmp_path / "out") == before
    Evaluator(video_task(frames, [first]).data, tmp_path / "out").segment(segmenter)
    assert state(tmp_path / "out") != before


def test_evaluate_refuses_a_data_set_of_another_folder(
    davis: Path, weights: Path, tmp_path: Path
) -> None:
    name = sorted(path.name for path in (davis / "JPEGImages/480p").iterdir())[0]
    run_task(dataset_task("davis2017-val", davis, [name]), weights, tmp_path / "out")
    shutil.copytree(davis, tmp_path / "copy")
    before = state(tmp_path / "out")
    with pytest.raises(InputError, match=rf"from: {davis} -> {tmp_path / 'copy'}"):
        run_task(dataset_task("davis2017-val", tmp_path / "copy"), weights, tmp_path / "out")
    assert state(tmp_path / "out") == before


def test_default_output_tells_videos_of_one_name_and_masks_apart(
    clip: Path, first: Path, davis: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = write_clip(tmp_path / "b" / "clip.mp4")
    second = write_mask(tmp_path / "second.png", 2)
    tasks = [video_task(clip, [first]), video_task(other, [first]), video_task(clip, [second])]
    outputs = {task.default_output("stm") for task in tasks}
    assert len(outputs) == 3
    assert all(path.match("results/clip-stm-????????") for path in outputs)
    monkeypatch.chdir(clip.parent)
    assert video_task(Path("clip.mp4"), [first]).default_output("stm") in outputs
    dataset = dataset_task("davis2017-val", davis)
    assert dataset.default_output("stm") == Path("results/davis2017-val-stm")


def test_rescore_refuses_tables_of_the_user_and_a_folder_in_use(
    davis: Path, weights: Path, tmp_path: Path
) -> None:
    name = sorted(path.name for path in (davis / "JPEGImages/480p").iterdir())[0]
    task = dataset_task("davis2017-val", davis, [name])
    masks = shutil.copytree(davis / "Annotations/480p", tmp_path / "masks")
    with (
        output_lock(masks, Processes(VideoSegmenter(build_small("scmn")).device)),
        pytest.raises(InputError, match=f"another run is writing to {masks}"),
    ):
        rescore(masks, task)
    _, files = rescore(masks, task)
    rescore(masks, task)  # its own tables are replaced
    files[0].write_text("the user's")
    with pytest.raises(InputError, match=r"global_results-val\.csv has been changed"):
        rescore(masks, task)
    assert files[0].read_text() == "the user's"


def test_evaluator_refuses_a_record_of_the_user(davis: Path, tmp_path: Path) -> None:
    dataset = open_dataset("davis2017-val", davis)
    record = tmp_path / "records" / f"{dataset.sequences[0].name}.json"
    record.parent.mkdir()
    record.write_text("{}")
    with pytest.raises(InputError, match="lists no written files"):
        Evaluator(dataset, tmp_path).segment(VideoSegmenter(build_small("scmn")))
    assert record.read_text() == "{}"

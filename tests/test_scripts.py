"""The scripts that no other test runs."""

from __future__ import annotations

import math
import re
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from scmn import VideoSegmenter, build_model
from scmn.data.datasets import open_dataset
from scmn.data.masks import read_label_map, write_label_map
from scmn.data.synthetic import SyntheticSettings, write_davis
from scripts.confidence import rank_correlation, rated
from tests.conftest import REPOSITORY
from tests.programs import run_here


def script(name: str, *arguments: object) -> str:
    completed = run_here(f"scripts/{name}", *arguments)
    assert completed.returncode == 0, completed.stderr
    return completed.stdout + completed.stderr


def test_repeat_first_mask_writes_every_frame(tmp_path: Path) -> None:
    settings = SyntheticSettings(size=(64, 96), frames=4)
    (name,) = write_davis(tmp_path / "data", sequences=1, settings=settings)
    options = ["--dataset", "davis2017-val", "--data", tmp_path / "data"]
    script("repeat_first_mask.py", *options, "--output", tmp_path / "out")
    masks = sorted((tmp_path / "out" / name).iterdir())
    assert len(masks) == 4
    given = read_label_map(tmp_path / "data/Annotations/480p" / name / "00000.png")
    assert all(np.array_equal(read_label_map(mask), given) for mask in masks)
    write_label_map(masks[1], np.zeros_like(given))
    again = run_here("scripts/repeat_first_mask.py", *options, "--output", tmp_path / "out")
    assert again.returncode == 2
    (line,) = again.stderr.splitlines()
    assert f"{masks[1]} has been changed since it was written" in line
    assert not read_label_map(masks[1]).any()


def test_make_loop_plays_a_sequence_forward_and_back(tmp_path: Path) -> None:
    data, loop = tmp_path / "data", tmp_path / "loop"
    (name,) = write_davis(data, sequences=1, settings=SyntheticSettings(size=(64, 96), frames=4))
    options = ["--dataset", "davis2017-val", "--data", data, "--frames", 9]
    script("make_loop.py", loop, *options)
    (sequence,) = open_dataset("davis2017-val", loop).sequences
    assert sequence.name == name
    order = [0, 1, 2, 3, 2, 1, 0, 1, 2]
    for paths in (sequence.image_paths, sequence.annotation_paths.values()):
        assert [path.stem for path in paths] == [f"{index:05d}" for index in range(9)]
        assert [path.resolve().stem for path in paths] == [f"{index:05d}" for index in order]
        assert all(path.is_symlink() for path in paths)
    again = run_here("scripts/make_loop.py", loop, *options)
    assert again.returncode == 2
    assert again.stderr == f"error: {loop} exists; choose a new folder\n"


def test_confidence_prints_the_rank_correlation_with_the_iou(tmp_path: Path) -> None:
    settings = SyntheticSettings(size=(64, 96), frames=4, objects=(1, 1))
    first, second = write_davis(tmp_path / "data", sequences=2, settings=settings)
    options = ["--dataset", "davis2017-val", "--data", tmp_path / "data"]
    table = script("confidence.py", *options).splitlines()[1:]
    rows = {line.split()[0]: line.split()[1:] for line in table}
    assert {name: row[0] for name, row in rows.items()} == {first: "3", second: "3", "all": "6"}
    assert -1 <= float(rows["all"][1]) <= 1


def test_confidence_rates_every_predicted_mask(tmp_path: Path) -> None:
    settings = SyntheticSettings(size=(64, 96), frames=4, objects=(2, 2))
    write_davis(tmp_path, sequences=1, settings=settings)
    (sequence,) = open_dataset("davis2017-val", tmp_path).sequences
    network = build_model("scmn_small", weights="default")
    plain = VideoSegmenter(network)
    measured = list(rated(VideoSegmenter(network), sequence))
    for frame in sequence.frames():
        prediction = plain.step(frame.image, frame.labels)
        if frame.labels is not None:
            continue
        for object_id, sure in zip(
            prediction.object_ids, prediction.confidence.tolist(), strict=True
        ):
            masks = [m == object_id for m in (prediction.labels, sequence.annotation(frame.index))]
            if masks[0].any():
                iou = (masks[0] & masks[1]).sum() / (masks[0] | masks[1]).sum()
                assert measured.pop(0) == pytest.approx((sure, iou))
    assert measured == []
    always, never = ({"absence": {"confidence": least}} for least in (0.0, 1.0))
    assert list(rated(VideoSegmenter(network, memory=always), sequence))
    assert not list(rated(VideoSegmenter(network, memory=never), sequence))


@pytest.mark.parametrize(
    ("pairs", "expected"),
    [
        ([(0.1, 5.0), (0.2, 6.0), (0.9, 7.0)], 1.0),
        ([(0.1, 5.0), (0.2, 4.0), (0.9, -1.0)], -1.0),
        ([(0.0, 1.0), (0.0, 2.0), (1.0, 3.0)], 0.75**0.5),  # ranks 1.5, 1.5, 3 and 1, 2, 3
        ([(0.0, 1.0), (0.0, 2.0)], math.nan),
    ],
)
def test_rank_correlation(pairs: list[tuple[float, float]], expected: float) -> None:
    assert rank_correlation(np.array(pairs)) == pytest.approx(expected, nan_ok=True)


def test_labelled_frames_can_be_trained_on(tmp_path: Path) -> None:
    frames, masks = tmp_path / "clip", tmp_path / "masks"
    frames.mkdir()
    for index, image in enumerate(np.random.default_rng(0).integers(0, 255, (3, 48, 64, 3))):
        Image.fromarray(image.astype(np.uint8)).save(frames / f"{index:05d}.png")
        labels = np.zeros((48, 64), np.uint8)
        if index != 1:  # a frame without objects does not stop the others
            labels[8:30, 8:40] = 3
        write_label_map(masks / f"{index:05d}.png", labels)
    with zipfile.ZipFile(tmp_path / "masks.zip", "w") as archive:
        for path in masks.iterdir():
            archive.write(path, path.name)
    mine = tmp_path / "mine"
    options = ["--frame", 0, 2, "--output", mine]
    assert "wrote 2 frames" in script(
        "labelled_frames.py", frames, tmp_path / "masks.zip", *options
    )
    for name in ("clip-00000.png", "clip-00002.png"):
        copied = read_label_map(mine / "masks" / name)
        assert np.array_equal(copied, read_label_map(masks / name.removeprefix("clip-")))
        assert (mine / "images" / name).is_file()
    other = tmp_path / "other" / "clip"
    other.mkdir(parents=True)
    Image.new("RGB", (64, 48)).save(other / "00000.png")
    options = ["--frame", 0, "--output", mine]
    ended = run_here("scripts/labelled_frames.py", other, tmp_path / "masks.zip", *options)
    assert "clip-00000.png is of another video of this name" in ended.stderr
    stage = "training.stages.finetune"
    completed = run_here(
        *("train.py", "--config", "finetune", "--weights", "default", "--output"),
        *(tmp_path / "run", f"data={mine}", "training.workers=0", f"{stage}.iterations=1"),
        *(f"{stage}.batch_size=1", f"{stage}.clip.size=[64,64]", f"{stage}.clip.frames=2"),
    )
    assert completed.returncode == 0, completed.stderr
    assert (tmp_path / "run" / "last.pt").is_file()


@pytest.mark.parametrize(
    ("masks", "frame", "message"),
    [
        ("none", 0, "does not exist"),
        ("clip", 7, "frames 0 to 0"),
        ("clip/0.png", 0, "zip of masks"),
    ],
)
def test_labelled_frames_reports_mistakes(
    masks: str, frame: int, message: str, tmp_path: Path
) -> None:
    (tmp_path / "clip").mkdir()
    write_label_map(tmp_path / "clip" / "0.png", np.zeros((32, 32), np.uint8))
    options = ["--frame", frame, "--output", tmp_path / "out"]
    ended = run_here("scripts/labelled_frames.py", tmp_path / "clip", tmp_path / masks, *options)
    assert ended.returncode == 2
    assert message in ended.stderr


@pytest.mark.skipif(sys.platform == "win32", reason="POSIX signals")
def test_torture_resumes_killed_programs() -> None:
    printed = script("torture.py", "--rounds", 1, "--kills", 1)
    (line,) = printed.splitlines()
    assert re.fullmatch(r"train\.py: 1 runs, \d kills, 0 failures; eval\.py: 1 .* 0 failures", line)


def test_benchmark_metrics_compares_with_a_plain_scorer() -> None:
    printed = script("benchmark.py", "--metrics", "--sequences", 1, "--frames", 4)
    assert "plain" in printed


def test_benchmark_engine_agrees_with_the_reference() -> None:
    options = ["--objects", 2, "--remembered", 3, "--size", "48x64", "--steps", 1]
    weights = REPOSITORY / "scmn/weights/scmn_small.safetensors"
    printed = script(
        *("benchmark.py", "--engine", "--network", f"scmn_small={weights}", "stm", "stcn"),
        *options,
        *("--engines", "reference", "fp32"),
    )
    assert "scmn_small, trained" in printed
    lines = [line.split(" | ") for line in printed.splitlines() if " | fp32 | " in line]
    assert len(lines) == 3
    assert all(float(line[-2]) > 0.999 for line in lines)


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux reports peak memory")
def test_benchmark_engine_measures_peak_memory() -> None:
    printed = script(
        *("benchmark.py", "--engine", "--network", "scmn_small", "--objects", 1),
        *("--remembered", 3, "--size", "48x64", "--steps", 1, "--engines", "fp32"),
        "--peak-memory",
    )
    (line,) = [line for line in printed.splitlines() if " | fp32 | " in line]
    assert float(line.split(" | ")[-1].strip(" |")) > 1


def test_benchmark_measures_many_objects_and_files() -> None:
    printed = script(
        *("benchmark.py", "--many-objects", "--io", "--network", "scmn_tiny"),
        *("--objects", 12, "--frames", 3, "--size", "32x48"),
    )
    rows = [line.strip("| ").split(" | ") for line in printed.splitlines() if "| " in line]
    network, objects, *_ = next(row for row in rows if row[0] == "scmn_tiny")
    assert (network, objects) == ("scmn_tiny", "12")
    assert len([row for row in rows if row[0].startswith(("read", "write"))]) == 4


def test_benchmark_measures_long_videos() -> None:
    options = ["--network", "scmn_tiny", "--frames", 13, "--size", "32x48"]
    printed = script("benchmark.py", "--long", "--timed", 3, *options)
    rows = [line.strip("| ").split(" | ") for line in printed.splitlines() if "| " in line]
    long_video = next(row for row in rows if row[:2] == ["scmn_tiny", "fp32"])
    assert long_video[3] == "13"
    assert all(float(milliseconds) > 0 for milliseconds in long_video[-3:])


def test_benchmark_refuses_a_video_shorter_than_its_timed_frames() -> None:
    ended = run_here("scripts/benchmark.py", "--long", "--network", "scmn_tiny", "--frames", 399)
    assert ended.returncode == 2
    assert "--frames must be at least 4 times --timed, not 399 and 100" in ended.stderr


@pytest.mark.parametrize("measured", [("--io", "--long"), ("--metrics",)])
def test_benchmark_refuses_to_record_two_measurements_or_what_has_no_table(
    measured: tuple[str, ...],
) -> None:
    ended = run_here("scripts/benchmark.py", *measured, "--record", "title")
    assert ended.returncode == 2
    assert "--record takes one of --engine, --many-objects, --long, --io" in ended.stderr


@pytest.fixture
def tiny_run(tmp_path: Path) -> list[str]:
    """Overrides for the stages of the quickstart: one short sequence and small clips."""
    write_davis(
        tmp_path, sequences=1, settings=SyntheticSettings(size=(64, 96), frames=4), split="train"
    )
    stages = {"pretrain": "stills", "main": "videos"}
    return [
        override
        for stage, data in stages.items()
        for override in (
            f"training.stages.{stage}.data.{data}.root={tmp_path}",
            f"training.stages.{stage}.batch_size=2",
            f"training.stages.{stage}.clip.size=[32,32]",
        )
    ]


def test_benchmark_training_compares_settings(tiny_run: list[str]) -> None:
    plain, changed = "training.channels_last=false", "training.channels_last=true"
    options = ["--steps", 1, "--change", plain, changed]
    printed = script("benchmark.py", "--training", *tiny_run, *options)
    table = [line.split("|")[1:-1] for line in printed.splitlines() if line.startswith("|")]
    faster = {row[0].strip(): row[-1].strip() for row in table[2:]}
    assert list(faster) == ["channels_last=false", "channels_last=true", "drawing the clips alone"]
    assert [bool(ratio) for ratio in faster.values()] == [False, True, False]


def test_benchmark_training_suggests_the_nearest_stage(tiny_run: list[str]) -> None:
    ended = run_here("scripts/benchmark.py", "--training", *tiny_run, "--stage", "mian")
    assert ended.returncode == 2
    assert "no stage 'mian'" in ended.stderr
    assert "did you mean 'main'" in ended.stderr


def test_benchmark_data_measures_every_stage(tiny_run: list[str]) -> None:
    overrides = ["training.workers=0", *tiny_run]
    printed = script("benchmark.py", "--data", "--batches", 1, *overrides)
    for stage in ("pretrain", "main"):
        (line,) = [line for line in printed.splitlines() if line.startswith(f"{stage} ")]
        assert "samples/s" in line
        mebibytes = float(line.split(" GFLOP and ")[1].split(" MiB")[0])
        assert 0 < mebibytes < 1000

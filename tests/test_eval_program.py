"""eval.py as a program: torchrun, exit statuses, one line for every mistake."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import av
import numpy as np
import pytest
from PIL import Image

from scmn import save_weights
from scmn.data.masks import read_label_map, write_label_map
from scmn.data.synthetic import SyntheticSettings, write_davis
from scmn.data.video_writer import VideoWriter
from tests.conftest import build_small
from tests.programs import run_here, run_python, run_ranks

FRAMES = 5


@pytest.fixture(scope="module")
def davis(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("davis")
    settings = SyntheticSettings(size=(64, 96), frames=FRAMES)
    write_davis(folder, sequences=3, settings=settings)
    return folder


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("weights") / "small.safetensors"
    save_weights(build_small("stcn"), path)
    return path


def test_eval_gives_the_same_masks_in_two_processes(
    davis: Path, weights: Path, tmp_path: Path
) -> None:
    options = ["--weights", weights, "--dataset", "davis2017-val", "--data", davis]
    alone = run_here("eval.py", *options, "--output", tmp_path / "alone")
    assert alone.returncode == 0, alone.stderr
    assert "J&F" in alone.stdout
    assert "peak memory" in alone.stdout
    shared, second = run_ranks(tmp_path, "eval.py", *options, "--output", tmp_path / "shared")
    assert (shared.returncode, second.returncode) == (0, 0), shared.stderr + second.stderr
    assert "per process, 2 of them" in shared.stdout
    assert second.stdout == ""
    assert "per process" not in alone.stdout
    masks = sorted(
        path.relative_to(tmp_path / "alone") for path in tmp_path.glob("alone/masks/*/*")
    )
    assert len(masks) == 3 * FRAMES
    for mask in masks:
        expected = read_label_map(tmp_path / "alone" / mask)
        assert np.array_equal(read_label_map(tmp_path / "shared" / mask), expected)
    scores = "per-sequence_results-val.csv"
    assert (tmp_path / "shared" / scores).read_text() == (tmp_path / "alone" / scores).read_text()

    rescored = run_here(
        *("eval.py", "--score-only", tmp_path / "shared/masks", "--dataset", "davis2017-val"),
        *("--data", davis, "--output", tmp_path / "rescored"),
    )
    assert rescored.returncode == 0, rescored.stderr
    assert (tmp_path / "rescored" / scores).read_text() == (tmp_path / "alone" / scores).read_text()


def test_eval_segments_a_video_file(weights: Path, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    background = rng.integers(0, 255, (48, 64, 3), dtype=np.uint8)
    with VideoWriter(tmp_path / "my.mp4", frame_rate=10) as writer:
        for t in range(FRAMES):
            image = background.copy()
            image[10:30, 5 + t : 25 + t] = (200, 30, 30)
            writer.write(image)
    labels = np.zeros((48, 64), dtype=np.uint8)
    labels[10:30, 5:25] = 9
    write_label_map(tmp_path / "first.png", labels)
    completed = run_here(
        *("eval.py", "--config", "configs/stcn.yaml", "--video", tmp_path / "my.mp4"),
        *("--mask", tmp_path / "first.png", "--overlay", "--output", tmp_path / "out"),
        *("--precision", "bf16", "model.backbone=resnet18", "model.switches.hidden_dim=16"),
    )
    assert completed.returncode == 0, completed.stderr
    masks = sorted((tmp_path / "out/masks/my").iterdir())
    assert [path.name for path in masks] == [f"{t:05d}.png" for t in range(FRAMES)]
    assert np.array_equal(read_label_map(masks[0]), labels)
    with av.open(str(tmp_path / "out/overlays/my.mp4")) as container:
        stream = container.streams.video[0]
        assert stream.codec_context.name == "h264"
        assert stream.codec_context.pix_fmt == "yuv420p"
        assert sum(1 for _ in container.decode(stream)) == FRAMES


def test_eval_takes_boxes_and_annotation_files_and_exports(weights: Path, tmp_path: Path) -> None:
    frames = tmp_path / "frames"
    frames.mkdir()
    image = np.random.default_rng(0).integers(0, 40, (48, 64, 3), dtype=np.uint8)
    image[10:30, 20:40] = (200, 30, 30)
    for t in range(2):
        Image.fromarray(image).save(frames / f"{t:05d}.png")
    polygon = {"label": "box", "points": [[20, 10], [39, 10], [39, 29], [20, 29]]}
    content = {"shapes": [polygon], "imageHeight": 48, "imageWidth": 64}
    (frames / "00000.json").write_text(json.dumps(content))  # beside its frame, as labelme does
    options = ["eval.py", "--weights", weights, "--video", frames, "--output"]
    given: dict[str, list[object]] = {
        "box": ["--box", 17, 7, 26, 26, "--export", "rgba"],
        "json": ["--mask", frames, "--export", "rgba", "evaluation.size=0"],
    }
    for name, arguments in given.items():
        completed = run_here(*options, tmp_path / name, *arguments)
        assert completed.returncode == 0, completed.stderr
        first = read_label_map(tmp_path / name / "masks/frames/00000.png")
        assert (first == (image[..., 0] == 200)).mean() > 0.99
        cutouts = tmp_path / name / "rgba/frames/1"
        assert (cutouts / "00000.png").is_file()


def test_eval_takes_shades_as_ids_if_it_is_told_to(
    davis: Path, weights: Path, tmp_path: Path
) -> None:
    (tmp_path / "frames").mkdir()
    frame = sorted((davis / "JPEGImages/480p").rglob("00000.jpg"))[0]
    shutil.copy(frame, tmp_path / "frames")
    shades = np.tile(np.arange(96, dtype=np.uint8) // 24 * 80, (64, 1))
    Image.fromarray(shades).save(tmp_path / "mask.png")
    completed = run_here(
        *("eval.py", "--video", tmp_path / "frames", "--mask", tmp_path / "mask.png"),
        *("--weights", weights, "--mask-ids", "--output", tmp_path / "out"),
    )
    assert completed.returncode == 0, completed.stderr
    written = read_label_map(tmp_path / "out/masks/frames/00000.png")
    assert np.array_equal(written, shades)


def test_eval_reports_a_mistake_of_one_process_once(
    davis: Path, weights: Path, tmp_path: Path
) -> None:
    """The damaged frame is met by one of two processes, the one that is not the first."""
    shutil.copytree(davis, tmp_path / "data")
    second = sorted((tmp_path / "data/JPEGImages/480p").iterdir())[1]  # of equal length: by name
    (second / "00002.jpg").write_bytes(b"no image")
    options = ["--dataset", "davis2017-val", "--data", tmp_path / "data", "--weights", weights]
    ended = run_ranks(tmp_path, "eval.py", *options, "--output", tmp_path / "out")
    assert [process.returncode for process in ended] == [2, 2]
    printed = "".join(process.stderr for process in ended)
    (line,) = [line for line in printed.splitlines() if line.startswith("error: ")]
    assert f"{second.name}/00002.jpg" in line
    assert "scmn/" not in printed  # no traceback of ours
    done = sorted(path.stem for path in (tmp_path / "out/records").glob("*.json"))
    assert done == [sorted(p.name for p in second.parent.iterdir())[i] for i in (0, 2)]


def test_eval_reports_a_mistake_of_all_processes_once(davis: Path, tmp_path: Path) -> None:
    options = ["--dataset", "davis2017-val", "--data", davis, "--video", davis]
    first, second = run_ranks(tmp_path, "eval.py", *options)
    assert (first.returncode, second.returncode) == (2, 2)
    assert first.stderr == "error: --video and --mask (or --box) must be given together\n"
    assert second.stderr == ""


def test_eval_help_shows_examples_verbatim() -> None:
    completed = run_python("eval.py", "--help")
    assert completed.returncode == 0
    (example,) = [line for line in completed.stdout.splitlines() if "STM_weights.pth" in line]
    assert example.endswith("STM_weights.pth \\")


def test_eval_exits_with_status_2(davis: Path) -> None:
    completed = run_here("eval.py", "--dataset", "davis2017-vla", "--data", davis)
    assert completed.returncode == 2
    assert completed.stderr.startswith("error: ")
    assert "Traceback" not in completed.stderr

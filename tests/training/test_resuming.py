"""A run that was stopped or killed is resumed, and with which changes."""

from __future__ import annotations

import signal
import sys
import time
from pathlib import Path

import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from scmn import InputError, load_config
from scmn.training.checkpoint import read_checkpoint
from scmn.training.progress import Progress
from scmn.training.resuming import changes
from scmn.training.trainer import train
from tests.programs import start
from tests.training.runs import config, config_file, equal, killed_after, weights


@pytest.fixture(scope="module")
def whole(davis: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run that nothing has interrupted."""
    folder = tmp_path_factory.mktemp("whole")
    train(config(folder, davis), folder / "run")
    return folder / "run"


@pytest.mark.parametrize("killed_at", [3, 5, 7])
def test_train_resumes_after_a_kill_bit_for_bit(
    killed_at: int, whole: Path, davis: Path, tmp_path: Path
) -> None:
    settings = config(tmp_path, davis)
    killed_after(killed_at, settings, tmp_path / "run")
    assert train(settings, tmp_path / "run").iteration == 8
    assert equal(weights(tmp_path / "run"), weights(whole))


def test_train_resumes_a_run_that_was_killed_before_its_first_checkpoint(
    davis: Path, tmp_path: Path
) -> None:
    settings = config(tmp_path, davis)
    killed_after(1, settings, tmp_path / "run")
    left_over = tmp_path / "run/.config.0123456789ab.yaml"
    left_over.touch()
    assert train(settings, tmp_path / "run", stage="pretrain").finished
    assert not left_over.exists()


@pytest.mark.skipif(sys.platform == "win32", reason="POSIX signals")
def test_train_program_stopped_by_a_signal_resumes_bit_for_bit(davis: Path, tmp_path: Path) -> None:
    iterations = 12
    path = config_file(tmp_path, davis)
    override = f"training.stages.main.iterations={iterations}"
    arguments: list[object] = ["--config", path, "--stage", "main", override]
    train(load_config(path, [override]), tmp_path / "whole", stage="main")

    program = start(tmp_path, "train.py", *arguments, "--output", tmp_path / "parts")
    deadline = time.monotonic() + 120
    while not (tmp_path / "parts/last.pt").is_file() and time.monotonic() < deadline:
        time.sleep(0.01)
    program.send_signal(signal.SIGTERM)
    ended = program.end()
    stopped_at = read_checkpoint(tmp_path / "parts/last.pt").iteration
    assert 0 < stopped_at < iterations
    assert ended.returncode == 128 + signal.SIGTERM, ended.stderr
    assert f"stopped after step {stopped_at}; run the same command to resume" in ended.stdout
    again = start(tmp_path, "train.py", *arguments, "--output", tmp_path / "parts").end()
    assert again.returncode == 0, again.stderr
    assert f"finished after {iterations} steps" in again.stdout
    assert equal(weights(tmp_path / "parts"), weights(tmp_path / "whole"))


def test_train_leaves_a_finished_run_unchanged(whole: Path, davis: Path, tmp_path: Path) -> None:
    before = (whole / "last.pt").stat().st_mtime_ns
    assert train(config(tmp_path, davis), whole).finished
    assert (whole / "last.pt").stat().st_mtime_ns == before


@pytest.mark.parametrize(
    ("override", "change"),
    [
        ("stages.main.optimizer.learning_rate=1.0e-4", r"learning_rate: 0\.001 -> 0\.0001"),
        ("stages.main.data.videos.repeat=2", "repeat: 1 -> 2"),
        ("stages.main.data.videos.paste_from=stills", "paste_from: None -> stills"),
        ("stages.main.clips_per_pass=2", "clips_per_pass: None -> 2"),  # norms learn
        ("norm=frozen", r"norm: batch -> frozen"),
        ("seed=1", "seed: 0 -> 1"),
    ],
)
def test_train_refuses_to_resume_with_other_mathematics(
    override: str, change: str, whole: Path, davis: Path, tmp_path: Path
) -> None:
    with pytest.raises(InputError, match=rf"training\.[\w.]*{change}\)"):
        train(config(tmp_path, davis, f"training.{override}"), whole)


def test_train_resumes_with_other_resources_and_records_them(
    davis: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    training = [
        "training.norm=frozen",
        "training.stages.pretrain=null",
        "training.stages.main.iterations=3",
        "training.checkpoint_every=2",
    ]
    killed_after(2, config(tmp_path, davis, *training), tmp_path / "run")
    moved = tmp_path / "moved"
    moved.symlink_to(davis, target_is_directory=True)
    changed = [
        *training,
        "training.stages.main.clips_per_pass=1",
        f"training.stages.main.data.videos.root={moved}",
        "training.precision=bf16",
        "training.channels_last=true",
        "training.workers=1",
        "training.log_every=1",
        "memory.every=3",
    ]
    capsys.readouterr()
    assert train(config(tmp_path, davis, *changed), tmp_path / "run").finished
    expected = [
        "from step 2: memory.every: None -> 3",
        "from step 2: training.stages.main.clips_per_pass: None -> 1",
        f"from step 2: training.stages.main.data.videos.root: {davis} -> {moved}",
        "from step 2: training.precision: fp32 -> bf16",
        "from step 2: training.channels_last: False -> True",
        "from step 2: training.workers: 0 -> 1",
        "from step 2: training.log_every: 2 -> 1",
    ]
    shown = capsys.readouterr().out.splitlines()
    assert [line for line in shown if "->" in line] == [f"changed {line}" for line in expected]
    checkpoint = read_checkpoint(tmp_path / "run/last.pt")
    assert checkpoint.history == expected
    written = (tmp_path / "run/config.yaml").read_text()
    assert written.startswith("".join(f"# changed {line}\n" for line in expected))
    assert "precision: bf16" in written
    assert "precision: bf16" in checkpoint.config
    assert load_config(tmp_path / "run/config.yaml").training.precision == "bf16"


def test_changes_tell_the_order_of_stages_and_data_sets() -> None:
    saved, given = load_config("scmn_tiny"), load_config("scmn_tiny")
    given.training.stages = dict(reversed(given.training.stages.items()))
    main = given.training.stage("main")
    main.data = dict(reversed(main.data.items()))
    found = {change.key: change.free for change in changes(saved, given)}
    assert found == {"training.stages": False, "training.stages.main.data": False}


def test_changes_let_the_data_move() -> None:
    saved, given = (load_config("finetune", [f"data={folder}"]) for folder in ("a", "b"))
    assert [change.key for change in changes(saved, given) if not change.free] == []
    assert "data: a -> b" in map(str, changes(saved, given))


def test_progress_hides_the_points_of_later_steps_alone(tmp_path: Path) -> None:
    for begun, steps in ((0, (1, 2, 3)), (2, (3, 4))):
        progress = Progress(tmp_path, visible=True, iteration=begun)
        for step in steps:
            progress.scalars({"loss": float(begun)}, step)
        progress.close()
    events = EventAccumulator(str(tmp_path))
    events.Reload()
    points = [(event.step, event.value) for event in events.Scalars("loss")]
    assert points == [(1, 0.0), (2, 0.0), (3, 2.0), (4, 2.0)]

"""Complete runs on tiny data: resuming, signals, processes, accumulation, stages, mistakes."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from omegaconf import OmegaConf
from torch import Tensor

from scmn import InputError, build_model, load_config
from scmn.config import Config
from scmn.data.masks import read_label_map, write_label_map
from scmn.data.synthetic import SyntheticSettings, write_davis
from scmn.processes import Processes
from scmn.training.checkpoint import read_checkpoint
from scmn.training.settings import ValidationSettings
from scmn.training.stage import Stage
from scmn.training.trainer import train
from scmn.training.validation import Validation
from tests.conftest import REPOSITORY, build_small
from tests.programs import run_processes


@pytest.fixture(scope="module")
def davis(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("davis")
    settings = SyntheticSettings(size=(64, 96), frames=5, objects=(1, 2))
    write_davis(folder, sequences=3, settings=settings, split="train")
    return folder


def config_file(folder: Path, davis: Path, name: str = "scmn") -> Path:
    """Write a configuration of two short stages and return its path."""
    data = {"kind": "davis2017-train", "root": str(davis)}
    stage = {
        "iterations": 4,
        "batch_size": 2,
        "clip": {"frames": 3, "size": [48, 64], "max_objects": 2},
        "optimizer": {"name": "adamw", "learning_rate": 1e-3},
    }
    switches = {"key_dim": 8, "value_dim": 32, "hidden_dim": 8}
    if name == "scmn":
        switches["refinement_dim"] = 4
    content = {
        "model": {"name": name, "backbone": "resnet10", "switches": switches},
        "training": {
            "norm": "batch",
            "device": "cpu",
            "workers": 0,
            "checkpoint_every": 3,
            "log_every": 2,
            "pictures_every": 3,
            "stages": {
                "pretrain": {**stage, "data": {"stills": {**data, "stills": True}}},
                "main": {**stage, "data": {"videos": data}},
            },
        },
    }
    path = folder / "tiny.yaml"
    path.write_text(OmegaConf.to_yaml(OmegaConf.create(content)))
    return path


def config(folder: Path, davis: Path, *overrides: str, name: str = "scmn") -> Config:
    return load_config(config_file(folder, davis, name), overrides)


def weights(run: Path) -> dict[str, Tensor]:
    return dict(read_checkpoint(run / "last.pt").model)


def equal(first: dict[str, Tensor], second: dict[str, Tensor]) -> bool:
    return first.keys() == second.keys() and all(torch.equal(first[k], second[k]) for k in first)


@pytest.mark.parametrize("name", ["scmn", "stm", "stcn"])
def test_train_runs_two_stages_of_every_network(name: str, davis: Path, tmp_path: Path) -> None:
    outcome = train(config(tmp_path, davis, name=name), tmp_path / "run")
    assert outcome.finished
    assert outcome.iteration == 8
    checkpoint = read_checkpoint(outcome.checkpoint)
    assert (checkpoint.stage, checkpoint.stage_iteration) == ("main", 4)
    assert checkpoint.sample_number == 8
    model = build_model(name, weights=outcome.checkpoint)
    assert equal(model.state_dict(), weights(tmp_path / "run"))
    fresh = build_model(name, **dict(checkpoint.description.settings))
    changed = [n for n, p in fresh.named_parameters() if not torch.equal(p, model.get_parameter(n))]
    assert len(changed) > 0.9 * len(list(fresh.parameters()))
    assert list((tmp_path / "run/tensorboard").iterdir())
    assert (tmp_path / "run/config.yaml").is_file()


class Killed(BaseException):
    """Simulates kill -9: nothing is written on the way out."""


def killed_after(steps: int, settings: Config, run: Path) -> None:
    """Train in ``run``, and die before the step after ``steps``."""
    done = 0
    step = Stage.step

    def dying(self: Stage) -> object:
        nonlocal done
        if done == steps:
            raise Killed
        done += 1
        return step(self)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Stage, "step", dying)
        with pytest.raises(Killed):
            train(settings, run)


@pytest.mark.parametrize("killed_at", [1, 3, 5, 7])
def test_train_resumes_after_a_kill_bit_for_bit(
    killed_at: int, davis: Path, tmp_path: Path
) -> None:
    settings = config(tmp_path, davis)
    train(settings, tmp_path / "whole")
    killed_after(killed_at, settings, tmp_path / "parts")
    assert train(settings, tmp_path / "parts").iteration == 8
    assert equal(weights(tmp_path / "parts"), weights(tmp_path / "whole"))


def test_train_is_independent_of_the_number_of_workers(davis: Path, tmp_path: Path) -> None:
    train(config(tmp_path, davis), tmp_path / "none", stage="main")
    train(config(tmp_path, davis, "training.workers=2"), tmp_path / "two", stage="main")
    assert equal(weights(tmp_path / "two"), weights(tmp_path / "none"))


def launch(arguments: list[object], *, torchrun: int = 0) -> subprocess.Popen[str]:
    start = [sys.executable]
    if torchrun:
        start += ["-m", "torch.distributed.run", "--standalone", f"--nproc_per_node={torchrun}"]
    # As many threads as the runs in this process: another number rounds differently.
    threads = "1" if torchrun else str(torch.get_num_threads())
    return subprocess.Popen(
        [*start, "train.py", *map(str, arguments)],
        cwd=REPOSITORY,
        env={**os.environ, "PYTHONPATH": str(REPOSITORY), "OMP_NUM_THREADS": threads},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=lambda: signal.signal(signal.SIGHUP, signal.SIG_DFL),  # ignored under nohup
    )


@pytest.mark.skipif(sys.platform == "win32", reason="POSIX signals")
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP, signal.SIGKILL])
def test_train_program_resumes_bit_for_bit(
    number: signal.Signals, davis: Path, tmp_path: Path
) -> None:
    iterations = 40
    path = config_file(tmp_path, davis)
    override = f"training.stages.main.iterations={iterations}"
    arguments: list[object] = ["--config", path, "--stage", "main", override]
    train(load_config(path, [override]), tmp_path / "whole", stage="main")

    process = launch([*arguments, "--output", tmp_path / "parts"])
    deadline = time.monotonic() + 120
    while not (tmp_path / "parts/last.pt").is_file() and time.monotonic() < deadline:
        time.sleep(0.01)
    process.send_signal(number)
    stdout, stderr = process.communicate(timeout=120)
    stopped_at = read_checkpoint(tmp_path / "parts/last.pt").iteration
    assert 0 < stopped_at < iterations
    if number != signal.SIGKILL:
        assert process.returncode == 128 + number, stderr
        assert f"stopped after step {stopped_at}; run the same command to resume" in stdout
    again = launch([*arguments, "--output", tmp_path / "parts"])
    stdout, stderr = again.communicate(timeout=120)
    assert again.returncode == 0, stderr
    assert f"finished after {iterations} steps" in stdout
    assert equal(weights(tmp_path / "parts"), weights(tmp_path / "whole"))


SAME_FOR_ANY_SPLIT = [
    "training.stages.main.batch_size=4",
    # Batch statistics would differ between the parts of the batch.
    "training.norm=frozen",
    # Some gradients are zero up to rounding (a bias of memory keys cancels in the softmax), which
    # Adam would amplify to full steps.
    "training.stages.main.optimizer.epsilon=1.0e-3",
    # With seed 0 an activation of the second step is zero up to rounding, and ReLU passes its
    # gradient in one run only. (In float64 the runs of seed 0 agree to 1e-15.)
    "training.seed=4",
]


def check_two_processes_equal_one(
    davis: Path, tmp_path: Path, *, device: str, atol: float, rtol: float
) -> None:
    """Train with one process and with two that share its batches, and compare the weights."""
    path = config_file(tmp_path, davis)
    overrides = [
        *SAME_FOR_ANY_SPLIT,
        "training.stages.main.iterations=5",
        f"training.device={device}",
    ]
    train(load_config(path, overrides), tmp_path / "one", stage="main")
    arguments = ["--config", path, "--stage", "main", "--output", tmp_path / "two", *overrides]
    process = launch(arguments, torchrun=2)
    _, stderr = process.communicate(timeout=240)
    assert process.returncode == 0, stderr
    one, two = weights(tmp_path / "one"), weights(tmp_path / "two")
    for name, tensor in one.items():
        torch.testing.assert_close(two[name], tensor, atol=atol, rtol=rtol, msg=name)


def test_train_with_two_processes_equals_one_with_the_whole_batch(
    davis: Path, tmp_path: Path
) -> None:
    check_two_processes_equal_one(davis, tmp_path, device="auto", atol=2e-4, rtol=1e-3)


def test_train_with_accumulated_gradients_equals_the_whole_batch(
    davis: Path, tmp_path: Path
) -> None:
    train(config(tmp_path, davis, *SAME_FOR_ANY_SPLIT), tmp_path / "whole", stage="main")
    parts = [*SAME_FOR_ANY_SPLIT, "training.stages.main.clips_per_pass=1"]
    train(config(tmp_path, davis, *parts), tmp_path / "parts", stage="main")
    whole, accumulated = weights(tmp_path / "whole"), weights(tmp_path / "parts")
    for name, tensor in whole.items():
        torch.testing.assert_close(accumulated[name], tensor, atol=2e-4, rtol=1e-3, msg=name)


def test_train_leaves_a_finished_run_unchanged(davis: Path, tmp_path: Path) -> None:
    settings = config(tmp_path, davis)
    train(settings, tmp_path / "run")
    before = (tmp_path / "run/last.pt").stat().st_mtime_ns
    assert train(settings, tmp_path / "run").finished
    assert (tmp_path / "run/last.pt").stat().st_mtime_ns == before


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
    override: str, change: str, davis: Path, tmp_path: Path
) -> None:
    once = ["training.stages.pretrain=null", "training.stages.main.iterations=1"]
    train(config(tmp_path, davis, *once), tmp_path / "run")
    with pytest.raises(InputError, match=rf"training\.[\w.]*{change}\)"):
        train(config(tmp_path, davis, *once, f"training.{override}"), tmp_path / "run")


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


def test_train_starts_a_stage_from_the_weights_of_another_run(davis: Path, tmp_path: Path) -> None:
    settings = config(tmp_path, davis)
    train(settings, tmp_path / "first", stage="pretrain")
    start = tmp_path / "first/last.pt"
    outcome = train(settings, tmp_path / "second", stage="main", weights=start)
    assert outcome.iteration == 4
    with pytest.raises(InputError, match="is of stage 'pretrain', not 'main'"):
        train(settings, tmp_path / "third", stage="main", resume=start)


def test_train_refuses_to_replace_a_configuration_of_the_user(davis: Path, tmp_path: Path) -> None:
    settings = config(tmp_path, davis)
    path = tmp_path / "run/config.yaml"
    path.parent.mkdir()
    path.write_text("the user's")
    with pytest.raises(InputError, match=r"run/config\.yaml is not of this run"):
        train(settings, tmp_path / "run")
    assert path.read_text() == "the user's"
    assert sorted(file.name for file in path.parent.iterdir()) == [".lock", "config.yaml"]


def test_train_resumes_a_run_that_was_killed_before_its_first_checkpoint(
    davis: Path, tmp_path: Path
) -> None:
    settings = config(tmp_path, davis)
    killed_after(1, settings, tmp_path / "run")
    left_over = tmp_path / "run/.config.0123456789ab.yaml"
    left_over.touch()
    assert train(settings, tmp_path / "run", stage="pretrain").finished
    assert not left_over.exists()


def validation(davis: Path) -> list[str]:
    return [
        "training.validation.every=2",
        "training.validation.dataset=davis2017-train",
        f"training.validation.root={davis}",
        "training.validation.max_frames=4",
    ]


def test_train_keeps_the_best_validated_checkpoint(davis: Path, tmp_path: Path) -> None:
    averaging = "training.averaging.enabled=true"
    settings = config(tmp_path, davis, *validation(davis), averaging)
    train(settings, tmp_path / "run", stage="main")
    best = read_checkpoint(tmp_path / "run/best.pt")
    assert best.best is not None
    assert 0 <= best.best <= 1
    assert best.iteration in (2, 4)
    assert best.averaged_weights is not None
    # Validation does not affect training.
    quiet = config(tmp_path, davis, averaging)
    train(quiet, tmp_path / "quiet", stage="main")
    assert equal(weights(tmp_path / "run"), weights(tmp_path / "quiet"))


def test_train_makes_up_for_a_killed_validation(
    davis: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    short = ["training.stages.pretrain=null", "training.stages.main.iterations=2"]
    settings = config(tmp_path, davis, *short, *validation(davis))
    train(settings, tmp_path / "whole")

    def dying(*_: object) -> None:
        raise Killed

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Validation, "run", dying)
        with pytest.raises(Killed):
            train(settings, tmp_path / "parts")
    saved = read_checkpoint(tmp_path / "parts/last.pt")
    assert (saved.iteration, saved.validation_due, saved.best) == (2, True, None)
    shutil.copytree(tmp_path / "parts", tmp_path / "other")
    assert train(settings, tmp_path / "parts").finished
    resumed = read_checkpoint(tmp_path / "parts/best.pt")
    whole = read_checkpoint(tmp_path / "whole/best.pt")
    assert not resumed.validation_due
    assert resumed.best == whole.best
    assert equal(dict(resumed.model), dict(whole.model))
    # Whoever cannot validate continues without.
    assert train(config(tmp_path, davis, *short), tmp_path / "other").finished
    assert "step 2: validation is left out" in capsys.readouterr().out
    assert not read_checkpoint(tmp_path / "other/last.pt").validation_due


def test_train_stopped_by_a_signal_validates_when_it_is_resumed(
    davis: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    short = ["training.stages.pretrain=null", "training.stages.main.iterations=2"]
    settings = config(tmp_path, davis, *short, *validation(davis))
    step = Stage.step

    def interrupted(self: Stage) -> object:
        if self.iteration == 1:
            os.kill(os.getpid(), signal.SIGTERM)
        return step(self)

    monkeypatch.setattr(Stage, "step", interrupted)
    assert not train(settings, tmp_path / "run").finished
    assert not (tmp_path / "run/best.pt").exists()
    assert train(settings, tmp_path / "run").finished
    assert read_checkpoint(tmp_path / "run/best.pt").best is not None


VALIDATING = """
import json
from scmn.processes import join_processes
from scmn.training.settings import ValidationSettings
from scmn.training.validation import Validation
from tests.conftest import build_small

settings = ValidationSettings(every=1, dataset="davis2017-train", root=ROOT)
with join_processes("cpu") as processes:
    network = build_small("stcn")
    if not processes.first:  # statistics differ where each process trains on its own clips
        for buffer in network.buffers():
            buffer.zero_()
    print(json.dumps(Validation.open(settings, {}, "fp32").run(network, processes)))
"""


def test_validation_in_two_processes_gives_the_same_scores(davis: Path) -> None:
    settings = ValidationSettings(every=1, dataset="davis2017-train", root=str(davis))
    validation = Validation.open(settings, {}, "fp32")
    assert validation is not None
    alone = validation.run(build_small("stcn"), Processes(torch.device("cpu")))
    first, second = run_processes(VALIDATING.replace("ROOT", repr(str(davis))))
    assert json.loads(first) == json.loads(second) == alone


def test_train_names_the_samples_of_a_non_finite_loss(davis: Path, tmp_path: Path) -> None:
    settings = config(
        tmp_path,
        davis,
        "training.norm=frozen",
        "training.stages.main.optimizer.learning_rate=1.0e30",
    )
    with pytest.raises(InputError, match=r"not finite at step \d; samples: \d+ \(videos: .*frames"):
        train(settings, tmp_path / "run", stage="main")


def test_train_writes_no_weights_that_are_not_finite(
    davis: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The loss of the only step is finite; its update is not."""

    def overflowing_step(optimizer: torch.optim.AdamW, closure: object = None) -> None:
        optimizer.param_groups[0]["params"][0].data.fill_(torch.inf)

    monkeypatch.setattr(torch.optim.AdamW, "step", overflowing_step)
    settings = config(tmp_path, davis, "training.stages.main.iterations=1")
    with pytest.raises(InputError, match="network after step 1 has NaN or infinite numbers in"):
        train(settings, tmp_path / "run", stage="main")
    assert not list((tmp_path / "run").glob("*.pt"))


def test_train_writes_no_checkpoint_after_a_non_finite_loss(
    davis: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As on a GPU, where losses are read only when there is another reason to wait."""
    monkeypatch.setattr("scmn.training.stage._reads_are_free", lambda device: False)
    settings = config(
        tmp_path,
        davis,
        "training.norm=frozen",
        "training.log_every=100",
        "training.checkpoint_every=4",
        "training.stages.main.iterations=8",
        "training.stages.main.optimizer.learning_rate=1.0e30",
    )
    with pytest.raises(
        InputError, match=r"not finite at step [12]; samples: \d+ \(videos: .*frames"
    ):
        train(settings, tmp_path / "run", stage="main")
    assert not list((tmp_path / "run").glob("*.pt"))


def test_train_with_a_gradient_scaler_stops_after_several_non_finite_losses(
    davis: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    scaler = torch.amp.GradScaler  # as for fp16, which needs a GPU
    monkeypatch.setattr(torch.amp, "GradScaler", lambda enabled: scaler("cpu"))
    settings = config(
        tmp_path,
        davis,
        "training.norm=frozen",
        "training.stages.main.optimizer.learning_rate=1.0e30",
        "training.stages.main.iterations=20",
        "training.stages.main.batch_size=1",
    )
    message = r"not finite at step 1\d and the 9 steps before; samples: 1\d \(videos: .*frames"
    with pytest.raises(InputError, match=message):
        train(settings, tmp_path / "run", stage="main")


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["training.stages.main.batch_size=3", "training.stages.main.clips_per_pass=2"], "passes"),
        (["training.stages.main.data.videos.root=/none"], "/none"),
        (["training.stages.main.data.videos.kind=davis"], "unknown data set"),
        (
            ["training.stages.main.data.videos.still_augmentation.flip=1"],
            "does not apply to videos",
        ),
        (["training.stages.main.data.videos.exclude=[nothing]"], "no sequence 'nothing'"),
        (["training.stages.main.schedule.name=cosin"], "cosine"),
        (
            ["training.stages.main.schedule.warm_up=999"],
            r"training\.stages\.main: schedule\.warm_up is 999",
        ),
        (["training.norm=frosen"], "frozen"),
        (["training.stages.main=null"], "no stage 'main'; the stages are: pretrain"),
        (["training.precision=fp8"], "precision"),
        (["training.validation.every=5"], "needs dataset and root"),
        (["training.stages.main.iterations=0"], "at least 1"),
    ],
)
def test_train_reports_mistakes_in_one_line(
    overrides: list[str], message: str, davis: Path, tmp_path: Path
) -> None:
    with pytest.raises(InputError, match=message) as caught:
        train(config(tmp_path, davis, *overrides), tmp_path / "run", stage="main")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("data.videos.root=/none", "/none"),
        ("schedule.name=cosin", "cosine"),
        ("optimizer.name=adan", "adam"),
        ("loss.cross_entropy=0", "all weights are 0"),
        ("batch_size=0", "batch_size must be"),
    ],
)
def test_train_checks_the_last_stage_before_the_first_step(
    override: str, message: str, davis: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delattr(Stage, "step")
    with pytest.raises(InputError, match=message):
        train(config(tmp_path, davis, f"training.stages.main.{override}"), tmp_path / "run")


def test_train_refuses_data_without_objects_before_the_first_step(
    davis: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delattr(Stage, "step")
    empty = tmp_path / "empty"
    shutil.copytree(davis, empty)
    for path in empty.glob("Annotations/480p/*/*.png"):
        write_label_map(path, np.zeros_like(read_label_map(path)))
    message = r"training\.stages\.main\.data\.videos: none of 3 clips drawn .* shows an object"
    settings = config(tmp_path, davis, f"training.stages.main.data.videos.root={empty}")
    with pytest.raises(InputError, match=message):
        train(settings, tmp_path / "run")


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("dataset=davis", "unknown data set 'davis'"),
        ("root=/none", "/none does not exist"),
        ("sequences=[nothing]", "nothing"),
        ("max_frames=2", "no frame of davis2017-train can be scored with max_frames 2"),
        ("dataset=null", "training.validation: needs dataset and root"),
    ],
)
def test_train_checks_the_validation_before_the_first_step(
    override: str, message: str, davis: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delattr(Stage, "step")
    overrides = [*validation(davis), f"training.validation.{override}"]
    with pytest.raises(InputError, match=message):
        train(config(tmp_path, davis, *overrides), tmp_path / "run")


def test_train_reports_an_unknown_stage_and_an_unwritable_folder(
    davis: Path, tmp_path: Path
) -> None:
    settings = config(tmp_path, davis)
    with pytest.raises(InputError, match="no stage 'mian'; the stages are: pretrain, main"):
        train(settings, tmp_path / "run", stage="mian")
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="cannot write to"):
        train(settings, tmp_path / "file" / "run")


def test_exhausted_memory_is_one_line(davis: Path, tmp_path: Path) -> None:
    repeat = f"training.stages.pretrain.data.stills.repeat={10**15}"
    with pytest.raises(InputError, match=r"the CPU is out of memory; lower .*data set's repeat"):
        train(config(tmp_path, davis, repeat), tmp_path / "run")


def test_a_tensorboard_folder_that_is_a_file_is_reported(davis: Path, tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    (tmp_path / "run/tensorboard").write_text("mine")
    with pytest.raises(InputError, match=r"cannot write to .*tensorboard: File exists"):
        train(config(tmp_path, davis), tmp_path / "run")
    assert (tmp_path / "run/tensorboard").read_text() == "mine"


@pytest.mark.parametrize("absurd", ["frames=1000000000", "size=[100000,100000]"])
def test_absurd_clips_are_refused(davis: Path, tmp_path: Path, absurd: str) -> None:
    with pytest.raises(InputError, match="must be less than or equal to"):
        config(tmp_path, davis, f"training.stages.main.clip.{absurd}")

"""The batch script for Slurm, with stand-ins for Slurm's programs."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.conftest import REPOSITORY

BATCH = REPOSITORY / "scripts/slurm/train.sbatch"

# srun starts the program on this node alone; its process is the step that scancel signals.
PROGRAMS = {
    "srun": 'shift; echo $$ >"$STEP"; exec "$@"\n',
    "scancel": 'echo "scancel $*" >>"$CALLS"; kill "-${1#--signal=}" "$(cat "$STEP")"\n',
    "squeue": 'echo "$STATE"\n',
    "scontrol": 'echo "scontrol $*" >>"$CALLS"; [ "$1" != show ] || printf "node1\\nnode2\\n"\n',
    # Like torchrun and train.py: finishes its step after SIGTERM and ends with a failure.
    "torchrun": "trap 'sleep 0.3; echo checkpoint >>\"$CALLS\"; exit 1' TERM\n"
    'echo "torchrun $*" >>"$CALLS"\n'
    'for _ in $(seq "$STEPS"); do sleep 0.1; done; echo finished >>"$CALLS"\n',
}


@pytest.fixture
def slurm(tmp_path: Path) -> dict[str, str]:
    """The environment of a job whose programs are the stand-ins."""
    if shutil.which("bash") is None or sys.platform == "win32":
        pytest.skip("the batch script needs bash")
    for name, text in PROGRAMS.items():
        program = tmp_path / "bin" / name
        program.parent.mkdir(exist_ok=True)
        program.write_text(f"#!/usr/bin/env bash\n{text}")
        program.chmod(0o755)
    return {
        **os.environ,
        "PATH": f"{tmp_path / 'bin'}{os.pathsep}{os.environ['PATH']}",
        "STEP": str(tmp_path / "step"),
        "STATE": "RUNNING",
        "CALLS": str(tmp_path / "calls"),
        "SLURM_SUBMIT_DIR": str(tmp_path),
        "SLURM_JOB_ID": "77",
        "SLURM_JOB_NODELIST": "node[1-2]",
        "SLURM_NNODES": "2",
        "SLURM_GPUS_ON_NODE": "4",
    }


def calls(slurm: dict[str, str]) -> list[str]:
    path = Path(slurm["CALLS"])
    return path.read_text().splitlines() if path.is_file() else []


@pytest.mark.parametrize(
    ("number", "state"),
    [
        (signal.SIGUSR1, "RUNNING"),
        (signal.SIGTERM, "RUNNING"),
        (signal.SIGTERM, "COMPLETING"),  # after scancel
    ],
)
def test_a_job_that_must_stop_writes_a_checkpoint_and_is_queued_again_unless_cancelled(
    slurm: dict[str, str], number: signal.Signals, state: str
) -> None:
    environment = {**slurm, "STEPS": "600", "STATE": state}
    job = subprocess.Popen(["bash", str(BATCH), "--config", "x"], env=environment)
    deadline = time.monotonic() + 60
    while not any("torchrun" in call for call in calls(slurm)):
        assert time.monotonic() < deadline
        time.sleep(0.02)
    job.send_signal(number)
    assert job.wait(timeout=60) != 0
    found = calls(slurm)
    assert found[0] == "scontrol show hostnames node[1-2]"
    launch = "--nnodes=2 --nproc_per_node=4 --rdzv_id=77 --rdzv_backend=c10d"
    assert found[1] == f"torchrun {launch} --rdzv_endpoint=node1:20077 train.py --config x"
    requeued = ["scontrol requeue 77"] if state == "RUNNING" else []
    assert found[2:] == ["scancel --signal=TERM 77.0", "checkpoint", *requeued]


def test_a_job_that_ends_is_not_queued_again(slurm: dict[str, str]) -> None:
    ended = subprocess.run(["bash", str(BATCH)], env={**slurm, "STEPS": "1"}, timeout=60)
    assert ended.returncode == 0
    assert calls(slurm)[-1] == "finished"
    assert not any("requeue" in call for call in calls(slurm))

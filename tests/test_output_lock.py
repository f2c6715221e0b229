"""One writer per output folder: a second one is told, and a killed one does not block."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import torch

from scmn import InputError
from scmn.data.synthetic import SyntheticSettings, write_davis
from scmn.output_lock import output_lock
from scmn.processes import Processes
from tests.conftest import REPOSITORY
from tests.programs import run_here

HOLDER = """
import sys, time, torch
from pathlib import Path
from scmn.output_lock import output_lock
from scmn.processes import Processes
with output_lock(Path(sys.argv[1]), Processes(torch.device("cpu"))):
    print("holding", flush=True)
    time.sleep(300)
"""
ALONE = Processes(torch.device("cpu"))


def test_lock_of_a_killed_process_does_not_block(tmp_path: Path) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(tmp_path / "run")],
        cwd=REPOSITORY,
        stdout=subprocess.PIPE,
        text=True,
    ) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "holding\n"
        with pytest.raises(InputError, match="another run is writing to"):
            output_lock(tmp_path / "run", ALONE).__enter__()
        holder.kill()
    with output_lock(tmp_path / "run", ALONE):
        pass


@pytest.mark.parametrize("program", ["train", "eval"])
def test_programs_refuse_an_output_that_is_being_written(program: str, tmp_path: Path) -> None:
    davis, run = tmp_path / "davis", tmp_path / "run"
    write_davis(davis, sequences=1, settings=SyntheticSettings(size=(64, 96), frames=2))
    arguments = {
        "train": ["--config", "configs/quickstart.yaml"],
        "eval": ["--dataset", "davis2017-val", "--data", davis, "--weights", "default"],
    }
    with output_lock(run, ALONE):
        before = sorted(run.iterdir())
        ended = run_here(f"{program}.py", *arguments[program], "--output", run)
        assert sorted(run.iterdir()) == before
    assert ended.returncode == 2
    (line,) = ended.stderr.splitlines()
    assert line.startswith(f"error: another run is writing to {run}")


def test_lock_is_released_at_the_end(tmp_path: Path) -> None:
    for _ in range(2):
        with output_lock(tmp_path / "new" / "run", ALONE):
            assert (tmp_path / "new" / "run").is_dir()

"""How programs end: signals, an output that nobody reads, a full disk, names with line breaks."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
from itertools import chain
from pathlib import Path

import pytest
from PIL import Image

from tests.conftest import REPOSITORY
from tests.programs import run_here, run_python

WAITING = """
import signal, sys, time
from scmn.program import run_program
signal.signal(signal.SIGINT, signal.default_int_handler)  # a background job ignores it
signal.signal(signal.SIGHUP, signal.SIG_DFL)  # as under nohup
def main():
    print("running", flush=True)
    time.sleep(60)
run_program(main)
"""
PRINTING = "from scmn.program import run_program; run_program(lambda: print('x' * int(1e6)))"
pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="POSIX signals and devices")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_ends_a_program_with_one_line_and_its_status(number: signal.Signals) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", WAITING],
        cwd=REPOSITORY,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as program:
        assert program.stdout is not None
        assert program.stdout.readline() == "running\n"
        program.send_signal(number)
        _, printed = program.communicate(timeout=60)
    assert printed == "interrupted\n"
    assert program.returncode == 128 + number


def test_an_ignored_hangup_stays_ignored() -> None:
    code = (
        "import os, signal; from scmn.program import run_program; "
        "signal.signal(signal.SIGHUP, signal.SIG_IGN); "
        "run_program(lambda: os.kill(os.getpid(), signal.SIGHUP))"
    )
    assert run_python("-c", code).returncode == 0


@pytest.mark.parametrize("unbuffered", ["", "1"])
def test_a_closed_output_ends_a_program_quietly(unbuffered: str) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    ended = subprocess.run(
        [sys.executable, "-c", PRINTING],
        cwd=REPOSITORY,
        env={**os.environ, "PYTHONUNBUFFERED": unbuffered},
        stdout=writing,
        stderr=subprocess.PIPE,
        text=True,
        check=False,
    )
    os.close(writing)
    assert (ended.returncode, ended.stderr) == (128 + signal.SIGPIPE, "")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_a_full_output_is_one_line() -> None:
    with Path("/dev/full").open("w") as full:
        ended = subprocess.run(
            [sys.executable, "-c", PRINTING],
            cwd=REPOSITORY,
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
        )
    assert ended.returncode == 2
    (line,) = ended.stderr.splitlines()
    assert os.strerror(errno.ENOSPC) in line


def test_line_breaks_in_names_are_escaped() -> None:
    ended = run_here("eval.py", "--video", "no\nsuch.mp4", "--mask", "m.png")
    assert ended.returncode == 2
    (line,) = ended.stderr.splitlines()
    assert r"no\nsuch.mp4" in line


def test_line_breaks_in_warnings_are_escaped() -> None:
    code = (
        "import logging; from scmn.program import run_program; "
        r"run_program(lambda: logging.warning('%s ends early', 'a\nb'))"
    )
    assert run_python("-c", code).stderr == "WARNING: a\\nb ends early\n"


@pytest.mark.parametrize("option", ["--video", "--mask", "--config", "--weights", "--output"])
def test_an_error_of_the_system_is_one_line(option: str, tmp_path: Path) -> None:
    too_long = tmp_path / (300 * "x")
    (tmp_path / "frames").mkdir()
    Image.new("RGB", (32, 32)).save(tmp_path / "frames/0.png")
    Image.new("1", (32, 32), 1).save(tmp_path / "mask.png")
    given = {
        "--video": tmp_path / "frames", "--mask": tmp_path / "mask.png", "--output": tmp_path / "o"
    }  # fmt: skip
    ended = run_here("eval.py", *chain(*{**given, option: too_long}.items()))
    assert ended.returncode == 2
    (line,) = ended.stderr.splitlines()
    assert line.startswith("error: ")
    assert os.strerror(errno.ENAMETOOLONG) in line


def test_printed_names_need_not_be_text() -> None:
    code = (
        "from scmn.program import run_program; "
        r"run_program(lambda: print('wrote', 'a\udcff'))"
    )
    assert run_python("-c", code).stdout == "wrote a\\udcff\n"


@pytest.mark.parametrize(
    "script",
    ["ablation", "export_scalars", "export_weights", "make_pictures", "repeat_first_mask"],
)
def test_scripts_report_wrong_arguments_in_one_line(script: str) -> None:
    ended = run_here(f"scripts/{script}.py", "--no-such-option")
    assert ended.returncode == 2
    (line,) = ended.stderr.splitlines()
    assert line.startswith("error: ")


@pytest.mark.parametrize(
    ("script", "arguments", "expected"),
    [
        ("ablation", ["{folder}/broken.yaml", "--report-only"], "broken.yaml is not valid YAML"),
        ("ablation", ["{folder}/list.yaml", "--report-only"], "list.yaml must hold 'key: value'"),
        ("ablation", ["{folder}/not-text.yaml", "--report-only"], "not valid YAML"),
        ("export_scalars", ["{folder}/none", "{folder}/out.csv"], "none is not a training run"),
        ("export_scalars", ["{folder}", "{folder}/out.csv", "--every", "0"], "at least 1"),
    ],
)
def test_scripts_report_wrong_files_in_one_line(
    tmp_path: Path, script: str, arguments: list[str], expected: str
) -> None:
    (tmp_path / "broken.yaml").write_text("a: [1,\n b: }")
    (tmp_path / "list.yaml").write_text("[1, 2]")
    (tmp_path / "not-text.yaml").write_bytes(b"\xff\xfe")
    given = [argument.format(folder=tmp_path) for argument in arguments]
    ended = run_here(f"scripts/{script}.py", *given)
    assert ended.returncode == 2
    (line,) = ended.stderr.splitlines()
    assert line.startswith("error: ")
    assert expected in line

#!/usr/bin/env python
"""Kill trainings and evaluations at random moments, resume them, and compare the results.

    python scripts/torture.py --minutes 30
    python scripts/torture.py --rounds 1 --seed 3

Each round runs train.py and eval.py on small synthetic data. Both are stopped several times, by
SIGKILL or by a signal that they handle, and run again until they finish. The checkpoints and the
masks must then be those of an uninterrupted run, bit for bit. The exit status is 1 if any differ.

The programs run in forks of a process that has imported torch: a start takes no seconds, and the
kills meet their work.
"""

from __future__ import annotations

import multiprocessing
import os
import random
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

import torch
import yaml

from scmn import build_model, save_weights
from scmn.cli import eval_main, train_main
from scmn.data.synthetic import SyntheticSettings, write_davis
from scmn.errors import InputError
from scmn.output_lock import LOCK
from scmn.program import SIGNALLED, ArgumentParser, run_program
from scmn.training.checkpoint import checkpoint_content, read_checkpoint

FORKS = multiprocessing.get_context("forkserver")
IMPORTED_BEFORE = ["scmn.evaluation.evaluate", "scmn.training.trainer", "torch._dynamo"]
MAIN = {"train": train_main, "eval": eval_main}
SIGNALS = (signal.SIGKILL, signal.SIGKILL, signal.SIGTERM, signal.SIGHUP, signal.SIGINT)
"""SIGKILL twice: it is the one that no program can prepare for."""
NETWORK: dict[str, Any] = {
    "backbone": "resnet10_half",
    "key_dim": 8,
    "value_dim": 32,
    "hidden_dim": 8,
    "refinement_dim": 4,
}


@dataclass
class Program:
    """train.py or eval.py with the options of one run, without its output."""

    name: str
    options: list[str]
    messages: Path
    """What its last run printed on stderr."""
    starting: float = 0.0
    """Seconds until an uninterrupted run takes hold of its output."""
    working: float = 0.0
    """Seconds from then to its end."""
    runs: int = 0
    kills: int = 0
    failures: list[str] = field(default_factory=list)

    def start(self, output: Path) -> BaseProcess:
        """Start it; its messages go to ``self.messages``."""
        arguments = [*self.options, "--output", str(output)]
        process = FORKS.Process(target=_run, args=(self.name, arguments, self.messages))
        process.start()
        return process

    def run_undisturbed(self, output: Path) -> None:
        """Run it once and measure how long it works; InputError if it fails."""
        begin = time.monotonic()
        process = self.start(output)
        while not (output / LOCK).exists() and process.is_alive():
            time.sleep(0.01)
        self.starting = time.monotonic() - begin
        process.join()
        self.working = time.monotonic() - begin - self.starting
        if process.exitcode:
            raise InputError(f"{self.name}.py fails undisturbed: {self.last_message()}")

    def run_killed(self, output: Path, chance: random.Random, *, kills: int) -> None:
        """Run it until it has finished; it is killed ``kills`` times, or as often as it lasts."""
        self.runs += 1
        while True:
            process = self.start(output)
            number = None
            if kills > 0:
                kills -= 1
                number = self._kill(process, chance)
            process.join()
            if process.exitcode == 0:
                return
            if number is None or process.exitcode not in (-number, SIGNALLED + number):
                self.failures.append(f"status {process.exitcode}: {self.last_message()}")
                return
            self.kills += 1

    def _kill(self, process: BaseProcess, chance: random.Random) -> signal.Signals:
        """Send a signal at a random moment of its work."""
        number = chance.choice(SIGNALS)
        process.join(timeout=self.starting + chance.uniform(-0.1, 1.0) * self.working)
        if process.is_alive():
            assert process.pid is not None
            os.kill(process.pid, number)
        return number

    def last_message(self) -> str:
        lines = self.messages.read_text(errors="replace").strip().splitlines()
        return (lines or ["no message"])[-1]


def main() -> None:
    parser = ArgumentParser.of_program(__doc__ or "")
    add = parser.add_argument
    add("--minutes", type=float, default=0.0, help="begin no round after this time (%(default)s)")
    add("--rounds", type=int, default=1, help="but at least so many (%(default)s)")
    add("--kills", type=int, default=4, help="of one run, at most (%(default)s)")
    add("--seed", type=int, default=0, help="of the moments and signals (%(default)s)")
    given = parser.parse_args()
    if given.kills < 1:
        raise InputError(f"--kills must be at least 1, not {given.kills}")
    FORKS.set_forkserver_preload(IMPORTED_BEFORE)
    end = time.monotonic() + 60 * given.minutes
    chance = random.Random(given.seed)
    with tempfile.TemporaryDirectory(prefix="torture-") as name:
        folder = Path(name)
        programs = prepare(folder)
        for program in programs:
            program.run_undisturbed(folder / "whole" / program.name)
        done = 0
        while done < given.rounds or time.monotonic() < end:
            for program in programs:
                run_once(program, folder, chance, kills=chance.randint(1, given.kills))
            done += 1
            print(report(programs), flush=True)
    failures = [failure for program in programs for failure in program.failures]
    for failure in failures:
        print(failure, file=sys.stderr)
    sys.exit(bool(failures))


def prepare(folder: Path) -> list[Program]:
    """Write data, weights and a configuration; return the two programs that use them."""
    settings = SyntheticSettings(size=(64, 96), frames=8, objects=(1, 2))
    write_davis(folder / "data", sequences=3, settings=settings, split="train")
    write_davis(folder / "data", sequences=3, settings=settings, split="val")
    save_weights(build_model("scmn", **NETWORK), folder / "weights.safetensors")
    (folder / "config.yaml").write_text(yaml.safe_dump(_config(folder / "data"), sort_keys=False))
    options = ["--weights", str(folder / "weights.safetensors"), "--device", "cpu"]
    options += ["--dataset", "davis2017-val", "--data", str(folder / "data")]
    return [
        Program("train", ["--config", str(folder / "config.yaml")], folder / "train.txt"),
        Program("eval", [*options, "evaluation.processes=1"], folder / "eval.txt"),
    ]


def _config(data: Path) -> dict[str, Any]:
    sources = {"kind": "davis2017-train", "root": str(data)}
    stage = {
        "iterations": 6,
        "batch_size": 2,
        "clip": {"frames": 3, "size": [48, 64], "max_objects": 2},
        "optimizer": {"name": "adamw", "learning_rate": 1.0e-3},
    }
    switches = {name: value for name, value in NETWORK.items() if name != "backbone"}
    return {
        "model": {"name": "scmn", "backbone": NETWORK["backbone"], "switches": switches},
        "training": {
            "norm": "batch",
            "device": "cpu",
            "workers": 0,
            "checkpoint_every": 3,
            "averaging": {"enabled": True},
            "stages": {
                "pretrain": {**stage, "data": {"stills": {**sources, "stills": True}}},
                "main": {**stage, "data": {"videos": sources}},
            },
        },
    }


def run_once(program: Program, folder: Path, chance: random.Random, *, kills: int) -> None:
    """Run a program with kills in a new output and note how its results differ."""
    output = folder / "killed"
    failures = len(program.failures)
    program.run_killed(output, chance, kills=kills)
    if len(program.failures) == failures:
        differ = differences(output, folder / "whole" / program.name)
        program.failures += [f"{program.name}.py, run {program.runs}: {what}" for what in differ]
    shutil.rmtree(output, ignore_errors=True)


def differences(output: Path, whole: Path) -> list[str]:
    """Return in what the results of a run that was killed differ from those of a whole one."""
    found = []
    for path in sorted({*_names(output), *_names(whole)}):
        here, there = output / path, whole / path
        if not here.exists() or not there.exists():
            found.append(f"{path} is only in {'the whole run' if there.exists() else 'the other'}")
        elif path.endswith(".pt"):
            contents = (checkpoint_content(read_checkpoint(file)) for file in (here, there))
            if not _equal(*contents):
                found.append(f"{path} differs")
        elif path.endswith((".png", ".csv")) and here.read_bytes() != there.read_bytes():
            found.append(f"{path} differs")
    return found


def _names(folder: Path) -> set[str]:
    """Names of all files but TensorBoard's, of which every start writes one."""
    files = (path.relative_to(folder) for path in folder.rglob("*") if path.is_file())
    return {str(path) for path in files if path.parts[0] != "tensorboard"}


def _equal(first: Any, second: Any) -> bool:
    if isinstance(first, torch.Tensor):
        return isinstance(second, torch.Tensor) and torch.equal(first, second)
    if isinstance(first, Mapping):
        return first.keys() == second.keys() and all(_equal(first[k], second[k]) for k in first)
    if isinstance(first, list | tuple):
        return len(first) == len(second) and all(map(_equal, first, second))
    return bool(first == second)


def report(programs: list[Program]) -> str:
    """Count runs, kills and failures."""
    parts = [
        f"{program.name}.py: {program.runs} runs, {program.kills} kills, "
        f"{len(program.failures)} failures"
        for program in programs
    ]
    return "; ".join(parts)


def _run(name: str, arguments: list[str], messages: Path) -> None:
    """Run train.py or eval.py in this process, the fork."""
    # A background job ignores SIGINT, and a program under nohup SIGHUP.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGHUP, signal.SIG_DFL)
    with messages.open("w") as stderr, open(os.devnull, "w") as stdout:
        os.dup2(stdout.fileno(), sys.stdout.fileno())
        os.dup2(stderr.fileno(), sys.stderr.fileno())
    torch.set_num_threads(1)  # another number rounds differently
    MAIN[name](arguments)


if __name__ == "__main__":
    run_program(main)

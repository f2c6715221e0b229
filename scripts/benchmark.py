"""Measure the speed and memory of parts of the package on this machine.

python scripts/benchmark.py --engine --network stm --objects 1 3 10 --remembered 12
python scripts/benchmark.py --engine --network stcn=stcn.pth --objects 3 --remembered 20
python scripts/benchmark.py --many-objects --network scmn_small stcn --objects 64 200 --frames 7
python scripts/benchmark.py --long --network scmn_small --frames 10000
python scripts/benchmark.py --io
python scripts/benchmark.py --metrics
python scripts/benchmark.py --data --config configs/quickstart.yaml training.workers=2
python scripts/benchmark.py --training --config configs/scmn_small.yaml
"""

from __future__ import annotations

import argparse
import itertools
import shlex
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from benchmarks import (
    data,
    engine,
    files,
    long_video,
    many_objects,
    metrics,
    performance_page,
    training_step,
)
from benchmarks.peak_memory import in_own_process
from pages import table
from sizes import parse_size
from tqdm import tqdm

from scmn.program import ArgumentParser, run_program

DOCS = Path(__file__).resolve().parents[1] / "docs"
RECORDED = "--engine, --many-objects, --long, --io, --training"


def main() -> None:
    parser = _parser()
    given = parser.parse_args()
    sections: dict[str, Callable[[], None]] = {
        "engine": lambda: _publish(given, {"cases": _engines(given)}),
        "many_objects": lambda: _publish(given, {"rows": _many_objects(given)}),
        "long": lambda: _publish(given, {"rows": _long_videos(given)}),
        "io": lambda: _publish(given, {"rows": _files(given)}),
        "metrics": lambda: metrics.run(sequences=given.sequences, frames=given.frames),
        "data": lambda: data.run(
            config_path=given.config, overrides=given.overrides, batches=given.batches
        ),
        "training": lambda: _publish(given, {"rows": _training_steps(given)}),
    }
    chosen = [section for name, section in sections.items() if getattr(given, name)]
    if not chosen:
        names = (f"--{name.replace('_', '-')}" for name in sections)
        parser.error(f"choose what to measure: {', '.join(names)}")
    if given.record and (len(chosen) > 1 or given.metrics or given.data):
        parser.error(f"--record takes one of {RECORDED}")
    for section in chosen:
        section()


def _parser() -> ArgumentParser:
    parser = ArgumentParser.of_program(__doc__ or "")
    add = parser.add_argument
    add("--engine", action="store_true", help="inference against the published implementation")
    add("--many-objects", action="store_true", help="time and memory with many objects")
    add("--long", action="store_true", help="memory and speed at both ends of a long video")
    add("--io", action="store_true", help="reading frames and writing masks")
    add("--metrics", action="store_true", help="the scorer against a plain implementation")
    add("--data", action="store_true", help="drawing training clips against training on them")
    add("--training", action="store_true", help="the training step with different settings")
    add("--record", metavar="TITLE", help=f"{RECORDED}: add a table to docs/performance.md")
    add(
        "--network",
        nargs="+",
        default=["stm", "stcn", "scmn"],
        metavar="NAME[=WEIGHTS]",
        help="networks, with a weights file or random weights (stm stcn scmn)",
    )
    add("--objects", nargs="+", type=int, default=[1, 3], help="numbers of objects (1 3)")
    add("--size", nargs="+", type=parse_size, default=[(480, 864)], help="HEIGHTxWIDTH (480x864)")
    add("--device", default="cpu", help="cpu, cuda, cuda:1 (cpu)")
    add("--precision", default="fp32", help="--many-objects, --long: fp32, tf32, bf16, fp16")
    add("--frames", type=int, default=2000, help="frames of a video; --metrics: in total (2000)")
    add("--timed", type=int, default=100, help="--long: timed frames at either end (100)")
    add("--remembered", nargs="+", type=int, default=[12], help="--engine: frames in memory (12)")
    add(
        "--engines",
        nargs="+",
        default=[engine.REFERENCE, "fp32", "bf16"],
        help="--engine: reference, fp32, tf32, bf16, ...; others are compared with the first",
    )
    add("--steps", type=int, default=5, help="--engine, --training: timed steps (5)")
    add("--peak-memory", action="store_true", help="--engine: measure it in separate processes")
    add("--sequences", type=int, default=30, help="--metrics: synthetic sequences (30)")
    add(
        "--config",
        type=Path,
        default=Path("configs/quickstart.yaml"),
        help="--data, --training: configuration (configs/quickstart.yaml)",
    )
    add("--batches", type=int, default=10, help="--data: timed batches (10)")
    add("--stage", default="main", help="--training: stage (main)")
    add(
        "--change",
        nargs="+",
        default=training_step.CHANGES,
        metavar="OVERRIDES",
        help="--training: one row each, compared with the first (precisions and layouts)",
    )
    add(
        "overrides",
        nargs="*",
        metavar="key=value",
        help="--data, --training: override the configuration",
    )
    return parser


def _engines(given: argparse.Namespace) -> list[dict[str, Any]]:
    cases = engine.cases(given.network, given.objects, given.remembered, given.size)
    return [
        engine.measure(
            case,
            given.engines,
            steps=given.steps,
            device=given.device,
            with_memory=given.peak_memory,
        )
        for case in tqdm(cases, unit="case")
    ]


def _many_objects(given: argparse.Namespace) -> list[dict[str, str]]:
    return [
        in_own_process(
            many_objects.measure,
            network,
            objects=objects,
            frames=given.frames,
            size=size,
            precision=given.precision,
            device=given.device,
        )
        for network, objects, size in itertools.product(given.network, given.objects, given.size)
    ]


def _long_videos(given: argparse.Namespace) -> list[dict[str, str]]:
    return [
        in_own_process(
            long_video.measure,
            network,
            frames=given.frames,
            timed=given.timed,
            size=size,
            precision=given.precision,
            device=given.device,
        )
        for network, size in itertools.product(given.network, given.size)
    ]


def _files(given: argparse.Namespace) -> list[dict[str, str]]:
    return [row for size in given.size for row in files.measure(frames=given.frames, size=size)]


def _training_steps(given: argparse.Namespace) -> list[dict[str, str]]:
    return training_step.measure(
        given.config, given.overrides, stage=given.stage, changes=given.change, steps=given.steps
    )


def _publish(given: argparse.Namespace, measured: Mapping[str, Any]) -> None:
    """Print a table, and with --record add it to docs/performance.md."""
    rows = measured.get("rows") or performance_page.engine_rows(measured["cases"])
    print(table(rows))
    if given.record:
        record, picture = DOCS / "performance.json", DOCS / "images" / "performance.svg"
        command = shlex.join(["python", "scripts/benchmark.py", *sys.argv[1:]])
        content = performance_page.record(record, given.record, command, measured)
        performance_page.write_page(DOCS / "performance.md", record, picture, content)


if __name__ == "__main__":
    run_program(main)

"""Measure parts of the package on this machine.

python scripts/benchmark.py --engine --network stm --objects 1 3 10 --remembered 12
python scripts/benchmark.py --metrics
python scripts/benchmark.py --data --config configs/quickstart.yaml training.workers=2
"""

from __future__ import annotations

import argparse
import logging
import shlex
import sys
from collections.abc import Callable
from pathlib import Path

from benchmarks import data, engine, engine_report, metrics
from tqdm import tqdm

DOCS = Path(__file__).resolve().parents[1] / "docs"


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("--engine", action="store_true", help="inference against the published way of working")
    add("--network", nargs="+", default=["stm", "stcn", "scmn"], help="--engine: which networks")
    add("--objects", nargs="+", type=int, default=[1, 3], help="--engine: how many (1 3)")
    add("--remembered", nargs="+", type=int, default=[12], help="--engine: frames in memory (12)")
    add("--size", nargs="+", type=_size, default=[(480, 864)], help="--engine: HEIGHTxWIDTH")
    add(
        "--engines",
        nargs="+",
        default=["reference", "fp32", "bf16"],
        help="--engine: reference and precisions of ours; the first is compared with",
    )
    add("--steps", type=int, default=5, help="--engine: how many frames are timed (5)")
    add("--peak-memory", action="store_true", help="--engine: in processes of their own, too")
    add("--record", metavar="TITLE", help="--engine: add the table to docs/performance.md")
    add("--metrics", action="store_true", help="the scorer against a plain implementation")
    add("--data", action="store_true", help="drawing training clips against the training step")
    add("--sequences", type=int, default=30, help="--metrics: synthetic sequences (30)")
    add("--frames", type=int, default=2000, help="--metrics: frames of all together (2000)")
    add("--config", type=Path, default=Path("configs/quickstart.yaml"), help="--data: which run")
    add("--batches", type=int, default=10, help="--data: how many are timed (10)")
    add("overrides", nargs="*", metavar="key=value", help="--data: overrides")
    arguments = parser.parse_args()
    sections: dict[str, Callable[[], None]] = {
        "engine": lambda: _measure_engines(arguments),
        "metrics": lambda: metrics.run(sequences=arguments.sequences, frames=arguments.frames),
        "data": lambda: data.run(
            config_path=arguments.config,
            overrides=arguments.overrides,
            batches=arguments.batches,
        ),
    }
    chosen = [section for name, section in sections.items() if getattr(arguments, name)]
    if not chosen:
        parser.error(f"choose what to measure: {', '.join(f'--{name}' for name in sections)}")
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    for section in chosen:
        section()


def _size(text: str) -> tuple[int, int]:
    try:
        height, width = map(int, text.split("x"))
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"'{text}' is no size such as 480x864") from error
    return height, width


def _measure_engines(arguments: argparse.Namespace) -> None:
    cases = engine.cases(arguments.network, arguments.objects, arguments.remembered, arguments.size)
    measured = []
    for case in tqdm(cases, unit="case"):
        measured.append(
            engine.measure(
                case,
                arguments.engines,
                steps=arguments.steps,
                with_memory=arguments.peak_memory,
            )
        )
    print(engine_report.markdown(measured))
    if arguments.record:
        record, picture = DOCS / "performance.json", DOCS / "images" / "performance.svg"
        command = shlex.join(["python", "scripts/benchmark.py", *sys.argv[1:]])
        content = engine_report.record(record, arguments.record, command, measured)
        engine_report.write_page(DOCS / "performance.md", record, picture, content)


if __name__ == "__main__":
    main()

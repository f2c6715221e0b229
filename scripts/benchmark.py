"""Measure parts of the package on this machine.

python scripts/benchmark.py --metrics
python scripts/benchmark.py --data --config configs/quickstart.yaml training.workers=2
"""

from __future__ import annotations

import argparse
import logging
from collections.abc import Callable
from pathlib import Path

from benchmarks import data, metrics


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--metrics", action="store_true", help="the scorer against a plain implementation"
    )
    parser.add_argument(
        "--data", action="store_true", help="drawing training clips against the training step"
    )
    parser.add_argument(
        "--sequences", type=int, default=30, help="--metrics: synthetic sequences (30)"
    )
    parser.add_argument(
        "--frames", type=int, default=2000, help="--metrics: frames of all together (2000)"
    )
    parser.add_argument(
        "--config", type=Path, default=Path("configs/quickstart.yaml"), help="--data: which run"
    )
    parser.add_argument("--batches", type=int, default=10, help="--data: how many are timed (10)")
    parser.add_argument("overrides", nargs="*", metavar="key=value", help="--data: overrides")
    arguments = parser.parse_args()
    sections: dict[str, Callable[[], None]] = {
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


if __name__ == "__main__":
    main()

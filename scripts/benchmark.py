"""Measure parts of the package on this machine: ``python scripts/benchmark.py --metrics``."""

from __future__ import annotations

import argparse
import logging
from collections.abc import Callable

from benchmarks import metrics


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.ArgumentDefaultsHelpFormatter
    )
    parser.add_argument(
        "--metrics", action="store_true", help="the scorer against a plain implementation"
    )
    parser.add_argument("--sequences", type=int, default=30, help="how many synthetic sequences")
    parser.add_argument("--frames", type=int, default=2000, help="frames of all sequences together")
    arguments = parser.parse_args()
    sections: dict[str, Callable[[], None]] = {
        "metrics": lambda: metrics.run(sequences=arguments.sequences, frames=arguments.frames),
    }
    chosen = [section for name, section in sections.items() if getattr(arguments, name)]
    if not chosen:
        parser.error(f"choose what to measure: {', '.join(f'--{name}' for name in sections)}")
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    for section in chosen:
        section()


if __name__ == "__main__":
    main()

"""The recorded measurements of the engines as JSON, a Markdown page and a plot."""

from __future__ import annotations

import json
import os
import platform
import statistics
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from benchmarks.engine import REFERENCE
from scmn.data.atomic import atomic_path
from scmn.errors import InputError

INTRODUCTION = """\
# Performance

Made by `python scripts/benchmark.py --engine` from [{record}]({record}): every figure is a recorded
one. Both engines segment the same synthetic frames in one process, in turn, with the same weights.
*reference* is the published way of working (`scripts/benchmarks/reference_engine.py`): every
object's skip path and image stem computed again, memory that grows by concatenation, one dense
affinity, top-k by scattering, float32. The other lines are this package's `VideoSegmenter`.

A frame's time goes from the image to the label map (median of the timed frames, least and most in
brackets). *faster* is the reference's median over the line's. *same masks* is the mean J between
the reference's masks and the line's, over all frames; each engine remembers its own predictions.
*peak memory*, where it was measured, is what a process of its own took beyond the loaded network.
*remembered frames* stay the same while frames are timed; the previous one is among them in STM and
SCMN.

Only `scmn_small` has trained weights here. Random weights, which the others have, turn the rounding
of bf16 into other masks: how well it agrees is told by `scmn_small`.

![Time of a frame, in milliseconds]({picture})
"""
COLUMNS = (
    "network",
    "objects",
    "remembered frames",
    "size",
    "engine",
    "ms a frame",
    "frames/s",
    "faster",
    "same masks",
    "peak memory, MiB",
)


def machine() -> str:
    """Describe where this runs."""
    names = Path("/proc/cpuinfo")
    processor = platform.processor() or platform.machine()
    if names.is_file():
        lines = names.read_text(encoding="utf-8").splitlines()
        processor = next((x.split(":")[1].strip() for x in lines if "model name" in x), processor)
    return (
        f"{processor}, {torch.get_num_threads()} threads, torch {torch.__version__}, "
        f"Python {platform.python_version()}"
    )


def record(path: Path, name: str, command: str, measured: list[dict[str, Any]]) -> dict[str, Any]:
    """Add a named table to the file of measurements, in place of one of that name."""
    content: dict[str, Any] = {}
    if path.is_file():
        content = json.loads(path.read_text(encoding="utf-8"))
    content[name] = {"command": command, "machine": machine(), "cases": measured}
    with atomic_path(path) as temporary:
        temporary.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
    return content


def write_page(path: Path, record_path: Path, picture: Path, content: Mapping[str, Any]) -> None:
    """Write the Markdown page and its plot."""
    _plot(content, picture)
    text = INTRODUCTION.format(
        record=os.path.relpath(record_path, path.parent),
        picture=os.path.relpath(picture, path.parent),
    )
    for name, table in content.items():
        text += f"\n## {name}\n\n`{table['command']}` on {table['machine']}:\n\n"
        text += markdown(table["cases"])
    with atomic_path(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def markdown(cases: list[dict[str, Any]]) -> str:
    """Return a table with a line for every case and engine."""
    lines = [f"| {' | '.join(COLUMNS)} |", "|" + "---|" * len(COLUMNS)]
    for case in cases:
        engines = case["engines"]
        for name, engine in engines.items():
            times = engine["milliseconds"]
            faster, same = "", ""
            if REFERENCE in engines and name != REFERENCE:
                faster = f"**{engines[REFERENCE]['median'] / engine['median']:.2f}×**"
                same = f"{engine['agreement']:.5f}"
            peak = engine["peak_mib"]
            cells = [
                case["network"],
                str(case["objects"]),
                str(case["remembered"]),
                "×".join(map(str, case["size"])),
                name,
                f"{engine['median']:.0f} ({min(times):.0f}–{max(times):.0f})",
                f"{1000 / engine['median']:.2f}",
                faster,
                same,
                "" if peak is None else f"{peak:.0f}",
            ]
            lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def _plot(content: Mapping[str, Any], path: Path) -> None:
    try:
        import matplotlib
    except ImportError as error:
        raise InputError("the plot needs matplotlib: pip install 'scmn[dev]'") from error
    matplotlib.use("Agg")
    from matplotlib import pyplot

    cases = [case for table in content.values() for case in table["cases"]]
    engines = list(dict.fromkeys(name for case in cases for name in case["engines"]))
    figure, axes = pyplot.subplots(figsize=(7.5, 0.5 * len(cases) + 1), layout="tight")
    height = 0.8 / len(engines)
    for order, engine in enumerate(engines):
        bars = [(row, case) for row, case in enumerate(cases) if engine in case["engines"]]
        axes.barh(
            [row + (order - (len(engines) - 1) / 2) * height for row, _ in bars],
            [statistics.median(case["engines"][engine]["milliseconds"]) for _, case in bars],
            height,
            label=engine,
        )
    axes.set_yticks(range(len(cases)), [_title(case) for case in cases])
    axes.invert_yaxis()
    axes.set_xlabel("milliseconds a frame (logarithmic)")
    axes.set_xscale("log")
    axes.legend(fontsize="small")
    with atomic_path(path) as temporary:
        figure.savefig(temporary)
    pyplot.close(figure)


def _title(case: Mapping[str, Any]) -> str:
    size = "×".join(map(str, case["size"]))
    return f"{case['network']}, {case['objects']} obj., T {case['remembered']}, {size}"

"""docs/performance.md with its plot, from the recorded measurements; nothing is typed by hand."""

from __future__ import annotations

import json
import os
import statistics
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pages import machine, median_and_range, plot, table, times_faster
from sizes import size_text

from benchmarks.engine import REFERENCE
from benchmarks.networks import title
from scmn.data.atomic import atomic_path

INTRODUCTION = """\
# Performance

Made by `python scripts/benchmark.py ... --record TITLE` from [{record}]({record}): every figure is
a recorded one, with the command and the machine that it came from.

In the tables of engines, both segment the same synthetic frames in one process, in turn, with the
same weights. *reference* is the published way of working
(`scripts/benchmarks/reference_engine.py`): every object's skip path and image stem computed
again, memory that grows by concatenation, one dense affinity, top-k by scattering, float32; in
STCN the images and probabilities of a whole video, every fifth frame of which is remembered. The
other lines are this package's `VideoSegmenter`.

A frame's time goes from the image to the label map (median of the timed frames, least and most in
brackets). *faster* is the reference's median over the line's. *same masks* is the mean J between
the reference's masks and the line's, over all frames; each engine remembers its own predictions.
*peak memory*, where it was measured, is what a process of its own took beyond the loaded network.
*remembered frames* stay the same while frames are timed; the previous one is among them in STM and
SCMN.

How far masks are the same is told by trained weights: `scmn_small`, and what is called trained (a
file of weights, named in the command). With random weights, which the others have, objects differ
by little, and rounding decides between two of them at some pixels: in float32 at one in a thousand,
in bf16 at many.

![Time of a frame, in milliseconds]({picture})
"""


def record(path: Path, name: str, command: str, measured: Mapping[str, Any]) -> dict[str, Any]:
    """Add a named table to the file of measurements, in place of one of that name.

    Args:
        path: the JSON file.
        name: title of the table.
        command: what printed it.
        measured: ``cases`` of engines, or ``rows`` of a table.
    """
    content: dict[str, Any] = {}
    if path.is_file():
        content = json.loads(path.read_text(encoding="utf-8"))
    content[name] = {"command": command, "machine": machine(), **measured}
    with atomic_path(path) as temporary:
        temporary.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
    return content


def write_page(path: Path, record_path: Path, picture: Path, content: Mapping[str, Any]) -> None:
    """Write the Markdown page and its plot."""
    _plot([case for part in content.values() for case in part.get("cases", [])], picture)
    text = INTRODUCTION.format(
        record=os.path.relpath(record_path, path.parent),
        picture=os.path.relpath(picture, path.parent),
    )
    for name, part in content.items():
        text += f"\n## {name}\n\n`{part['command']}` on {part['machine']}:\n\n"
        text += table(part["rows"] if "rows" in part else engine_rows(part["cases"]))
    with atomic_path(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def engine_rows(cases: Sequence[Mapping[str, Any]]) -> list[dict[str, str]]:
    """Return the rows of a table with a line for every case and engine."""
    return [
        _engine_row(case, name, engine, case["engines"].get(REFERENCE))
        for case in cases
        for name, engine in case["engines"].items()
    ]


def _engine_row(
    case: Mapping[str, Any],
    name: str,
    engine: Mapping[str, Any],
    reference: Mapping[str, Any] | None,
) -> dict[str, str]:
    times, peak = engine["milliseconds"], engine["peak_mib"]
    median = statistics.median(times)
    faster, same = "", ""
    if reference is not None and name != REFERENCE:
        faster = times_faster(statistics.median(reference["milliseconds"]), median)
        same = f"{engine['agreement']:.5f}"
    return {
        "network": title(case["network"]),
        "objects": str(case["objects"]),
        "remembered frames": str(case["remembered"]),
        "size": size_text(case["size"]),
        "engine": name,
        "ms a frame": median_and_range(times),
        "frames/s": f"{1000 / median:.2f}",
        "faster": faster,
        "same masks": same,
        "peak memory, MiB": "" if peak is None else f"{peak:.0f}",
    }


def _plot(cases: Sequence[Mapping[str, Any]], path: Path) -> None:
    engines = list(dict.fromkeys(name for case in cases for name in case["engines"]))
    thickness = 0.8 / max(len(engines), 1)
    with plot(path, height=0.5 * len(cases) + 1) as axes:
        for order, engine in enumerate(engines):
            bars = [(row, case) for row, case in enumerate(cases) if engine in case["engines"]]
            axes.barh(
                [row + (order - (len(engines) - 1) / 2) * thickness for row, _ in bars],
                [statistics.median(case["engines"][engine]["milliseconds"]) for _, case in bars],
                thickness,
                label=engine,
            )
        axes.set_yticks(range(len(cases)), [_title(case) for case in cases])
        axes.invert_yaxis()
        axes.set_xlabel("milliseconds a frame (logarithmic)")
        axes.set_xscale("log")
        if engines:
            axes.legend(fontsize="small")


def _title(case: Mapping[str, Any]) -> str:
    size = size_text(case["size"])
    return f"{title(case['network'])}, {case['objects']} obj., T {case['remembered']}, {size}"

"""Tables, plots and the description of the machine for the generated pages of docs/."""

from __future__ import annotations

import contextlib
import platform
import statistics
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from scmn.data.atomic import atomic_path
from scmn.errors import InputError
from scmn.evaluation.sequence_run import thread_count


def machine() -> str:
    """Describe the processor, the GPU and the versions for a page."""
    processor = platform.processor() or platform.machine()
    names = Path("/proc/cpuinfo")
    if names.is_file():
        lines = names.read_text(encoding="utf-8").splitlines()
        processor = next((x.split(":")[1].strip() for x in lines if "model name" in x), processor)
    if torch.cuda.is_available():
        processor = f"{torch.cuda.get_device_name()}, {processor}"
    return (
        f"{processor}, {thread_count()}, torch {torch.__version__}, "
        f"Python {platform.python_version()}"
    )


def table(rows: Sequence[Mapping[str, str]]) -> str:
    """Return a Markdown table with the columns of the first row."""
    columns = list(rows[0])
    lines = [f"| {' | '.join(columns)} |", "|" + "---|" * len(columns)]
    lines += [f"| {' | '.join(row[column] for column in columns)} |" for row in rows]
    return "\n".join(lines) + "\n"


def median_and_range(times: Sequence[float]) -> str:
    """Return median, minimum and maximum as text, with a decimal below 100."""
    median = statistics.median(times)
    decimals = 1 if median < 100 else 0
    return f"{median:.{decimals}f} ({min(times):.{decimals}f}–{max(times):.{decimals}f})"


def times_faster(before: float, after: float) -> str:
    """Return the ratio of two times as Markdown."""
    return f"**{before / after:.2f}×**"


@contextlib.contextmanager
def plot(path: Path, *, height: float) -> Iterator[Any]:
    """Yield matplotlib axes, then write the picture atomically.

    Raises:
        InputError: matplotlib is not installed.
    """
    try:
        import matplotlib
    except ImportError as error:
        raise InputError("the plot needs matplotlib: pip install 'scmn[dev]'") from error
    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(figsize=(7.5, height), layout="tight")
    try:
        yield axes
        with atomic_path(path) as temporary:
            figure.savefig(temporary)
    finally:
        pyplot.close(figure)

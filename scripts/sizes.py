"""Frame sizes as text: HEIGHTxWIDTH on the command line, HEIGHT×WIDTH in tables."""

from __future__ import annotations

import argparse
import re


def parse_size(text: str) -> tuple[int, int]:
    """Return (height, width) of an argument such as 480x854."""
    match = re.fullmatch(r"(\d+)x(\d+)", text)
    if match is None:
        raise argparse.ArgumentTypeError(f"'{text}' is not HEIGHTxWIDTH, such as 480x854")
    return int(match[1]), int(match[2])


def size_text(size: tuple[int, int]) -> str:
    """Return a size for a table."""
    return "×".join(map(str, size))

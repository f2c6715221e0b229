"""Checkpoints with the published names and deterministic weights, those of the golden numbers.

python -m tests.published_files stm stm.pth
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import torch

from tests.golden.deterministic_weights import fill

GOLDEN = Path(__file__).parent / "golden"


def write_published_file(name: str, path: Path) -> None:
    """Write the checkpoint of ``name``, stm or stcn."""
    shapes = json.loads((GOLDEN / f"{name}_state_dict.json").read_text())
    empty = {key: torch.zeros(shape) for key, shape in shapes.items()}
    # The published STM file was saved from DataParallel.
    prefix = "module." if name == "stm" else ""
    torch.save({prefix + key: value for key, value in fill(empty, salt="c").items()}, path)


if __name__ == "__main__":
    write_published_file(sys.argv[1], Path(sys.argv[2]))

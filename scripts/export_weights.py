#!/usr/bin/env python
"""Export a training checkpoint to a small .safetensors file for release.

    python scripts/export_weights.py runs/scmn/best.pt scmn.safetensors --dtype fp16

The file holds the weights and the settings of the network, nothing else. eval.py, train.py and
build_model(..., weights=FILE) read it. If the run averaged its weights, the average is exported.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import torch
from torch import Tensor

from scmn import build_model, save_weights
from scmn.errors import InputError
from scmn.program import ArgumentParser, run_program
from scmn.training.checkpoint import read_checkpoint
from scmn.weights.files import load_weights

DTYPES = {"fp32": torch.float32, "fp16": torch.float16, "bf16": torch.bfloat16}


def main(arguments: Sequence[str] | None = None) -> None:
    parser = ArgumentParser.of_program(__doc__ or "")
    add = parser.add_argument
    add("checkpoint", type=Path, help="last.pt, best.pt or another checkpoint of a training run")
    add("out", type=Path, metavar="OUT.safetensors")
    add("--dtype", choices=DTYPES, default="fp32", help="precision of the weights (%(default)s)")
    add("--no-average", action="store_true", help="export the weights as trained")
    given = parser.parse_args(arguments)
    if given.out.suffix != ".safetensors":
        raise InputError(f"{given.out} must end in .safetensors")
    checkpoint = read_checkpoint(given.checkpoint)
    averaged = None if given.no_average else checkpoint.averaged_weights
    weights = averaged or checkpoint.weights
    dtype = DTYPES[given.dtype]
    _check_range(weights.state, dtype)
    network = build_model(checkpoint.description.name, **checkpoint.description.settings)
    load_weights(network, weights)
    save_weights(network, given.out, dtype=dtype)
    kind = "averaged weights" if averaged else "weights"
    print(
        f"wrote {given.out}: {kind} of {checkpoint.description.name} after {checkpoint.iteration} "
        f"iterations, {given.dtype}, {given.out.stat().st_size / 2**20:.1f} MiB"
    )


def _check_range(state: Mapping[str, Tensor], dtype: torch.dtype) -> None:
    """Refuse weights that are not finite in ``dtype``."""
    for name, value in state.items():
        if value.is_floating_point() and not torch.isfinite(value.to(dtype)).all():
            largest = value.abs().max().item()
            raise InputError(
                f"tensor {name} holds values (up to {largest:g}) that {dtype} cannot hold"
            )


if __name__ == "__main__":
    run_program(main)

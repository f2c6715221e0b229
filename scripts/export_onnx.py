#!/usr/bin/env python
"""Export a network to ONNX: three graphs and their settings, for scmn.deployment.

    python scripts/export_onnx.py --output scmn_small-onnx
    python scripts/export_onnx.py --config stcn --weights stcn.pth --output stcn-onnx
    python scripts/export_onnx.py --output out --compare 480x864 memory.max_frames=4

docs/deployment.md shows how to run them. Needs the extra onnx.
"""

from __future__ import annotations

import logging
import statistics
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from sizes import parse_size

from scmn.build import build_model
from scmn.data.synthetic import SyntheticSequence, SyntheticSettings
from scmn.deployment.export import export_onnx
from scmn.deployment.segmenter import OnnxSegmenter
from scmn.evaluation.evaluate import load_settings
from scmn.inference.segmenter import VideoSegmenter
from scmn.networks.base import MemoryNetwork
from scmn.program import ArgumentParser, run_program

FRAMES = 20
WARM_UP = 2
ADDED, REMOVED = 6, 13
"""Frames of the comparison on which the third object is given and the first one removed."""
LARGEST_DIFFERENCE = 1e-4
ROUNDING_FACTOR = 10
"""Larger differences pass up to this multiple of those between PyTorch's own two engines."""
PLAIN, ACCELERATED, ONNX = "PyTorch, plain layers", "PyTorch, accelerated", "ONNX Runtime"


def main(arguments: Sequence[str] | None = None) -> None:
    parser = ArgumentParser.of_program(__doc__ or "")
    add = parser.add_argument
    add("--config", type=Path, help="YAML file or name; optional if the weights name their model")
    add("--weights", type=Path, help="weights file (default: random, or the bundled ones)")
    add("--output", type=Path, required=True, help="folder of the graphs")
    add("--compare", type=parse_size, metavar="HxW", help="compare with PyTorch on the CPU")
    add("overrides", nargs="*", metavar="key=value", help="override the configuration")
    given = parser.parse_args(arguments)
    for noisy in ("onnx_ir", "onnxscript"):
        logging.getLogger(noisy).setLevel(logging.WARNING)
    config, weights = load_settings(given.config, given.overrides, given.weights)
    network = build_model(
        config.model.name,
        backbone=config.model.backbone,
        weights=weights,
        **config.model.switches,
    )
    for path in export_onnx(network, given.output, memory=config.memory):
        print(f"wrote {path} ({path.stat().st_size / 2**20:.1f} MiB)", flush=True)
    if given.compare is not None:
        difference, rounding = compare(network, given.output, given.compare, config.memory)
        limit = max(LARGEST_DIFFERENCE, ROUNDING_FACTOR * rounding)
        if not difference <= limit:  # nor NaN
            sys.exit(f"the graphs differ from PyTorch by more than {limit:.0e}")


def compare(
    network: MemoryNetwork, folder: Path, size: tuple[int, int], memory: Mapping[str, Any]
) -> tuple[float, float]:
    """Print the processor time per frame of PyTorch and ONNX Runtime, and how they differ.

    All segment the same video, in which an object is added and one removed, each from its own
    memory. Where a few positions are selected (``top_k``, the kernel's centres), or random weights
    multiply errors from frame to frame, the rounding of equal networks parts them: the network
    without acceleration shows how far. Unlike the time on the clock, that of the processor hardly
    depends on what else is running.

    Returns:
        The largest difference of a probability between ONNX Runtime and accelerated PyTorch, and
        between plain and accelerated PyTorch.
    """
    torch.set_num_threads(1)  # waiting threads spin, also while the others compute
    plain = VideoSegmenter(network, memory=memory, device="cpu")
    plain.model = network.eval()
    segmenters: dict[str, VideoSegmenter | OnnxSegmenter] = {
        PLAIN: plain,
        ACCELERATED: VideoSegmenter(network, memory=memory, device="cpu"),
        ONNX: OnnxSegmenter(folder, threads=1),
    }
    sequence = SyntheticSequence(
        SyntheticSettings(size=size, frames=FRAMES, objects=(3, 3), out_of_view=0), seed=0, number=0
    )
    seconds: dict[str, list[float]] = {name: [] for name in segmenters}
    differences = {PLAIN: 0.0, ONNX: 0.0}
    for index in range(FRAMES):
        image, labels = sequence.frame(index)
        given = {0: labels * (labels < 3), ADDED: labels * (labels == 3)}.get(index)
        found = {}
        for name, segmenter in segmenters.items():
            if index == REMOVED:
                segmenter.remove_object(1)
            start = time.process_time()
            prediction = segmenter.step(image, given)
            _ = prediction.labels
            seconds[name].append(time.process_time() - start)
            found[name] = np.asarray(prediction.probabilities)
        for name, largest in differences.items():
            difference = np.abs(found[name] - found[ACCELERATED]).max()
            differences[name] = float(np.maximum(largest, difference))  # keeps NaN
    for name, times in seconds.items():
        milliseconds = f"{1000 * statistics.median(times[WARM_UP:]):.0f} ms of CPU time per frame"
        print(f"{name}: {milliseconds}, 2 or 3 objects, one thread")
    print(f"largest differences of a probability from accelerated PyTorch over {FRAMES} frames:")
    for name, difference in differences.items():
        print(f"{name}: {difference:.1e}")
    return differences[ONNX], differences[PLAIN]


if __name__ == "__main__":
    run_program(main)

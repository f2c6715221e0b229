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

FRAMES = 6
WARM_UP = 2


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
        compare(network, given.output, given.compare, config.memory)


def compare(
    network: MemoryNetwork, folder: Path, size: tuple[int, int], memory: Mapping[str, Any]
) -> None:
    """Print the processor time per frame of PyTorch and ONNX Runtime, and how they differ.

    Unlike the time on the clock, that of the processor hardly depends on what else is running.
    """
    threads = torch.get_num_threads()
    segmenters: dict[str, VideoSegmenter | OnnxSegmenter] = {
        "PyTorch": VideoSegmenter(network, memory=memory, device="cpu"),
        "ONNX Runtime": OnnxSegmenter(folder, threads=threads),
    }
    sequence = SyntheticSequence(SyntheticSettings(size=size, frames=FRAMES), seed=0, number=0)
    seconds: dict[str, list[float]] = {name: [] for name in segmenters}
    difference = 0.0
    for index in range(FRAMES):
        image, labels = sequence.frame(index)
        found = []
        for name, segmenter in segmenters.items():
            start = time.process_time()
            prediction = segmenter.step(image, labels if index == 0 else None)
            _ = prediction.labels
            seconds[name].append(time.process_time() - start)
            found.append(np.asarray(prediction.probabilities))
        difference = max(difference, float(np.abs(found[0] - found[1]).max()))
    objects = len(segmenters["PyTorch"].object_ids)
    for name, times in seconds.items():
        milliseconds = f"{1000 * statistics.median(times[WARM_UP:]):.0f} ms of CPU time per frame"
        print(f"{name}: {milliseconds}, {objects} objects, {threads} threads")
    print(f"largest difference of a probability: {difference:.1e}")


if __name__ == "__main__":
    run_program(main)

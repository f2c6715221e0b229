r"""Measure whether a network would be worse if time were shuffled.

    python scripts/shuffle_time.py --dataset davis2017-val --data DAVIS --size 480
    python scripts/shuffle_time.py --network stm=STM_weights.pth stcn=stcn.pth \
        --dataset davis2016-val davis2017-val --data DAVIS2016 DAVIS --size 480 memory.every=1

Prints J, in percent, of each network on each data set. *Shuffled frames*: the frames after the last
given one come in a random order, and each is compared with its own annotation. *Shuffled memory*:
at each read the remembered frames change places in time. J is the mean over objects and annotated
frames of a sequence, given frames left out, then over sequences.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from unittest.mock import patch

import numpy as np
import torch
from benchmarks.networks import SMALL, build, title
from pages import table
from torch import Tensor

from scmn import VideoSegmenter
from scmn.config import load_config
from scmn.data.datasets import Dataset, open_dataset
from scmn.data.sequences import VideoSequence
from scmn.evaluation.metrics import region_similarity
from scmn.networks.base import MemoryNetwork
from scmn.networks.features import MemoryFrames, QueryFeatures
from scmn.networks.memory_read import ReadSettings
from scmn.program import ArgumentParser, run_program


def main() -> None:
    parser = ArgumentParser.of_program(__doc__ or "")
    add = parser.add_argument
    add("--network", nargs="+", default=[SMALL], metavar="NAME[=WEIGHTS]")
    add("--dataset", nargs="+", required=True)
    add("--data", nargs="+", type=Path, required=True, help="a folder for each data set")
    add("--sequence", action="append", help="only this one (repeatable)")
    add("--size", type=int, help="scale frames up or down to this shorter side")
    add("--precision", default="auto")
    add("--seed", type=int, default=0, help="of the random orders (default: %(default)s)")
    add("overrides", nargs="*", metavar="memory.key=value", help="override the memory's settings")
    given = parser.parse_args()
    if len(given.data) != len(given.dataset):
        parser.error(f"{len(given.dataset)} data sets but {len(given.data)} folders in --data")
    datasets = [
        open_dataset(name, folder, sequences=given.sequence)
        for name, folder in zip(given.dataset, given.data, strict=True)
    ]
    memory = load_config(None, given.overrides).memory
    options = {"size": given.size, "upscale": True, "precision": given.precision}
    rows = []
    for network in given.network:
        segmenter = VideoSegmenter(build(network), memory=memory, device="auto", **options)
        for dataset in datasets:
            name = {"network": title(network), "data set": dataset.name}
            scores = time_scores(segmenter, dataset, seed=given.seed)
            rows.append(name | {order: f"{100 * j:.2f}" for order, j in scores.items()})
    print(table(rows), end="")


def time_scores(segmenter: VideoSegmenter, dataset: Dataset, *, seed: int) -> Mapping[str, float]:
    """Return J by what is shuffled: nothing, the frames or the memory."""
    sequences = dataset.sequences
    shuffled = [shuffled_frames(sequence, seed=seed) for sequence in sequences]
    scores = {
        "in order": mean_j(segmenter, sequences),
        "shuffled frames": mean_j(segmenter, shuffled),
    }
    with shuffled_memory(segmenter.model, seed=seed):
        scores["shuffled memory"] = mean_j(segmenter, sequences)
    return scores


def mean_j(segmenter: VideoSegmenter, sequences: Sequence[VideoSequence]) -> float:
    return float(np.mean([np.mean(list(object_scores(segmenter, s))) for s in sequences]))


def object_scores(segmenter: VideoSegmenter, sequence: VideoSequence) -> Iterator[float]:
    """Yield J of each object on each annotated frame that is not given."""
    segmenter.reset()
    for frame in sequence.frames():
        prediction = segmenter.step(frame.image, frame.labels)
        if frame.labels is None and frame.index in sequence.annotation_paths:
            annotation = sequence.annotation(frame.index)
            for object_id in prediction.object_ids:
                yield region_similarity(annotation == object_id, prediction.labels == object_id)


def shuffled_frames(sequence: VideoSequence, *, seed: int) -> VideoSequence:
    """Return a sequence whose frames after the last given one are in a random order."""
    start = max(sequence.given_objects, default=0) + 1
    order = list(range(len(sequence)))
    order[start:] = np.random.default_rng(seed).permutation(order[start:]).tolist()
    annotations = sequence.annotation_paths
    return replace(
        sequence,
        image_paths=tuple(sequence.image_paths[old] for old in order),
        annotation_paths={
            new: annotations[old] for new, old in enumerate(order) if old in annotations
        },
    )


@contextlib.contextmanager
def shuffled_memory(network: MemoryNetwork, *, seed: int) -> Iterator[None]:
    """Let the remembered frames change places in time at random, anew at each read."""
    generator = torch.Generator().manual_seed(seed)
    in_order = network.read

    def read(
        query: QueryFeatures, memory: MemoryFrames, settings: ReadSettings | None = None
    ) -> tuple[Tensor, Tensor | None]:
        order = torch.randperm(memory.key.shape[3], generator=generator).to(memory.key.device)
        key, value = memory.key[:, :, :, order], memory.value[:, :, :, order]
        readout, attention = in_order(query, replace(memory, key=key, value=value), settings)
        # The memory gets the attention of each frame where it has it.
        return readout, None if attention is None else attention[:, :, order.argsort()]

    with patch.object(network, "read", read):
        yield


if __name__ == "__main__":
    run_program(main)

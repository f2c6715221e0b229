"""Write the trivial baseline for a data set: the given masks, repeated on every later frame.

    python scripts/repeat_first_mask.py --dataset davis2017-val --data DAVIS --output results/repeat
    python eval.py --score-only results/repeat --dataset davis2017-val --data DAVIS

Its score is a lower bound for any useful method.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch

from scmn.data.datasets import open_dataset
from scmn.data.masks import write_label_map
from scmn.data.sequences import VideoSequence
from scmn.evaluation.run_folder import RunFolder, prediction_path
from scmn.output_lock import output_lock
from scmn.processes import Processes
from scmn.program import ArgumentParser, run_program


def main() -> None:
    parser = ArgumentParser.of_program(__doc__ or "")
    parser.add_argument("--dataset", required=True)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--output", type=Path, required=True)
    arguments = parser.parse_args()
    dataset = open_dataset(arguments.dataset, arguments.data)
    output: Path = arguments.output
    with output_lock(output, Processes(torch.device("cpu"))):
        files = RunFolder(output).result_files()
        for sequence in dataset.sequences:
            for name, labels in repeated_masks(sequence):
                path = prediction_path(output, sequence.name, name)
                write_label_map(path, labels, before_rename=files.claim)


def repeated_masks(sequence: VideoSequence) -> Iterator[tuple[str, np.ndarray]]:
    """Yield the name and label map, uint8 (H, W), of every frame whose mask is written."""
    labels = np.zeros((0, 0), dtype=np.uint8)
    for index, name in enumerate(sequence.frame_names):
        given = sequence.given_labels(index)
        if given is not None:
            before = labels if labels.shape == given.shape else np.zeros_like(given)
            labels = np.where(given > 0, given, before)
        if sequence.is_written(name):
            yield name, labels


if __name__ == "__main__":
    run_program(main)

"""Measure how well the confidence of a prediction tells good masks from bad ones.

    python scripts/confidence.py --dataset davis2017-val --data DAVIS --size 480

Prints Spearman's rank correlation of ``Prediction.confidence`` with the true IoU, over the objects
and annotated frames of each sequence and of all together. Given frames are left out, and those
where an object has no mask, which has no confidence.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from scmn import VideoSegmenter, build_model
from scmn.data.datasets import open_dataset
from scmn.data.sequences import VideoSequence
from scmn.evaluation.metrics import region_similarity
from scmn.program import ArgumentParser, run_program


def main() -> None:
    parser = ArgumentParser.of_program(__doc__ or "")
    parser.add_argument("--dataset", required=True)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--sequence", action="append", help="only this one (repeatable)")
    parser.add_argument("--model", default="scmn_small")
    parser.add_argument("--weights", default="default")
    parser.add_argument("--size", type=int, help="scale frames up or down to this shorter side")
    parser.add_argument("--precision", default="auto")
    given = parser.parse_args()
    segmenter = VideoSegmenter(
        build_model(given.model, weights=given.weights),
        size=given.size,
        upscale=True,
        device="auto",
        precision=given.precision,
    )
    dataset = open_dataset(given.dataset, given.data, sequences=given.sequence)
    pairs = {sequence.name: list(rated(segmenter, sequence)) for sequence in dataset.sequences}
    print(f"{'sequence':24} {'masks':>6} {'rank correlation with IoU':>26}")
    together = [pair for rows in pairs.values() for pair in rows]
    for name, rows in {**pairs, "all": together}.items():
        print(f"{name:24} {len(rows):6} {rank_correlation(np.array(rows)):26.2f}")


def rated(segmenter: VideoSegmenter, sequence: VideoSequence) -> Iterator[tuple[float, float]]:
    """Yield the confidence and the IoU of every predicted mask of annotated frames."""
    segmenter.reset()
    for frame in sequence.frames():
        prediction = segmenter.step(frame.image, frame.labels)
        if frame.labels is not None or frame.index not in sequence.annotation_paths:
            continue
        annotation = sequence.annotation(frame.index)
        confidence = prediction.confidence.tolist()
        for object_id, sure in zip(prediction.object_ids, confidence, strict=True):
            predicted, true = prediction.labels == object_id, annotation == object_id
            if predicted.any():
                yield sure, region_similarity(true, predicted)


def rank_correlation(pairs: np.ndarray) -> float:
    """Return Spearman's correlation of two columns (n, 2); NaN if one of them is constant."""
    if len(pairs) < 2 or (pairs == pairs[0]).all(axis=0).any():
        return float("nan")
    return float(np.corrcoef(np.apply_along_axis(_ranks, 0, pairs), rowvar=False)[0, 1])


def _ranks(numbers: np.ndarray) -> np.ndarray:
    """Return the rank of each number (n,); equal ones share the mean of theirs."""
    _, places, counts = np.unique(numbers, return_inverse=True, return_counts=True)
    last = np.cumsum(counts)
    return (last - (counts - 1) / 2)[places]


if __name__ == "__main__":
    run_program(main)

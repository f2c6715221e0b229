#!/usr/bin/env python
r"""Segment videos with a trained network and score the masks.

    python eval.py --config configs/stm.yaml --weights STM_weights.pth \
        --dataset davis2017-val --data DAVIS --output results/stm-davis2017-val
    python eval.py --video my.mp4 --mask first.png --overlay
    python eval.py --weights stcn.pth --video my.mp4 --mask first.png
    python eval.py --score-only results/stm-davis2017-val/masks --dataset davis2017-val --data DAVIS

Trailing key=value arguments override the configuration: memory.every=3 evaluation.size=600.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from scmn.errors import InputError
from scmn.programs import ArgumentParser, is_first_process, run_program

ONLY_TO_SEGMENT = (
    "config", "weights", "video", "mask", "overlay", "device", "precision", "size",
)  # fmt: skip


def parse_arguments() -> argparse.Namespace:
    parser = ArgumentParser.of_program(__doc__ or "")
    add = parser.add_argument
    add(
        "--config",
        type=Path,
        help="YAML file of configs/; not needed if the weights name a model",
    )
    add(
        "--weights",
        type=Path,
        help="published STM or STCN file, .safetensors, checkpoint, or 'default': the model's own "
        "that come with the package (of scmn_small, which is used where you name no model)",
    )
    add("--dataset", help="davis2016-val, davis2017-val, youtube-vos-2019-val, mose-val, ...")
    add("--data", type=Path, help="folder of the data set")
    add("--sequence", action="append", metavar="NAME", help="only this sequence (repeatable)")
    add("--video", type=Path, help="video file, folder of frames, or folder of such folders")
    add(
        "--mask",
        type=Path,
        action="append",
        metavar="PNG",
        help="label PNG of the first frame; "
        "repeatable or a folder, then each is named after its frame",
    )
    add("--output", type=Path, help="folder for results (default: results/<data>-<model>)")
    add("--score-only", type=Path, metavar="FOLDER", help="score the masks in FOLDER, run nothing")
    add("--overlay", action="store_true", help="write an mp4 of the masks over each video")
    add("--device", help="auto, cpu, cuda, cuda:N, mps")
    add("--precision", choices=("fp32", "bf16", "fp16"))
    add("--size", type=int, help="scale frames down to this shorter side; 0: their own size")
    add("overrides", nargs="*", metavar="key=value", help="override the configuration")
    arguments = parser.parse_args()
    if len(sys.argv) == 1:
        parser.print_help()
    refuse_wrong_combinations(arguments)
    for name in ("device", "precision", "size"):
        value = getattr(arguments, name)
        if value is not None:
            arguments.overrides.append(f"evaluation.{name}={value}")
    return arguments


def refuse_wrong_combinations(arguments: argparse.Namespace) -> None:
    if arguments.score_only is not None:
        for name in ONLY_TO_SEGMENT:
            value = getattr(arguments, name)
            if value is not None and value is not False:  # --size 0 is a value
                raise InputError(f"--{name} has no meaning with --score-only, which runs nothing")
        if arguments.dataset is None:
            raise InputError("--score-only needs the annotations: give --dataset and --data")
    if arguments.dataset is None and arguments.video is None:
        raise InputError(
            "what should be segmented? give --dataset and --data, or --video and --mask "
            "(see eval.py --help)"
        )
    if (arguments.dataset is None) != (arguments.data is None):
        raise InputError("--dataset and --data go together")
    if (arguments.video is None) != (arguments.mask is None):
        raise InputError("--video and --mask go together")
    if arguments.video is not None and arguments.dataset is not None:
        raise InputError("give either --dataset or --video")
    if arguments.video is not None and arguments.sequence is not None:
        raise InputError("--sequence chooses from a --dataset; it has no meaning with --video")


def score(arguments: argparse.Namespace) -> None:
    from scmn.evaluation.rescore import score_folder
    from scmn.evaluation.summary import score_table

    scores, files = score_folder(
        arguments.score_only,
        arguments.dataset,
        arguments.data,
        sequences=arguments.sequence,
        output=arguments.output,
        overrides=arguments.overrides,
    )
    print(score_table(scores), "", *(f"wrote {file}" for file in files), sep="\n")


def segment(arguments: argparse.Namespace) -> None:
    from scmn.evaluation.evaluate import Evaluation, evaluate, names_model, resolve_config
    from scmn.evaluation.inputs import dataset_evaluation, video_evaluation
    from scmn.evaluation.ranks import torchrun_rank
    from scmn.evaluation.summary import result_table
    from scmn.weights.released import DEFAULT_WEIGHTS, find_weights

    weights: Path | None = arguments.weights
    if weights is None and arguments.config is None and not names_model(arguments.overrides):
        weights = Path(DEFAULT_WEIGHTS)

    def prepare(model: str) -> Evaluation:
        common = {
            "model": model,
            "weights": None if weights is None else find_weights(weights, model),
            "output": arguments.output,
            "overlay": arguments.overlay,
        }
        if arguments.video is not None:
            return video_evaluation(arguments.video, arguments.mask, **common)
        return dataset_evaluation(
            arguments.dataset, arguments.data, sequences=arguments.sequence, **common
        )

    with torchrun_rank() as rank:
        with rank.together():
            config = resolve_config(arguments.config, arguments.overrides, weights)
            evaluation = prepare(config.model.name)
        result = evaluate(evaluation, config, rank)
    if result is not None:
        print(result_table(result))


def main() -> None:
    arguments = parse_arguments()
    if arguments.score_only is None:
        segment(arguments)
    elif is_first_process():
        score(arguments)


if __name__ == "__main__":
    run_program(main)

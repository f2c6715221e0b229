"""The command line: ``scmn-train`` (train.py) and ``scmn-eval`` (eval.py)."""

from __future__ import annotations

import argparse
import contextlib
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from scmn.errors import InputError
from scmn.program import SIGNALLED, ArgumentParser, is_first_process, run_program

if TYPE_CHECKING:
    from scmn.data.masks import GreyValues

# torch is imported where it is used: --help and mistakes in options need not wait for it.

TRAIN = r"""Train a network in stages: still images first, then videos."""
TRAIN_EXAMPLES = r"""
    %(prog)s --config configs/scmn.yaml --output runs/scmn
    %(prog)s --config configs/scmn.yaml --output runs/scmn      # again: resumes
    torchrun --nproc_per_node=4 train.py --config configs/stcn.yaml --output runs/stcn

Arguments key=value override the configuration: training.stages.main.iterations=50000.
"""
EVALUATE = r"""Segment videos with a trained network and score the masks."""
EVALUATE_EXAMPLES = r"""
    %(prog)s --config configs/stm.yaml --weights STM_weights.pth \
        --dataset davis2017-val --data DAVIS --output results/stm-davis2017-val
    %(prog)s --video my.mp4 --mask first.png --overlay
    %(prog)s --weights stcn.pth --video my.mp4 --mask first.png
    %(prog)s --score-only results/stm-davis2017-val/masks --dataset davis2017-val --data DAVIS
    torchrun --nproc_per_node=4 eval.py --config configs/stcn.yaml --weights stcn.pth \
        --dataset davis2017-test-dev --data DAVIS-test

Run the same command again to resume. Arguments key=value override the configuration:
memory.every=3 evaluation.size=600.
"""
ONLY_TO_SEGMENT = (
    "config", "weights", "video", "mask", "box", "export", "overlay", "direction",
    "device", "precision", "size",
)  # fmt: skip


def train_main(arguments: Sequence[str] | None = None) -> None:
    """Run the training program; ``arguments`` None: those of the command line."""
    run_program(lambda: _train(_train_parser().parse_args(arguments)), resumes=True)


def eval_main(arguments: Sequence[str] | None = None) -> None:
    """Run the evaluation program; ``arguments`` None: those of the command line."""
    run_program(lambda: _evaluate(_eval_parser(), arguments), resumes=True)


def _train_parser() -> ArgumentParser:
    parser = ArgumentParser(TRAIN, TRAIN_EXAMPLES)
    add = parser.add_argument
    add("--config", type=Path, required=True, help="YAML file, such as configs/scmn.yaml")
    add("--output", type=Path, help="folder of the run (default: runs/<name of the config>)")
    add("--stage", help="run only this stage of the configuration, such as pretrain or main")
    add("--resume", type=Path, help="checkpoint to resume from (default: last.pt in the output)")
    add(
        "--weights",
        type=Path,
        help="weights to start from; 'default': the model's bundled ones",
    )
    add("overrides", nargs="*", metavar="key=value", help="override the configuration")
    return parser


def _train(arguments: argparse.Namespace) -> None:
    from scmn.config import config_to_yaml, load_config

    config = load_config(arguments.config, arguments.overrides)
    output: Path = arguments.output or Path("runs") / arguments.config.stem
    if is_first_process():
        # Before anything is written: stdout may be a file on a full disk.
        print(config_to_yaml(config), flush=True)

    from scmn.training.trainer import train

    outcome = train(
        config,
        output,
        stage=arguments.stage,
        resume=arguments.resume,
        weights=arguments.weights,
    )
    if is_first_process():
        if outcome.finished:
            print(f"finished after {outcome.iteration} steps: {outcome.checkpoint}")
        else:
            print(f"stopped after step {outcome.iteration}; run the same command to resume")
    if outcome.stopped_by is not None:
        sys.exit(SIGNALLED + outcome.stopped_by)


def _eval_parser() -> ArgumentParser:
    parser = ArgumentParser(EVALUATE, EVALUATE_EXAMPLES)
    add = parser.add_argument
    add(
        "--config",
        type=Path,
        help="YAML file, such as configs/stm.yaml; optional if the weights file names its model",
    )
    add(
        "--weights",
        type=Path,
        help="published STM or STCN file, .safetensors file or checkpoint; 'default': the model's "
        "bundled weights (those of scmn_small if no model is given)",
    )
    add("--dataset", help="davis2016-val, davis2017-val, youtube-vos-2019-val, mose-val, ...")
    add("--data", type=Path, help="folder of the data set")
    add("--sequence", action="append", metavar="NAME", help="only this sequence (repeatable)")
    add("--video", type=Path, help="video file, folder of frames, or folder of such folders")
    add(
        "--mask",
        type=Path,
        action="append",
        metavar="FILE",
        help="label PNG of the first frame; repeat the option or give a folder for masks of "
        "several frames, each named after its frame; also COCO's JSON or labelme's",
    )
    add(
        "--mask-ids",
        action="store_true",
        help="the values of grey masks are object ids, also if they look like shades",
    )
    add(
        "--box",
        type=int,
        nargs=4,
        action="append",
        metavar=("X", "Y", "WIDTH", "HEIGHT"),
        help="instead of a mask: a box around an object of the first frame, which GrabCut turns "
        "into a mask (repeatable: objects 1, 2, ...)",
    )
    add(
        "--output",
        type=Path,
        help="folder for results (default: results/<data>-<model>, and for a video a digest of "
        "its path and masks)",
    )
    add("--score-only", type=Path, metavar="FOLDER", help="only score the masks in FOLDER")
    add(
        "--export",
        nargs="+",
        action="extend",
        default=[],
        metavar="FORMAT",
        help="also write each video as coco (JSON with run lengths), coco-polygons, rgba (cut-outs "
        "of the objects) or overlay (mp4 of the masks over the frames)",
    )
    add("--overlay", action="store_true", help="the same as --export overlay")
    add(
        "--direction",
        choices=("forward", "both"),
        help="both: segment the frames before a mask, too, and between two masks take the "
        "more confident of the two directions",
    )
    add("--device", help="auto, cpu, cuda, cuda:N, mps")
    add("--precision", choices=("auto", "fp32", "tf32", "bf16", "fp16"))
    add("--size", type=int, help="scale frames down to this shorter side; 0 keeps their size")
    add("overrides", nargs="*", metavar="key=value", help="override the configuration")
    return parser


def _evaluate(parser: ArgumentParser, given: Sequence[str] | None) -> None:
    if not (sys.argv[1:] if given is None else given):
        parser.print_help()
    arguments = parser.parse_args(given)
    # argparse gives --export every word that follows it.
    arguments.overrides += [word for word in arguments.export if "=" in word]
    arguments.export = [word for word in arguments.export if "=" not in word]
    _refuse_wrong_combinations(arguments, parser.prog)
    if arguments.score_only is None:
        _segment(arguments)
    elif is_first_process():
        _score(arguments)


def _refuse_wrong_combinations(arguments: argparse.Namespace, program: str) -> None:
    if arguments.score_only is not None:
        for name in ONLY_TO_SEGMENT:
            value = getattr(arguments, name)
            if value is not None and value is not False and value != []:  # --size 0 is a value
                raise InputError(f"--{name} cannot be combined with --score-only")
        if arguments.dataset is None:
            raise InputError("--score-only needs annotations: give --dataset and --data")
    if arguments.dataset is None and arguments.video is None:
        raise InputError(
            "nothing to segment: give --dataset and --data, or --video and --mask (or --box) "
            f"(see {program} --help)"
        )
    if (arguments.dataset is None) != (arguments.data is None):
        raise InputError("--dataset and --data must be given together")
    if arguments.mask_ids and arguments.mask is None:
        raise InputError("--mask-ids needs --mask")
    if arguments.mask is not None and arguments.box is not None:
        raise InputError("--mask cannot be combined with --box")
    if (arguments.video is None) != (arguments.mask is None and arguments.box is None):
        raise InputError("--video and --mask (or --box) must be given together")
    if arguments.video is not None and arguments.dataset is not None:
        raise InputError("--dataset cannot be combined with --video")
    if arguments.video is not None and arguments.sequence is not None:
        raise InputError("--sequence cannot be combined with --video: it selects from a --dataset")


def _score(arguments: argparse.Namespace) -> None:
    from scmn.config import load_config
    from scmn.evaluation.evaluate import rescore
    from scmn.evaluation.summary import score_table
    from scmn.evaluation.tasks import dataset_task

    config = load_config(None, arguments.overrides)
    scores, files = rescore(
        arguments.score_only,
        dataset_task(arguments.dataset, arguments.data, arguments.sequence),
        output=arguments.output,
        scoring_processes=config.evaluation.processes,
    )
    print(score_table(scores), "", *(f"wrote {file}" for file in files), sep="\n")


def _segment(arguments: argparse.Namespace) -> None:
    from scmn.evaluation.evaluate import evaluate, load_settings
    from scmn.evaluation.given_masks import given_masks
    from scmn.evaluation.summary import result_table
    from scmn.evaluation.tasks import dataset_task, video_task
    from scmn.processes import join_processes

    exports = dict.fromkeys([*arguments.export, *(["overlay"] if arguments.overlay else [])])
    config, weights = load_settings(arguments.config, arguments.overrides, arguments.weights)
    for name in ("direction", "device", "precision", "size"):
        if getattr(arguments, name) is not None:
            setattr(config.evaluation, name, getattr(arguments, name))
    with contextlib.ExitStack() as stack:
        processes = stack.enter_context(join_processes(config.evaluation.device))
        with processes.share_errors():
            if arguments.video is not None:
                files = given_masks(arguments.video, arguments.mask or (), arguments.box or ())
                grey: GreyValues = "forced" if arguments.mask_ids else "checked"
                task = video_task(arguments.video, stack.enter_context(files), grey=grey)
            else:
                task = dataset_task(arguments.dataset, arguments.data, arguments.sequence)
        result = evaluate(
            task,
            config,
            arguments.output or task.default_output(config.model.name),
            weights=weights,
            exports=tuple(exports),
            processes=processes,
        )
    if result is not None:
        print(result_table(result))

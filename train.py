#!/usr/bin/env python
r"""Train a network in stages: still images first, then videos.

    python train.py --config configs/scmn.yaml --output runs/scmn
    python train.py --config configs/scmn.yaml --output runs/scmn      # again: goes on where it was
    torchrun --nproc_per_node=4 train.py --config configs/stcn.yaml --output runs/stcn

Trailing key=value arguments override the configuration: training.stages.main.iterations=50000.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from scmn.config import config_to_yaml, load_config
from scmn.programs import ArgumentParser, is_first_process, run_program


def parse_arguments() -> argparse.Namespace:
    parser = ArgumentParser.of_program(__doc__ or "")
    add = parser.add_argument
    add("--config", type=Path, required=True, help="YAML file of configs/")
    add("--output", type=Path, help="folder of the run (default: runs/<config's name>)")
    add("--stage", help="run only this stage of the configuration, such as pretrain or main")
    add("--resume", type=Path, help="checkpoint to go on from (default: last.pt of the output)")
    add("--weights", type=Path, help="file of weights to start from")
    add("overrides", nargs="*", metavar="key=value", help="override the configuration")
    return parser.parse_args()


def main() -> None:
    arguments = parse_arguments()
    config = load_config(arguments.config, arguments.overrides)
    output: Path = arguments.output or Path("runs") / arguments.config.stem
    if is_first_process():
        print(config_to_yaml(config))

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
            print(f"stopped after step {outcome.iteration}; the same command goes on from there")


if __name__ == "__main__":
    run_program(main)

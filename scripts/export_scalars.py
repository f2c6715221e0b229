"""Export the TensorBoard scalars of a training run to a CSV file.

python scripts/export_scalars.py runs/scmn_small docs/scmn_small_training.csv
"""

from __future__ import annotations

import csv
from pathlib import Path

from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from scmn.data.atomic import atomic_path
from scmn.errors import InputError
from scmn.program import ArgumentParser, run_program


def main() -> None:
    parser = ArgumentParser.of_program(__doc__ or "")
    parser.add_argument("run", type=Path, help="folder of the run")
    parser.add_argument("out", type=Path, metavar="OUT.csv")
    parser.add_argument("--every", type=int, default=1, help="keep every n-th point (%(default)s)")
    given = parser.parse_args()
    if given.every < 1:
        raise InputError(f"--every must be at least 1, not {given.every}")
    folder = given.run / "tensorboard"
    if not folder.is_dir():
        raise InputError(f"{given.run} is not a training run: it has no folder tensorboard")
    events = EventAccumulator(str(folder), size_guidance={"scalars": 0})
    events.Reload()
    names = sorted(events.Tags()["scalars"])
    if not names:
        raise InputError(f"{given.run} has no TensorBoard scalars")
    with atomic_path(given.out) as temporary, temporary.open("w", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["scalar", "step", "value"])
        for name in names:
            every = 1 if name.startswith("validation/") else given.every
            for point in events.Scalars(name)[::every]:
                writer.writerow([name, point.step, f"{point.value:.5g}"])
    print(f"wrote {given.out}: {len(names)} scalars")


if __name__ == "__main__":
    run_program(main)

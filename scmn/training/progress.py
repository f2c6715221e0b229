"""Display of a run: a progress bar, and TensorBoard scalars and pictures."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from torch.utils.tensorboard import SummaryWriter
from tqdm import tqdm

from scmn.errors import InputError


class Progress:
    """Bar and TensorBoard of the first process; silent in the others."""

    def __init__(self, folder: Path, *, visible: bool, iteration: int) -> None:
        """
        Args:
            folder: folder of TensorBoard's files.
            visible: whether this is the process that logs.
            iteration: steps done so far; points of later steps, from before an interruption, are
                hidden.

        Raises:
            InputError: the folder cannot be written.
        """
        try:
            self._writer = SummaryWriter(str(folder), purge_step=iteration + 1) if visible else None
        except OSError as error:
            raise InputError(f"cannot write to {folder}: {error.strerror or error}") from error
        self._visible = visible
        self._bar: tqdm[Any] | None = None

    def begin_stage(self, name: str, *, done: int, total: int) -> None:
        """Show a new bar for a stage of ``total`` steps of which ``done`` are done."""
        self.end_stage()
        self._bar = tqdm(
            total=total, initial=done, desc=name, unit="step", disable=not self._visible
        )

    def end_stage(self) -> None:
        """Close the stage's bar."""
        if self._bar is not None:
            self._bar.close()
            self._bar = None

    def step(self) -> None:
        """Move the bar by one step."""
        if self._bar is not None:
            self._bar.update()

    def show(self, *, loss: float, iou: float, samples_per_second: float) -> None:
        """Show numbers beside the bar."""
        if self._bar is not None:
            self._bar.set_postfix_str(
                f"loss {loss:.3f}, IoU {iou:.3f}, {samples_per_second:.1f} samples/s", refresh=False
            )

    def scalars(self, values: Mapping[str, float], iteration: int) -> None:
        """Write scalars to TensorBoard, without those that are not finite (no object)."""
        if self._writer is not None:
            for name, value in values.items():
                if math.isfinite(value):
                    self._writer.add_scalar(name, value, iteration)

    def picture(self, name: str, image: np.ndarray, iteration: int) -> None:
        """Write a picture, uint8 (H, W, 3), to TensorBoard."""
        if self._writer is not None:
            self._writer.add_image(name, image, iteration, dataformats="HWC")

    def text(self, name: str, text: str, iteration: int) -> None:
        """Write a text to TensorBoard."""
        if self._writer is not None:
            self._writer.add_text(name, text, iteration)

    def say(self, line: str) -> None:
        """Print a line above the bar."""
        if self._visible:
            tqdm.write(line)

    def close(self) -> None:
        """Close the bar and flush TensorBoard."""
        self.end_stage()
        if self._writer is not None:
            self._writer.close()


class Throughput:
    """Samples per second since the last reset."""

    def __init__(self) -> None:
        self._since = time.perf_counter()
        self._samples = 0

    def count(self, samples: int) -> None:
        self._samples += samples

    def rate(self) -> float:
        """Return the samples per second since construction or the last reset."""
        return self._samples / max(time.perf_counter() - self._since, 1e-9)

    def reset(self) -> None:
        """Restart the count, to exclude the time of validation and checkpoints."""
        self._since = time.perf_counter()
        self._samples = 0

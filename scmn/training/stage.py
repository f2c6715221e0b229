"""One stage of a run: its data, loss and optimizer, and the training step."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from scmn.data.clips.batch import ClipBatch
from scmn.data.clips.loading import ClipLoader
from scmn.data.clips.mixture import ClipMixture, MixtureEntry
from scmn.data.clips.sources import open_source, require_object
from scmn.errors import InputError
from scmn.inference.devices import autocast, float32_products, resolve_precision, timed_kernels
from scmn.networks.base import MemoryNetwork
from scmn.networks.features import Segmentation
from scmn.processes import Processes
from scmn.training.checkpoint import Checkpoint, restore_random_state
from scmn.training.finiteness import LossCheck, with_overflow
from scmn.training.losses import VideoLoss
from scmn.training.normalization import check_images_per_pass, learns_statistics
from scmn.training.optimizer import (
    build_optimizer,
    clip_gradients,
    restore_optimizer,
    set_learning_rate,
)
from scmn.training.schedule import learning_rate_factor
from scmn.training.settings import StageSettings, TrainingSettings
from scmn.training.unroll import PassResult, TrainingPass


@dataclass(frozen=True)
class StepResult:
    """Result of an optimizer step; its tensors stay on the device."""

    scalars: dict[str, Tensor]
    """loss/..., averaged over this process's clips, gradient_norm, and ``iou_sum``, the sum of
    ``objects`` intersections over unions."""
    learning_rate: float
    batch: ClipBatch
    """The clips of the last forward pass, for pictures."""
    segmentations: list[Segmentation]


class Stage:
    """A stage at some iteration; ``step`` advances it by one."""

    def __init__(
        self,
        name: str,
        network: MemoryNetwork,
        settings: StageSettings,
        training: TrainingSettings,
        processes: Processes,
    ) -> None:
        """
        Args:
            name: the stage's name in the configuration.
            network: on the processes' device.
            settings: of the stage.
            training: of the run.
            processes: those that share the batch.

        Raises:
            InputError: wrong settings, or missing data.
        """
        if settings.iterations < 1:
            raise InputError(f"training.stages.{name}.iterations must be at least 1")
        if training.parts == ["mask_quality"] and settings.loss.mask_quality == 0:
            raise InputError(
                f"training.stages.{name}.loss: mask_quality is all that is trained: its weight "
                "must not be 0"
            )
        self.name = name
        self.settings = settings
        self.training = training
        self.processes = processes
        self.network = network
        self.clips_per_pass, self.passes = _share(name, settings, processes.count)
        check_images_per_pass(network, self.clips_per_pass)
        self.mixture = build_mixture(name, settings, seed=training.seed)
        self.optimizer = build_optimizer(network, settings.optimizer)
        self._precision = resolve_precision(processes.device, training.precision)
        on_gpu = processes.device.type == "cuda"
        self.scaler = torch.amp.GradScaler(enabled=on_gpu and self._precision == "fp16")
        loss = VideoLoss(settings.loss, network.aggregate)
        self._pass: nn.Module = TrainingPass(network, loss, settings.memory)
        self.iteration = 0
        self._losses = LossCheck(skipped=self.scaler.is_enabled())
        self._batches: Iterator[ClipBatch] | None = None

    @property
    def done(self) -> bool:
        return self.iteration >= self.settings.iterations

    @property
    def sample_number(self) -> int:
        """Number of the next sample: a function of the iteration, whoever draws it."""
        return self.iteration * self.settings.batch_size

    def step(self) -> StepResult:
        """Take one optimizer step, without waiting for a GPU.

        Raises:
            InputError: data cannot be read; on the CPU, where that costs nothing, also what
                :meth:`check_losses` raises.
        """
        if self._batches is None:
            trains_quality = self.settings.loss.mask_quality > 0
            self._pass = self.processes.wrap(
                self._pass,
                buffers_change=learns_statistics(self.network),
                trains_all=trains_quality or not self.network.estimates_quality,
            )
            self._batches = self._load_batches()
        rate = self.settings.optimizer.learning_rate * learning_rate_factor(
            self.iteration, total=self.settings.iterations, settings=self.settings.schedule
        )
        set_learning_rate(self.optimizer, rate)
        self.optimizer.zero_grad(set_to_none=True)
        sums: dict[str, Tensor] = {}
        for number in range(self.passes):
            batch = next(self._batches).to(self.processes.device, non_blocking=True)
            result = self._forward_and_backward(batch, last=number == self.passes - 1)
            parts = {**result.loss.parts, "total": result.loss.total.detach()}
            scalars = {f"loss/{name}": value / self.passes for name, value in parts.items()}
            scalars |= {"iou_sum": result.iou.total, "objects": result.iou.objects}
            sums = {n: sums[n] + value if sums else value for n, value in scalars.items()}
        self.scaler.unscale_(self.optimizer)
        maximum = self.settings.optimizer.clip_gradient_norm
        norm = clip_gradients(self.network, maximum)
        self._losses.add_gradient(norm, self.iteration)
        if _reads_are_free(self.processes.device):
            self._losses.check()  # as above
        self.scaler.step(self.optimizer)
        self.scaler.update()
        self.iteration += 1
        return StepResult({**sums, "gradient_norm": norm}, rate, batch, result.segmentations)

    def _forward_and_backward(self, batch: ClipBatch, *, last: bool) -> PassResult:
        """Add the gradients of a pass; the ``last`` one of a step exchanges them."""
        device, precision = self.processes.device, self._precision
        with (
            _without_sync(self._pass, skip=not last),
            timed_kernels(),
            float32_products(device, precision),
        ):
            with autocast(device, precision):
                result: PassResult = self._pass(batch, self.iteration)
            self._losses.add(result.loss.per_clip, batch, self.iteration)
            if _reads_are_free(device):
                self._losses.check()  # while the weights are still finite
            total = result.loss.total / self.passes
            if self.scaler.is_enabled():
                total = with_overflow(total, result.loss.per_clip)
            self.scaler.scale(total).backward()
        return result

    def restore(self, checkpoint: Checkpoint) -> None:
        """Continue where a checkpoint of this stage was written.

        Raises:
            InputError: its optimizer has another number of parameters.
        """
        restore_optimizer(self.optimizer, checkpoint.optimizer)
        if checkpoint.scaler:
            self.scaler.load_state_dict(dict(checkpoint.scaler))
        self.iteration = checkpoint.stage_iteration
        states = checkpoint.random_states
        # With more processes than before, some share a state.
        restore_random_state(states[self.processes.rank % len(states)], self.processes.device)

    def read(self, result: StepResult) -> dict[str, float]:
        """Return the scalars of a step: the host waits for the device, once.

        Raises:
            InputError: as :meth:`check_losses`.
        """
        numbers = self._losses.check(list(result.scalars.values()))
        return dict(zip(result.scalars, numbers, strict=True))

    def check_losses(self) -> None:
        """Check the losses of the steps since the last call of this or of :meth:`read`.

        Raises:
            InputError: one is not finite, or a gradient; the samples are named.
        """
        self._losses.check()

    def _load_batches(self) -> Iterator[ClipBatch]:
        loader = ClipLoader(
            self.mixture,
            batch_size=self.clips_per_pass,
            start=self.sample_number,
            rank=self.processes.rank,
            world_size=self.processes.count,
            workers=self.training.workers,
            pin_memory=self.processes.device.type == "cuda",
        )
        return iter(loader)


def build_mixture(name: str, stage: StageSettings, *, seed: int) -> ClipMixture:
    """Open the data sets of the stage ``name``.

    Raises:
        InputError: a data set is missing or without objects, or its settings are wrong.
    """
    entries = []
    for key, data in stage.data.items():
        if data is not None:
            where = f"training.stages.{name}.data.{key}"
            source = open_source(key, data, stage.clip, seed=seed, where=where)
            require_object(source, seed=seed, where=where)
            entries.append(MixtureEntry(source, data.repeat))
    total_samples = stage.iterations * stage.batch_size
    return ClipMixture(entries, seed=seed, total_samples=total_samples)


def _share(name: str, settings: StageSettings, processes: int) -> tuple[int, int]:
    """Return the clips per pass and the passes per step of each process."""
    share, rest = divmod(settings.batch_size, processes)
    clips = share if settings.clips_per_pass is None else settings.clips_per_pass
    if rest or share < 1 or clips < 1 or share % clips:
        raise InputError(
            f"training.stages.{name}: batch_size {settings.batch_size} is not "
            f"{processes} processes x clips_per_pass {clips} x an integer number of passes"
        )
    return clips, share // clips


def _without_sync(module: nn.Module, *, skip: bool) -> contextlib.AbstractContextManager[None]:
    """Skip the exchange of gradients if more of them follow in the same step."""
    if skip and isinstance(module, nn.parallel.DistributedDataParallel):
        return module.no_sync()
    return contextlib.nullcontext()


def _reads_are_free(device: torch.device) -> bool:
    """Whether the host reads a device's numbers without waiting for it."""
    return device.type == "cpu"

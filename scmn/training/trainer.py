"""A training run: stages in order, resuming, checkpoints, validation, logs."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from signal import Signals

from scmn.build import build_model
from scmn.config import Config, check_config, config_to_yaml
from scmn.errors import InputError
from scmn.inference.devices import explain_exhausted_memory, resolve_precision
from scmn.inference.memory.settings import complete_settings
from scmn.networks.base import MemoryNetwork
from scmn.output_lock import output_lock
from scmn.processes import Processes, join_processes
from scmn.training.averaging import WeightAverage
from scmn.training.checkpoint import Checkpoint, random_state, seed_everything
from scmn.training.checkpoint_folder import CheckpointFolder
from scmn.training.config_file import require_own_config, write_config
from scmn.training.interruption import Interruption
from scmn.training.pictures import clip_strip
from scmn.training.preparation import prepare_network
from scmn.training.progress import Progress, Throughput
from scmn.training.stage import Stage, StepResult
from scmn.training.validation import Validation
from scmn.weights.files import check_finite

MEMORY_ADVICE = "lower a stage's clips_per_pass, clip.size, clip.frames or a data set's repeat"


@dataclass(frozen=True)
class Outcome:
    """How a call of ``train`` ended."""

    iteration: int
    checkpoint: Path
    stopped_by: Signals | None = None
    """The signal that stopped it before its end; the same call resumes it."""

    @property
    def finished(self) -> bool:
        return self.stopped_by is None


def train(
    config: Config,
    output: Path,
    *,
    stage: str | None = None,
    resume: Path | None = None,
    weights: Path | None = None,
) -> Outcome:
    """Run the stages of a configuration in order, or resume where an earlier call stopped.

    Args:
        config: the resolved configuration.
        output: folder of the run: checkpoints, TensorBoard, ``config.yaml``.
        stage: run this stage only.
        resume: checkpoint to resume from (None: ``last.pt`` in ``output``, if it exists).
        weights: weights file to start from if there is nothing to resume.

    Raises:
        InputError: the user's mistake, in one line.
    """
    config = check_config(config)
    with (
        join_processes(config.training.device) as processes,
        Interruption() as interruption,
        output_lock(output, processes),
    ):
        trainer = Trainer(config, output, processes, interruption)
        trainer.start(stage=stage, resume=resume, weights=weights)
        try:
            with explain_exhausted_memory(processes.device, MEMORY_ADVICE):
                return trainer.run()
        finally:
            trainer.progress.close()


class Trainer:
    """The state of a run in one process."""

    def __init__(
        self, config: Config, output: Path, processes: Processes, interruption: Interruption
    ) -> None:
        self.config = config
        self.settings = config.training
        self.output = output
        self.processes = processes
        self.interruption = interruption
        self.folder = CheckpointFolder(output, keep=self.settings.keep_checkpoints)
        self.validation: Validation | None = None
        self.iteration = 0
        self.best: float | None = None
        self.history: list[str] = []
        self.network: MemoryNetwork
        self.progress: Progress
        self.average: WeightAverage | None = None
        self._validation_due = False
        self._stage_names: list[str] = []
        self._opened: Stage | None = None

    def start(self, *, stage: str | None, resume: Path | None, weights: Path | None) -> None:
        """Build the network, restore the state of the run, and check all stages that are left."""
        # A wrong precision is reported before anything is built.
        resolve_precision(self.processes.device, self.settings.precision)
        names = self._chosen_stages(stage)
        self.processes.on_first(self.folder.prepare)
        checkpoint = self.processes.on_first(lambda: self._load(resume))
        seed_everything(self.settings.seed)
        network = self._build_network(weights, fresh=checkpoint is None)
        memory = complete_settings(self.config.memory, network.memory_defaults)
        self.validation = Validation.open(self.settings.validation, memory, self.settings.precision)
        changed: list[str] = []
        if checkpoint is not None:
            changes = checkpoint.changed_settings(self.config)
            names = _left_stages(names, checkpoint)
            checkpoint.restore_network(network)
            self.iteration = checkpoint.iteration
            # The best score so far is that of the folder's best.pt, by the same validation.
            if self.processes.on_first(self.folder.best.is_file) and not any(
                change.changes_scores for change in changes
            ):
                self.best = checkpoint.best
            self._validation_due = checkpoint.validation_due
            changed = [f"from step {self.iteration}: {change}" for change in changes]
            self.history = [*checkpoint.history, *changed]
        self.network = network = prepare_network(
            network, self.settings, self.processes.device, processes=self.processes.count
        )
        if self.settings.averaging.enabled:
            self.average = WeightAverage(network, self.settings.averaging)
            if checkpoint is not None and checkpoint.average is not None:
                self.average.load_state_dict(checkpoint.average)
        self._opened = self._open_stage(names[0])
        for name in names[1:]:
            self._open_stage(name)  # and close it again: a mistake in any stage is reported now
        if checkpoint is not None:
            self._opened.restore(checkpoint)
        self._stage_names = names
        self.progress = Progress(
            self.output / "tensorboard", visible=self.processes.first, iteration=self.iteration
        )
        self.processes.on_first(lambda: write_config(self.output, self.config, self.history))
        if checkpoint is not None:
            self.progress.say(f"resuming from {checkpoint.path} at step {self.iteration}")
            for change in changed:
                self.progress.say(f"changed {change}")
                self.progress.text("configuration/change", change, self.iteration)

    def _build_network(self, weights: Path | None, *, fresh: bool) -> MemoryNetwork:
        model = self.config.model
        return build_model(
            model.name,
            backbone=model.backbone,
            weights=weights if fresh else None,
            pretrained_backbone=model.pretrained_backbone if fresh and weights is None else False,
            new_parts=True,
            **model.switches,
        )

    def run(self) -> Outcome:
        """Run the stages that are left."""
        for name in self._stage_names:
            stage = self._opened or self._open_stage(name)
            self._opened = None  # a stage's data is not kept once the next one runs
            if not self._run_stage(stage):
                # Another process may have received it.
                received = self.interruption.signal or Signals.SIGTERM
                return Outcome(self.iteration, self.folder.last, stopped_by=received)
        return Outcome(self.iteration, self.folder.last)

    def _open_stage(self, name: str) -> Stage:
        settings = self.settings.stage(name)
        try:
            return Stage(name, self.network, settings, self.settings, self.processes)
        except InputError as error:
            if f"training.stages.{name}" in str(error):
                raise
            raise InputError(f"training.stages.{name}: {error}") from error

    def _run_stage(self, stage: Stage) -> bool:
        """Run a stage to its end; False if a signal stopped it."""
        total = stage.settings.iterations
        self.progress.begin_stage(stage.name, done=stage.iteration, total=total)
        throughput = Throughput()
        if self._validation_due:  # the run was stopped before it
            self._validate(stage)
        while not stage.done:
            result = stage.step()
            self.iteration += 1
            if self.average is not None:
                self.average.update(self.network)
            throughput.count(stage.settings.batch_size)
            self._log(stage, result, throughput)
            stopped = self.processes.any(self.interruption.requested)
            self._validation_due = self._validates_now(stage)
            due = self.iteration % self.settings.checkpoint_every == 0
            if stopped or due or stage.done or self._validation_due:
                self._save(stage)
                # A signal does not wait for a validation: the resumed run makes up for it.
                if self._validation_due and not stopped:
                    self._validate(stage)
                throughput.reset()
            if stopped and (self._validation_due or not stage.done):
                return False
        self.progress.end_stage()
        return True

    def _log(self, stage: Stage, result: StepResult, throughput: Throughput) -> None:
        self.progress.step()
        if self.iteration % self.settings.log_every == 0:
            with self.processes.share_errors():
                own = stage.read(result)
            scalars = self.processes.mean(own)
            # A process may have no object at all.
            iou, objects = scalars.pop("iou_sum"), scalars.pop("objects")
            scalars["iou"] = iou / objects if objects else math.nan
            scalars["learning_rate"] = result.learning_rate
            scalars["samples_per_second"] = rate = throughput.rate()
            self.progress.show(
                loss=scalars["loss/total"], iou=scalars["iou"], samples_per_second=rate
            )
            self.progress.scalars(
                {f"{stage.name}/{name}": value for name, value in scalars.items()}, self.iteration
            )
            throughput.reset()
        if self.iteration % self.settings.pictures_every == 0:
            self._check_losses(stage)
            if self.processes.first:
                picture = clip_strip(result.batch, result.segmentations)
                self.progress.picture(f"{stage.name}/clip", picture, self.iteration)

    def _check_losses(self, stage: Stage) -> None:
        """Stop the run in all processes if any of them had a loss that is not finite."""
        with self.processes.share_errors():
            stage.check_losses()

    def _validates_now(self, stage: Stage) -> bool:
        every = self.settings.validation.every
        if self.validation is None or every is None:
            return False
        return self.iteration % every == 0 or stage.done

    def _validate(self, stage: Stage) -> None:
        """Validate, and save the score with the checkpoint that was written before."""
        self._validation_due = False
        improved = False
        if self.validation is None:  # the settings changed since the checkpoint was written
            self.progress.say(f"step {self.iteration}: validation is left out")
        else:
            network = (
                self.network if self.average is None else self.average.applied_to(self.network)
            )
            scores = self.validation.run(network, self.processes)
            self.progress.scalars(
                {f"validation/{name}": value for name, value in scores.items()}, self.iteration
            )
            shown = ", ".join(f"{name} {100 * value:.1f}" for name, value in scores.items())
            self.progress.say(f"step {self.iteration}: validation {shown}")
            improved = self.best is None or scores["J&F"] > self.best
            self.best = scores["J&F"] if improved else self.best
        self._save(stage, best=improved)

    def _save(self, stage: Stage, *, best: bool = False) -> None:
        self._check_losses(stage)
        states = self.processes.gather(random_state(self.processes.device))
        description = self.network.description
        assert description is not None
        checkpoint = Checkpoint(
            model=self.network.state_dict(),
            description=description,
            optimizer=stage.optimizer.state_dict(),
            iteration=self.iteration,
            stage=stage.name,
            stage_iteration=stage.iteration,
            config=config_to_yaml(self.config),
            random_states=states,
            scaler=stage.scaler.state_dict(),
            average=None if self.average is None else self.average.state_dict(),
            best=self.best,
            validation_due=self._validation_due,
            history=self.history,
        )
        with self.processes.share_errors():
            check_finite(checkpoint.model, f"the network after step {self.iteration}")
        self.processes.on_first(lambda: self.folder.save(checkpoint, best=best))

    def _chosen_stages(self, stage: str | None) -> list[str]:
        names = list(self.settings.stages_in_order)
        if not names:
            raise InputError("the configuration has no training.stages")
        if stage is None:
            return names
        self.settings.stage(stage)  # reports an unknown one
        return [stage]

    def _load(self, resume: Path | None) -> Checkpoint | None:
        """Read the checkpoint to resume from; InputError if the run would replace other files."""
        checkpoint = self.folder.load(resume)
        if self.folder.is_empty:
            require_own_config(self.output, self.config)
        return checkpoint


def _left_stages(names: list[str], checkpoint: Checkpoint) -> list[str]:
    """Return the stages from a checkpoint's on; InputError if it is of none of them."""
    if checkpoint.stage not in names:
        raise InputError(
            f"{checkpoint.path} is of stage '{checkpoint.stage}', not '{names[0]}'; choose "
            "another --output, and start it with --weights of that checkpoint"
        )
    return names[names.index(checkpoint.stage) :]

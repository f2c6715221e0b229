"""Settings of training."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import field
from typing import Annotated, Literal

from pydantic import AfterValidator, Field

from scmn.data.clips.clip import ClipSettings
from scmn.data.clips.sources import DataSettings
from scmn.errors import InputError, nearest_name
from scmn.inference.settings import Precision
from scmn.settings import Count, CountOrZero, NotNegative, Pair, Positive, Share, settings

Norm = Literal["frozen", "batch"]
Fraction = Annotated[float, Field(ge=0, lt=1)]


def _rising(milestones: Sequence[int]) -> Sequence[int]:
    if sorted(set(milestones)) != milestones:
        raise ValueError("must rise")
    return milestones


@settings()
class BootstrapSettings:
    """Bootstrapped cross-entropy: only the hardest pixels of each frame count.

    The defaults are STCN's (published code). Training from random weights needs plain
    cross-entropy first.
    """

    start: CountOrZero = 20_000
    """Iteration of the stage until which all pixels count."""
    end: CountOrZero = 70_000
    """Iteration from which only ``fraction`` of them count; the share falls linearly in between."""
    fraction: Annotated[float, Field(gt=0, le=1)] = 0.15
    """Final share of the pixels."""

    def __post_init__(self) -> None:
        if self.start > self.end:
            raise InputError(f"needs start <= end, not {self.start} and {self.end}")


@settings()
class LossSettings:
    """Weights of the loss terms (0: not computed); the defaults are STM's cross-entropy alone."""

    cross_entropy: NotNegative = 1.0
    bootstrap: BootstrapSettings | None = None
    """null: cross-entropy over all pixels."""
    soft_iou: NotNegative = 0.0
    """1 - soft intersection over union."""
    auxiliary: NotNegative = 1.0
    """Weight of these terms on SCMN's maps before refinement."""
    mask_quality: NotNegative = 1.0
    """Squared error of the estimated IoU, of a network that estimates it."""

    def __post_init__(self) -> None:
        if self.cross_entropy == 0 and self.soft_iou == 0:
            raise InputError("nothing trains the masks: set cross_entropy or soft_iou")


@settings()
class ScheduleSettings:
    """The factor on the learning rate over the iterations of a stage (STM: fixed)."""

    name: Literal["fixed", "step", "cosine", "one_cycle"] = "fixed"
    warm_up: CountOrZero = 0
    """Iterations of linear warm-up."""
    milestones: Annotated[list[Count], AfterValidator(_rising)] = field(default_factory=list)
    """step: iterations at which the factor is multiplied by ``gamma``."""
    gamma: Share = 0.1
    """step: see ``milestones`` (STCN: 0.1)."""
    final: Share = 0.0
    """cosine, one_cycle: the factor at the end of the stage."""
    rise: Share = 0.3
    """one_cycle: share of the stage over which the factor rises to 1."""
    initial: Share = 0.04
    """one_cycle: the factor at the start."""

    def __post_init__(self) -> None:
        if self.name == "step" and not self.milestones:
            raise InputError("'step' needs milestones, like [100000, 125000]")


@settings()
class OptimizerSettings:
    """How the weights are updated; the defaults are STM's (paper, section 3.5) and Adam's."""

    name: Literal["adam", "adamw"] = "adam"
    learning_rate: NotNegative = 1e-5
    weight_decay: NotNegative = 0.0
    """On all parameters, norms and biases included, as in the published recipes."""
    betas: Pair[Fraction] = (0.9, 0.999)
    epsilon: Positive = 1e-8
    clip_gradient_norm: Positive | None = None
    """Scale gradients down to this global norm (null: no clipping)."""
    fused: bool | None = None
    """Use the fused kernel (null: on CUDA)."""


@settings()
class AveragingSettings:
    """Exponential moving average of the weights; validation and export then use it."""

    enabled: bool = False
    decay: Fraction = 0.999
    """Share of the average that is kept in each step."""
    warm_up: bool = True
    """Start with a smaller decay, so that the initial weights are soon forgotten."""


@settings()
class UnrollMemorySettings:
    """Which frames of a clip are remembered besides the first; the defaults are STM's (all)."""

    every: Count = 1
    """Remember every n-th frame."""
    max_frames: Count | None = None
    """Read at most this many of them, the newest (null: all)."""


@settings()
class StageSettings:
    """One stage of a run, such as pretraining on still images."""

    iterations: CountOrZero = 0
    """Optimizer steps."""
    batch_size: Count = 4
    """Clips per optimizer step, over all processes."""
    clips_per_pass: Count | None = None
    """Clips in a forward pass of one process; gradients are accumulated until the batch is full
    (null: the process's whole share in one pass)."""
    clip: ClipSettings = field(default_factory=ClipSettings)
    memory: UnrollMemorySettings = field(default_factory=UnrollMemorySettings)
    data: dict[str, DataSettings | None] = field(default_factory=dict)
    """Data sets by a name of your choice (null: leave out one that a base file has)."""
    loss: LossSettings = field(default_factory=LossSettings)
    optimizer: OptimizerSettings = field(default_factory=OptimizerSettings)
    schedule: ScheduleSettings = field(default_factory=ScheduleSettings)

    def __post_init__(self) -> None:
        if self.schedule.warm_up >= self.iterations > 0:
            raise InputError(
                f"schedule.warm_up is {self.schedule.warm_up}, but the stage has "
                f"{self.iterations} iterations"
            )


@settings()
class ValidationSettings:
    """J&F on a small data set at intervals, through the same VideoSegmenter as evaluation."""

    every: Count | None = None
    """Steps from one validation to the next (null: no validation)."""
    dataset: str | None = None
    """A data set of ``scmn.data.datasets``."""
    root: str | None = None
    """Its folder."""
    sequences: list[str] = field(default_factory=list)
    """Only these (empty: all)."""
    size: Count | None = None
    """Shorter side in pixels (null: the data set's default)."""
    max_frames: Count | None = None
    """Use at most this many frames of each sequence (null: all)."""

    def __post_init__(self) -> None:
        if self.every is not None and (self.dataset is None or self.root is None):
            raise InputError("needs dataset and root (or every: null)")


@settings()
class TrainingSettings:
    """A training run."""

    seed: Annotated[int, Field(ge=0, lt=2**63)] = 0
    """Of the samples and of weights that are not loaded."""
    stages: dict[str, StageSettings | None] = field(default_factory=dict)
    """By name, in the order in which they run (null: leave out one that a base file has)."""
    norm: Norm = "frozen"
    """frozen needs pretrained backbones."""
    train_affine: bool = True
    """Train scale and shift of frozen norms (STCN does, STM does not)."""
    parts: list[str] = field(default_factory=list)
    """Train these modules alone, such as [decoder]; with norm frozen (empty: all)."""
    precision: Precision = "fp32"
    """fp32 (IEEE), tf32 (on a CUDA GPU), bf16 or fp16 (automatic mixed precision; fp16 scales the
    loss), or auto (bf16 if the device has instructions for it, else fp32)."""
    device: str = "auto"
    """auto (CUDA if there is one, else CPU), cpu, cuda, cuda:1."""
    channels_last: bool = False
    """Use the channels-last memory format."""
    compile: bool = False
    """Compile encoders, decoder and refinement with torch.compile."""
    activation_checkpointing: bool = False
    """Compute the encoders' activations again in the backward pass instead of keeping them."""
    workers: CountOrZero = 2
    """Processes that draw clips for each training process (0: it draws them itself)."""
    averaging: AveragingSettings = field(default_factory=AveragingSettings)
    validation: ValidationSettings = field(default_factory=ValidationSettings)
    log_every: Count = 20
    """Steps between points in TensorBoard."""
    pictures_every: Count = 500
    """Steps between pictures in TensorBoard."""
    checkpoint_every: Count = 1000
    """Steps between checkpoints."""
    keep_checkpoints: CountOrZero = 3
    """Number of the newest numbered checkpoints that are kept."""

    def __post_init__(self) -> None:
        if self.parts and self.norm != "frozen":
            raise InputError("parts needs norm 'frozen': norms of all parts would learn statistics")

    @property
    def stages_in_order(self) -> dict[str, StageSettings]:
        """The stages that are not left out."""
        return {name: stage for name, stage in self.stages.items() if stage is not None}

    def stage(self, name: str) -> StageSettings:
        """Return the settings of a stage; InputError, naming the others, if there is none."""
        stages = self.stages_in_order
        if name not in stages:
            raise InputError(
                f"there is no stage '{name}'; the stages are: {', '.join(stages)}"
                f"{nearest_name(name, stages)}"
            )
        return stages[name]

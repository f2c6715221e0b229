"""What a configuration can say about training: plain dataclasses that omegaconf reads."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Optional

from scmn.errors import InputError, nearest_name

# omegaconf reads these annotations at run time and, on Python 3.10, wants Optional.


@dataclass
class BootstrapSettings:
    """Bootstrapped cross-entropy: only the hardest pixels of each clip's frame count.

    The defaults are STCN's. From random weights, start late: plain cross-entropy first.
    """

    start: int = 20_000
    """Until this iteration of the stage all pixels count."""
    end: int = 70_000
    """From here on ``fraction`` of them; the share falls linearly in between."""
    fraction: float = 0.15


@dataclass
class LossSettings:
    """Weights of the loss terms (0: the term is not computed)."""

    cross_entropy: float = 1.0
    bootstrap: Optional[BootstrapSettings] = None  # noqa: UP045
    """null: cross-entropy over all pixels."""
    lovasz: float = 0.0
    """Lovász-softmax (Berman et al., CVPR 2018)."""
    soft_iou: float = 0.0
    soft_dice: float = 0.0
    auxiliary: float = 1.0
    """Weight of all the terms above on SCMN's maps before refinement."""


@dataclass
class ScheduleSettings:
    """The factor on the learning rate over the iterations of a stage."""

    name: str = "fixed"
    """fixed, step, poly, cosine or one_cycle."""
    warm_up: int = 0
    """Iterations of linear rise before."""
    milestones: list[int] = field(default_factory=list)
    """step: iterations from which the factor is multiplied by ``gamma`` once more."""
    gamma: float = 0.1
    power: float = 0.9
    """poly: (1 - progress) ** power."""
    final: float = 0.0
    """poly, cosine, one_cycle: the factor at the end of the stage."""
    rise: float = 0.3
    """one_cycle: share of the stage in which the factor rises to 1."""
    initial: float = 0.04
    """one_cycle: the factor at its start."""


@dataclass
class OptimizerSettings:
    """How the weights are updated."""

    name: str = "adam"
    """adam or adamw."""
    learning_rate: float = 1e-5
    backbone_factor: float = 1.0
    """Factor on the learning rate of the encoders' trunks."""
    weight_decay: float = 0.0
    decay_norms_and_biases: bool = True
    """Whether weight decay also holds for norms and biases (it does in the published recipes)."""
    betas: list[float] = field(default_factory=lambda: [0.9, 0.999])
    epsilon: float = 1e-8
    clip_gradient_norm: Optional[float] = None  # noqa: UP045
    """Scale gradients down to this global norm (null: leave them as they are)."""
    fused: Optional[bool] = None  # noqa: UP045
    """One kernel for all parameters (null: on CUDA)."""


@dataclass
class AveragingSettings:
    """Exponential moving average of the weights; validation and export then use it."""

    enabled: bool = False
    decay: float = 0.999
    warm_up: bool = True
    """Begin with a smaller decay, so that the first weights are soon forgotten."""


@dataclass
class DataSettings:
    """One data set of a stage."""

    kind: str = ""
    """static (still images in a folder), coco (instances), synthetic, or a video data set by name:
    davis2016-train, davis2017-train, youtube-vos-2019-train, mose-train, ..."""
    root: Optional[str] = None  # noqa: UP045
    """Its folder (for coco: of the images); synthetic has none."""
    annotations: Optional[str] = None  # noqa: UP045
    """coco: the JSON file of instances."""
    repeat: int = 1
    """How often each item comes in a pass over the stage's data."""
    frame_interval: int = 1
    """Video frames from one annotated frame to the next (YouTube-VOS: 5)."""
    stills: bool = False
    """Use the annotated frames of a video data set as still images."""
    split_objects: bool = False
    """static: masks hold classes, whose connected parts are the objects (PASCAL VOC)."""
    exclude: list[str] = field(default_factory=list)
    """Sequences that are held out."""
    curriculum: Optional[list[Any]] = None  # noqa: UP045
    """Pairs of progress and maximum skip in frames (null: STCN's on DAVIS)."""
    paste_from: Optional[str] = None  # noqa: UP045
    """Video data sets: a folder of still images, as for ``static``, whose objects are pasted into
    the clips as ``augmentation.paste`` says (null: none are)."""
    augmentation: dict[str, Any] = field(default_factory=dict)
    """What differs from StaticAugmentation or VideoAugmentation of ``scmn.data.clips``."""
    synthetic: dict[str, Any] = field(default_factory=dict)
    """synthetic: what differs from ``SyntheticSettings``."""
    scenes: int = 1000
    """synthetic: scenes in a pass over the data."""
    endless: bool = True
    """synthetic: draw new scenes in every pass."""


@dataclass
class ClipShape:
    """What every clip of a stage has in common."""

    frames: int = 3
    size: list[int] = field(default_factory=lambda: [384, 384])
    """Height, width of the crop."""
    max_objects: int = 2


@dataclass
class StageSettings:
    """One stage of a run, such as pretraining on still images."""

    iterations: int = 0
    """Optimizer steps."""
    batch_size: int = 4
    """Clips per optimizer step, over all processes."""
    clips_per_pass: Optional[int] = None  # noqa: UP045
    """Clips that a process takes at once; gradients are accumulated until the batch is full (null:
    its whole share)."""
    clip: ClipShape = field(default_factory=ClipShape)
    data: dict[str, Optional[DataSettings]] = field(default_factory=dict)  # noqa: UP045
    """Data sets by a name of their own (null: without one that a base file has)."""
    detach_memory: bool = False
    """Stop gradients at what was remembered of predicted frames (the published codes do not)."""
    loss: LossSettings = field(default_factory=LossSettings)
    optimizer: OptimizerSettings = field(default_factory=OptimizerSettings)
    schedule: ScheduleSettings = field(default_factory=ScheduleSettings)


@dataclass
class ValidationSettings:
    """J&F on a small data set at intervals, through the same VideoSegmenter as evaluation."""

    every: Optional[int] = None  # noqa: UP045
    """Steps from one validation to the next (null: none)."""
    dataset: Optional[str] = None  # noqa: UP045
    """A name that eval.py takes."""
    root: Optional[str] = None  # noqa: UP045
    sequences: list[str] = field(default_factory=list)
    """Only these (empty: all)."""
    size: Optional[int] = None  # noqa: UP045
    """Shorter side (null: as the data set's protocol says)."""
    max_frames: Optional[int] = None  # noqa: UP045
    """Only so many first frames of each sequence."""


@dataclass
class TrainingSettings:
    """Everything about training that a configuration can say."""

    seed: int = 0
    stages: dict[str, Optional[StageSettings]] = field(default_factory=dict)  # noqa: UP045
    """By name (null: without one that a base file has); ``stages_in_order`` are run."""
    norm: str = "frozen"
    """frozen (needs pretrained backbones) or batch."""
    train_affine: bool = True
    """Train scale and shift of frozen norms."""
    precision: str = "fp32"
    """fp32, bf16 or fp16 (automatic mixed precision; fp16 scales the loss)."""
    device: str = "auto"
    channels_last: bool = False
    compile: bool = False
    """Compile the encoders and the decoder with torch.compile."""
    workers: int = 2
    """Processes that draw clips, for each training process."""
    averaging: AveragingSettings = field(default_factory=AveragingSettings)
    validation: ValidationSettings = field(default_factory=ValidationSettings)
    log_every: int = 20
    """Steps from one point in TensorBoard to the next."""
    pictures_every: int = 500
    checkpoint_every: int = 1000
    keep_checkpoints: int = 3

    @property
    def stages_in_order(self) -> dict[str, StageSettings]:
        """The stages that there are."""
        return {name: stage for name, stage in self.stages.items() if stage is not None}

    def stage(self, name: str) -> StageSettings:
        """Return the settings of a stage; InputError says which there are."""
        stages = self.stages_in_order
        if name not in stages:
            raise InputError(
                f"there is no stage '{name}'; there are: {', '.join(stages)}"
                f"{nearest_name(name, stages)}"
            )
        return stages[name]

"""Settings of evaluation: plain dataclasses that omegaconf reads."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass
class AugmentationSettings:
    """Test-time augmentation: every combination is run and the probabilities are averaged."""

    flip: bool = False
    """Also run the video flipped horizontally."""
    scales: list[float] = field(default_factory=lambda: [1.0])
    """Factors on the evaluation size."""


@dataclass
class EvaluationSettings:
    """How ``eval.py`` runs a network over videos."""

    device: str = "auto"
    """auto (CUDA if there is one, else CPU), cpu, cuda, cuda:1, mps."""
    precision: str = "fp32"
    """fp32 (IEEE), tf32 (on a CUDA GPU, float32 with factors rounded to TF32), bf16 or fp16
    (automatic mixed precision), or auto (bf16 if the device has instructions for it, else fp32)."""
    direction: str = "forward"
    """forward: from each given mask to later frames; both: to earlier ones, too (all frames of a
    video are held in memory)."""
    compile: bool = False
    """Compile encoders and decoder, on a GPU into CUDA graphs: worthwhile for many frames of one
    size."""
    size: int | None = None
    """Scale frames down to this shorter side in pixels (null: the data set's default; 0: as
    stored)."""
    upscale: bool | None = None
    """Scale smaller frames up to that size, too (null: the data set's default)."""
    objects_per_batch: int | None = None
    """Maximum number of objects decoded at a time (null: as many as fit in memory)."""
    max_objects: int = 254
    """Refuse videos with more objects."""
    processes: int | None = None
    """Processes for scoring (null: one per core)."""
    augmentation: AugmentationSettings = field(default_factory=AugmentationSettings)

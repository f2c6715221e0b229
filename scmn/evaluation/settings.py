"""Settings of evaluation."""

from __future__ import annotations

from dataclasses import field
from typing import Annotated

from pydantic import Field

from scmn.data.masks import MAX_OBJECT_ID, ObjectCount
from scmn.inference.settings import Direction, Precision
from scmn.settings import Count, CountOrZero, Positive, settings


@settings()
class AugmentationSettings:
    """Test-time augmentation: every combination is run and the probabilities are averaged."""

    flip: bool = False
    """Also run the video flipped horizontally."""
    scales: Annotated[list[Positive], Field(min_length=1)] = field(default_factory=lambda: [1.0])
    """Factors on the evaluation size."""


@settings()
class EvaluationSettings:
    """How ``eval.py`` runs a network over videos."""

    device: str = "auto"
    """auto (CUDA if there is one, else CPU), cpu, cuda, cuda:1, mps."""
    precision: Precision = "fp32"
    """fp32 (IEEE), tf32 (on a CUDA GPU, float32 with factors rounded to TF32), bf16 or fp16
    (automatic mixed precision), or auto (bf16 if the device has instructions for it, else fp32)."""
    direction: Direction = "forward"
    """forward: from each given mask to later frames; both: to earlier ones, too (all frames of a
    video are held in memory)."""
    compile: bool = False
    """Compile encoders and decoder, on a GPU into CUDA graphs: worthwhile for many frames of one
    size."""
    size: CountOrZero | None = None
    """Scale frames down to this shorter side in pixels (null: the data set's default; 0: as
    stored)."""
    upscale: bool | None = None
    """Scale smaller frames up to that size, too (null: the data set's default)."""
    objects_per_batch: Count | None = None
    """Maximum number of objects decoded at a time (null: as many as fit in memory)."""
    max_objects: ObjectCount = MAX_OBJECT_ID
    """Refuse videos with more objects."""
    processes: Count | None = None
    """Processes for scoring (null: one per core)."""
    augmentation: AugmentationSettings = field(default_factory=AugmentationSettings)

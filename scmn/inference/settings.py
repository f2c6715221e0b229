"""Choices of inference by name, for settings that are read without waiting for torch."""

from __future__ import annotations

from typing import Literal

Precision = Literal["auto", "fp32", "tf32", "bf16", "fp16"]
"""What ``resolve_precision`` chooses; IEEE float32; float32 whose factors CUDA rounds to TF32 in
convolutions and matrix products; or automatic mixed precision, whose float32 part is IEEE."""

Direction = Literal["forward", "both"]
"""From each given mask to later frames, or to earlier ones, too."""

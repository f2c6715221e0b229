"""Settings of the memory during inference."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass
class MemorySettings:
    """Which frames are remembered and how they are read."""

    every: int | None = 5
    """Remember every n-th frame of the video (None: only those below)."""
    keep_annotated: bool = True
    """Never forget frames that came with a user's mask."""
    keep_previous: bool = True
    """Remember the previous frame until the next one replaces it."""
    max_frames: int | None = None
    """Maximum number of frames besides those that are never forgotten; the oldest is dropped."""
    top_k: int | None = None
    """Read only the k most similar positions (None: all)."""

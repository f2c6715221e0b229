"""Probabilities over background and objects, as NumPy arrays."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

EPSILON = np.float32(1e-7)


def soft_aggregation(own: np.ndarray) -> np.ndarray:
    """Merge the objects' own probabilities (N, H, W) into (N + 1, H, W), background first.

    As ``scmn.networks.aggregation``.
    """
    every = np.concatenate([np.prod(1 - own, axis=0, keepdims=True), own])
    every = every.clip(EPSILON, 1 - EPSILON)
    odds = every / (1 - every)  # the softmax of their logarithms
    return odds / odds.sum(axis=0)


def presence(probabilities: np.ndarray) -> list[float]:
    """Return how sure each object's mask is not background, 0 without one, from (N + 1, h, w).

    As ``scmn.inference.confidence``.
    """
    margins, channels = 1 - probabilities[0] / probabilities.max(axis=0), probabilities.argmax(0)
    masks = (channels == channel for channel in range(1, len(probabilities)))
    return [float(margins[mask].mean()) if mask.any() else 0.0 for mask in masks]


def with_objects(probabilities: np.ndarray, present: Sequence[bool]) -> np.ndarray:
    """Return probabilities (N + 1, H, W) given which objects are there."""
    rest = probabilities * np.array([True, *present], np.float32)[:, None, None]
    return rest / rest.sum(axis=0)

"""Modules within a network give way to others, in place."""

from __future__ import annotations

from collections.abc import Callable

from torch import nn


def replace_modules(
    network: nn.Module, replacement: Callable[[nn.Module], nn.Module | None]
) -> None:
    """Replace modules below ``network`` wherever ``replacement`` returns one for them."""
    for parent in list(network.modules()):
        for name, child in list(parent.named_children()):
            replaced = replacement(child)
            if replaced is not None:
                setattr(parent, name, replaced)

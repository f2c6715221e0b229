"""The refinement with fewer passes over full-resolution maps, for the CPU: the same numbers.

At 480p and 64 channels a full-resolution map takes 100 MB, which does not fit in the caches, and
which the system clears anew on every frame.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from scmn.inference.acceleration.bands import bands
from scmn.networks.refinement import FeatureEntry, JoinedConvolution, Refinement

REACH = 3
"""Lines at a border that determine the outermost output line of two 3x3 convolutions in a row."""
BAND_BYTES = 16 << 20
"""Largest band of a map: roughly what fits in the caches."""
MIN_LINES = 48
"""Fewest lines of a band; with fewer, the lines that neighbouring bands both compute would cost too
much."""
MARGIN = 2
"""Further lines on each side that a band's result depends on, at lower and at full resolution."""


class BandedRefinement(nn.Module):
    """A refinement that computes the first and last maps at full resolution in bands.

    Where the logits are its only input, its first two convolutions are merged instead.
    """

    def __init__(self, refinement: Refinement) -> None:
        """
        Args:
            refinement: its layers are shared with this module.
        """
        super().__init__()
        self.channels = refinement.channels
        first, *lower = refinement.down
        assert isinstance(first, nn.Sequential)
        assert isinstance(first[0], nn.Conv2d)
        self.entry: ConvolutionPair | BandedEntry
        if refinement.feature_entry is None:
            self.entry = ConvolutionPair(refinement.entry, first[0])
        else:
            self.entry = BandedEntry(refinement.entry, refinement.feature_entry, first[0])
        self.down = nn.ModuleList(lower)
        self.bridge = refinement.bridge
        *up, last = refinement.up
        assert isinstance(last, JoinedConvolution)
        self.up = nn.ModuleList(up)
        self.exit = BandedExit(refinement.upsample, last, refinement.exit)
        self.max_pool = refinement.max_pool
        self.upsample = refinement.upsample

    def forward(self, logits: Tensor, features: Tensor) -> Tensor:
        """Compute what :meth:`Refinement.forward` computes."""
        merged = isinstance(self.entry, ConvolutionPair)
        x = functional.relu_(self.entry(logits) if merged else self.entry(logits, features))
        skips = [x]
        for down in self.down:
            x = down(self.max_pool(x))
            skips.append(x)
        x = self.bridge(self.max_pool(x))
        for up in self.up:
            x = up(self.upsample(x), skips.pop())
        return logits + self.exit(x, skips.pop())


class ConvolutionPair(nn.Module):
    """Two consecutive 3x3 convolutions without activation between them as one 5x5 convolution.

    A 5x5 convolution of two logits takes an eleventh of the multiplications of the 3x3 convolution
    of 64 maps that it replaces. The second convolution zero-pads the output of the first, which the
    merged weights cannot express, so the outermost line on each side is computed in two steps.
    """

    weight: Tensor
    bias: Tensor

    def __init__(self, first: nn.Conv2d, second: nn.Conv2d) -> None:
        """
        Args:
            first: 3x3 with padding 1 and bias.
            second: the same, applied to the output of ``first``; both are kept for the borders.
        """
        super().__init__()
        self.first = first
        self.second = second
        inner, outer = first.weight.double(), second.weight.double()
        assert first.bias is not None
        assert second.bias is not None
        bias = second.bias.double() + outer.sum(dim=(2, 3)) @ first.bias.double()
        self.register_buffer("weight", functional.conv_transpose2d(outer, inner).to(first.weight))
        self.register_buffer("bias", bias.to(first.weight))

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) -> (B, O, H, W)."""
        x = x.contiguous(memory_format=torch.channels_last)
        out = functional.conv2d(x, self.weight, self.bias, padding=2)
        for line, near in (
            (slice(0, 1), slice(0, REACH)),
            (slice(-1, None), slice(-REACH, None)),
        ):
            out[:, :, line] = self.second(self.first(x[:, :, near]))[:, :, line]
            out[..., line] = self.second(self.first(x[..., near]))[..., line]
        return out


class BandedEntry(nn.Module):
    """The refinement's entries of logits and features and its first convolution, in bands."""

    def __init__(self, entry: nn.Conv2d, feature_entry: FeatureEntry, second: nn.Conv2d) -> None:
        """
        Args:
            entry: 3x3 with padding 1, of the logits.
            feature_entry: whose output is added to that of ``entry``.
            second: the same as ``entry``, of the sum.
        """
        super().__init__()
        self.entry = entry
        self.convolution = feature_entry.convolution
        self.upsample = feature_entry.upsample
        self.second = second

    def forward(self, logits: Tensor, features: Tensor) -> Tensor:
        """``logits`` (B, C, H, W) and ``features`` (B, D, H/4, W/4) -> the output of ``second``."""
        logits = logits.contiguous(memory_format=torch.channels_last)
        features = self.convolution(features)
        height, factor = logits.shape[2], logits.shape[2] // features.shape[2]
        map_bytes = features.nbytes * factor**2
        parts = bands(
            height, map_bytes, band_bytes=BAND_BYTES, min_lines=MIN_LINES, multiple=factor
        )
        return torch.cat([self._band(logits, features, factor, *part) for part in parts], dim=2)

    def _band(self, logits: Tensor, features: Tensor, factor: int, top: int, bottom: int) -> Tensor:
        """Return the lines from ``top`` up to ``bottom``, both multiples of ``factor``."""
        first, last = max(0, top - MARGIN), min(logits.shape[2], bottom + MARGIN)
        first_small = max(0, top // factor - MARGIN)
        upsampled = self.upsample(features[:, :, first_small : bottom // factor + MARGIN])
        start = factor * first_small
        band = self.entry(logits[:, :, first:last])
        band = self.second(band.add_(upsampled[:, :, first - start : last - start]))
        return band[:, :, top - first : bottom - first]


class BandedExit(nn.Module):
    """The refinement's last upsampling, joined convolution and exit, in bands of lines."""

    def __init__(self, upsample: nn.Module, joined: JoinedConvolution, exit: nn.Conv2d) -> None:
        """
        Args:
            upsample: upsampling by 2.
            joined: 3x3 with padding 1, at full resolution.
            exit: the same, applied to the output of ``joined``.
        """
        super().__init__()
        self.upsample = upsample
        self.joined = joined
        self.exit = exit

    def forward(self, x: Tensor, skip: Tensor) -> Tensor:
        """``x`` (B, C, H/2, W/2) and ``skip`` (B, C, H, W) -> the output of ``exit``."""
        parts = bands(
            skip.shape[2], skip.nbytes, band_bytes=BAND_BYTES, min_lines=MIN_LINES, multiple=2
        )
        return torch.cat([self._band(x, skip, *part) for part in parts], dim=2)

    def _band(self, x: Tensor, skip: Tensor, top: int, bottom: int) -> Tensor:
        """Return the lines from ``top`` up to ``bottom``, both even."""
        first, last = max(0, top - MARGIN), min(skip.shape[2], bottom + MARGIN)
        first_half = max(0, top // 2 - MARGIN)
        upsampled = self.upsample(x[:, :, first_half : bottom // 2 + MARGIN])
        upsampled = upsampled[:, :, first - 2 * first_half : last - 2 * first_half]
        # Inside the map, the outermost lines of both results are wrong: they saw padding.
        band: Tensor = self.exit(self.joined(upsampled, skip[:, :, first:last]))
        return band[:, :, top - first : bottom - first]


def use_banded_refinement(network: nn.Module) -> None:
    """Replace every refinement in a network, in place."""
    for name, module in list(network.named_modules()):
        if isinstance(module, Refinement):
            network.set_submodule(name, BandedRefinement(module))

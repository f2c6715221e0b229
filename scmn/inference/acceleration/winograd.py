"""3x3 convolutions with a quarter of the multiplications, for float32 on the CPU.

There the wide 3x3 convolutions of heads, decoders and projections take most of the time of a frame,
and PyTorch's kernels already reach the processor's peak. On a GPU cuDNN implements this method.

Source: Lavin, Gray, "Fast Algorithms for Convolutional Neural Networks", CVPR 2016, F(4x4, 3x3).
"""

from __future__ import annotations

from typing import TypeGuard

import torch
from torch import Tensor, nn
from torch.nn import functional

TILE = 4
"""Outputs along each side of a tile; it has two more inputs."""
PATCH = TILE + 2
MIN_CHANNELS = 128
MIN_WEIGHTS = 256 * 256
"""With fewer input and output channels the transforms cost what the multiplications save."""
RATES = (2, 4, 8)
"""Dilations that are faster this way. The larger the dilation, the smaller the interleaved images,
and the more of each tile lies outside them."""
BLOCK_BYTES = 16 << 20
"""Transformed patches held at a time: roughly what fits in the caches."""

_INPUT = [
    [4, 0, -5, 0, 1, 0],
    [0, -4, -4, 1, 1, 0],
    [0, 4, -4, -1, 1, 0],
    [0, -2, -1, 2, 1, 0],
    [0, 2, -1, -2, 1, 0],
    [0, 4, 0, -5, 0, 1],
]
_WEIGHT = [
    [1 / 4, 0, 0],
    [-1 / 6, -1 / 6, -1 / 6],
    [-1 / 6, 1 / 6, -1 / 6],
    [1 / 24, 1 / 12, 1 / 6],
    [1 / 24, -1 / 12, 1 / 6],
    [0, 0, 1],
]
_OUTPUT = [
    [1, 1, 1, 1, 1, 0],
    [0, 1, -1, 2, -2, 0],
    [0, 1, 1, 4, 4, 0],
    [0, 1, -1, 8, -8, 1],
]
"""B^T, G and A^T of the paper; the interpolation points are 0, 1, -1, 2, -2."""


def is_suited(convolution: nn.Module) -> TypeGuard[nn.Conv2d]:
    """Whether a convolution is faster as a :class:`WinogradConvolution`."""
    return _is_wide(convolution) and convolution.dilation == (1, 1)


def is_suited_dilated(convolution: nn.Module) -> TypeGuard[nn.Conv2d]:
    """Whether a dilated convolution is faster as an :class:`InterleavedConvolution`."""
    return _is_wide(convolution) and convolution.dilation in {(rate, rate) for rate in RATES}


def _is_wide(convolution: nn.Module) -> TypeGuard[nn.Conv2d]:
    return (
        type(convolution) is nn.Conv2d
        and convolution.kernel_size == (3, 3)
        and convolution.stride == (1, 1)
        and convolution.padding == convolution.dilation
        and convolution.groups == 1
        and min(convolution.in_channels, convolution.out_channels) >= MIN_CHANNELS
        and convolution.in_channels * convolution.out_channels >= MIN_WEIGHTS
    )


class WinogradConvolution(nn.Module):
    """A 3x3 convolution of stride 1 for inference, exact to about 1e-5 of the largest response.

    After transforming the weights and each 6x6 patch of inputs, a tile of 16 outputs takes 36
    products summed over channels instead of 144.
    """

    weight: Tensor
    bias: Tensor | None
    _of_input: Tensor
    _of_output: Tensor

    def __init__(self, convolution: nn.Conv2d) -> None:
        """
        Args:
            convolution: one that :func:`is_suited`; its transformed weights are copied.
        """
        super().__init__()
        transform = torch.tensor(_WEIGHT, dtype=torch.float64)
        weight = torch.einsum(
            "pi,ocij,qj->pqco", transform, convolution.weight.detach().double(), transform
        )
        self.register_buffer("weight", weight.flatten(0, 1).float().contiguous())
        bias = convolution.bias
        self.register_buffer("bias", None if bias is None else bias.detach().clone())
        by_side = torch.tensor(_INPUT), torch.tensor(_OUTPUT)
        of_input, of_output = (torch.kron(side, side).float() for side in by_side)
        self.register_buffer("_of_input", of_input)
        self.register_buffer("_of_output", of_output)

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) -> (B, O, H, W), channels-last."""
        batch, channels, height, width = x.shape
        out_channels = self.weight.shape[2]
        rows, columns = -(-height // TILE), -(-width // TILE)
        padded = x.new_zeros(batch, rows * TILE + 2, columns * TILE + 2, channels)
        padded[:, 1 : height + 1, 1 : width + 1] = x.permute(0, 2, 3, 1)
        image, line, pixel, channel = padded.stride()
        patches = padded.as_strided(
            (batch, rows, columns, PATCH, PATCH, channels),
            (image, TILE * line, TILE * pixel, line, pixel, channel),
        )
        out = x.new_empty(batch, rows, TILE, columns, TILE, out_channels)
        tiles = out.transpose(2, 3)  # (batch, rows, columns, TILE, TILE, out_channels)
        row_bytes = PATCH**2 * columns * max(channels, out_channels) * x.element_size()
        rows_at_once = max(1, BLOCK_BYTES // row_bytes)
        images_at_once = max(1, rows_at_once // rows)
        for first in range(0, batch, images_at_once):
            images = slice(first, first + images_at_once)
            for top in range(0, rows, rows_at_once):
                chosen = slice(top, top + rows_at_once)
                tiles[images, chosen] = self._tiles(patches[images, chosen])
        convolved = out.flatten(3, 4).flatten(1, 2)
        if self.bias is not None:
            convolved += self.bias
        return convolved.permute(0, 3, 1, 2)[:, :, :height, :width]

    def _tiles(self, patches: Tensor) -> Tensor:
        """(b, r, c, 6, 6, C) patches -> (b, r, c, 4, 4, O) tiles of the response, without bias."""
        places = patches.shape[:3]
        by_tile = patches.reshape(places.numel(), PATCH**2, -1)
        # One small product for each tile: the operands of one long product would be repacked.
        transformed = torch.bmm(self._of_input.expand(by_tile.shape[0], -1, -1), by_tile)
        products = torch.bmm(transformed.transpose(0, 1), self.weight).transpose(0, 1)
        tiles = torch.bmm(self._of_output.expand(by_tile.shape[0], -1, -1), products)
        return tiles.view(*places, TILE, TILE, -1)


class InterleavedConvolution(nn.Module):
    """A dilated convolution as a dense one of interleaved images.

    Only pixels that lie a multiple of the dilation apart interact; they form one image.
    """

    def __init__(self, convolution: nn.Conv2d) -> None:
        """
        Args:
            convolution: one that :func:`is_suited_dilated`; its weights are copied.
        """
        super().__init__()
        self.rate = convolution.dilation[0]
        self.convolution = WinogradConvolution(convolution)

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) -> (B, O, H, W), channels-last."""
        height, width = x.shape[2:]
        x = functional.pad(x, (0, -width % self.rate, 0, -height % self.rate))
        # (rate, rate, B, h, w, C), one image for each first pixel.
        images = x.unflatten(3, (-1, self.rate)).unflatten(2, (-1, self.rate))
        images = images.permute(3, 5, 0, 2, 4, 1)
        places = images.shape[:3]
        out = self.convolution(images.flatten(0, 2).permute(0, 3, 1, 2)).unflatten(0, places)
        # (B, h, rate, w, rate, O)
        out = out.permute(2, 4, 0, 5, 1, 3).flatten(3, 4).flatten(1, 2)
        return out[:, :height, :width].permute(0, 3, 1, 2)


def use_winograd(network: nn.Module) -> None:
    """Replace the convolutions of a network that are faster this way, in place."""
    for name, module in list(network.named_modules()):
        if is_suited(module):
            network.set_submodule(name, WinogradConvolution(module))
        elif is_suited_dilated(module):
            network.set_submodule(name, InterleavedConvolution(module))

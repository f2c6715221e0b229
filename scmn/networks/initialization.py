"""Initial weights of the layers that never come pretrained.

PyTorch's default initialization shrinks a signal to a third of its variance in every convolution.
The readout then barely affects the masks, and keys are so short that all positions are read alike;
training from random weights would have to undo both first.
"""

from __future__ import annotations

from torch import nn

KEY_GAIN = 1.5
"""With this gain a position is most similar to itself among some hundred others at the first
step. STCN's published code has 1."""


def keep_variance(*convolutions: nn.Conv2d) -> None:
    """Initialize so that the output varies as much as the input (He et al., ICCV 2015); no bias."""
    for convolution in convolutions:
        nn.init.kaiming_normal_(convolution.weight, nonlinearity="relu")
        if convolution.bias is not None:
            nn.init.zeros_(convolution.bias)


def spread_keys(convolution: nn.Conv2d, *, gain: float = KEY_GAIN) -> None:
    """Initialize to orthogonal key directions, as STCN's published code does; no bias."""
    nn.init.orthogonal_(convolution.weight, gain=gain)
    if convolution.bias is not None:
        nn.init.zeros_(convolution.bias)

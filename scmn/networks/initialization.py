"""First weights of the layers that never come pretrained.

torch's default for convolutions shrinks a signal to a third of its variance with every layer. What
the memory says then reaches the masks as a whisper, and keys are so short that every position is
read alike: training from random weights would have to undo both first.
"""

from __future__ import annotations

from torch import nn

KEY_GAIN = 1.5
"""With it a position finds itself in a memory of some hundred others at the first step."""


def keep_variance(*convolutions: nn.Conv2d) -> None:
    """Let the output vary as much as the input does (He et al., ICCV 2015); no bias."""
    for convolution in convolutions:
        nn.init.kaiming_normal_(convolution.weight, nonlinearity="relu")
        if convolution.bias is not None:
            nn.init.zeros_(convolution.bias)


def spread_keys(convolution: nn.Conv2d) -> None:
    """Make the directions of keys orthogonal, as STCN's published code does, and longer."""
    nn.init.orthogonal_(convolution.weight, gain=KEY_GAIN)
    if convolution.bias is not None:
        nn.init.zeros_(convolution.bias)

"""Published STM and STCN files: their tensor names and shapes -> this package's.

The published state dicts are those of github.com/seoungwugoh/STM (names may carry ``module.``) and
github.com/hkchengrex/STCN.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from torch import Tensor

StateDict = dict[str, Tensor]

_STM_NAMES = (
    (r"^Encoder_M\.conv1_m\.", "memory_encoder.object_stem."),
    (r"^Encoder_M\.conv1_o\.", "memory_encoder.others_stem."),
    (r"^Encoder_M\.", "memory_encoder.trunk."),
    (r"^Encoder_Q\.", "query_encoder.trunk."),
    (r"\.trunk\.res2\.", ".trunk.layer1."),
    (r"\.trunk\.res3\.", ".trunk.layer2."),
    (r"\.trunk\.res4\.", ".trunk.layer3."),
    (r"^KV_M_r4\.", "memory_projection."),
    (r"^KV_Q_r4\.", "query_projection."),
    (r"projection\.Key\.", "projection.key."),
    (r"projection\.Value\.", "projection.value."),
    (r"^Decoder\.convFM\.", "head."),
    (r"^Decoder\.RF3\.", "decoder.refine8."),
    (r"^Decoder\.RF2\.", "decoder.refine4."),
    (r"^Decoder\.pred2\.", "decoder.predict."),
    (r"^Decoder\.ResMM\.", "decoder.residual."),
    (r"\.convFS\.", ".skip_projection."),
    (r"\.ResFS\.", ".skip_residual."),
    (r"\.ResMM\.", ".residual."),
)

_STCN_NAMES = (
    (r"^key_encoder\.res2\.", "query_encoder.trunk.layer1."),
    (r"^key_encoder\.", "query_encoder.trunk."),
    (r"^value_encoder\.fuser\.attention\.ChannelGate\.mlp\.1\.", "fusion.channel_gate.mlp.0."),
    (r"^value_encoder\.fuser\.attention\.ChannelGate\.mlp\.3\.", "fusion.channel_gate.mlp.2."),
    (
        r"^value_encoder\.fuser\.attention\.SpatialGate\.spatial\.conv\.",
        "fusion.spatial_gate.convolution.",
    ),
    (r"^value_encoder\.fuser\.", "fusion."),
    (r"^value_encoder\.", "memory_encoder.trunk."),
    (r"^key_proj\.key_proj\.", "key_projection."),
    (r"^key_comp\.", "key_compression."),
    (r"^decoder\.compress\.", "decoder.residual."),
    (r"^decoder\.up_16_8\.", "decoder.refine8."),
    (r"^decoder\.up_8_4\.", "decoder.refine4."),
    (r"^decoder\.pred\.", "decoder.predict."),
    (r"\.skip_conv\.", ".skip_projection."),
    (r"\.out_conv\.", ".residual."),
    (r"^((?:fusion|decoder)\..*)\.downsample\.", r"\1.shortcut."),
)


_CONVOLUTION_BIAS = re.compile(r"(conv\d|downsample\.0)\.bias$")


def published_network(state: Mapping[str, Tensor]) -> str | None:
    """Return "stm" or "stcn" if the tensor names are those of its published file, else None."""
    if any(re.match(r"(module\.)?Encoder_M\.", name) for name in state):
        return "stm"
    if any(re.match(r"(module\.)?value_encoder\.", name) for name in state):
        return "stcn"
    return None


def convert_published(state: Mapping[str, Tensor], network: str) -> StateDict:
    """Convert the published state dict of ``network`` ("stm" or "stcn") to this package's names."""
    state = {name.removeprefix("module."): tensor for name, tensor in state.items()}
    if network == "stm":
        # Image mean and std are constants here.
        kept = {n: t for n, t in state.items() if n.split(".")[-1] not in ("mean", "std")}
        return _renamed(kept, _STM_NAMES)
    return _fold_convolution_biases(_split_stem(_renamed(state, _STCN_NAMES)))


def _renamed(state: Mapping[str, Tensor], names: tuple[tuple[str, str], ...]) -> StateDict:
    renamed = {}
    for name, tensor in state.items():
        for pattern, replacement in names:
            name = re.sub(pattern, replacement, name)
        renamed[name] = tensor
    return renamed


def _split_stem(state: StateDict) -> StateDict:
    """STCN convolves [image, mask, others] with one kernel; here three convolutions are added."""
    name = "memory_encoder.trunk.conv1.weight"
    if name in state and state[name].shape[1] == 5:
        stem = state.pop(name)
        state[name] = stem[:, :3].contiguous()
        state["memory_encoder.object_stem.weight"] = stem[:, 3:4].contiguous()
        state["memory_encoder.others_stem.weight"] = stem[:, 4:5].contiguous()
    return state


def _fold_convolution_biases(state: StateDict) -> StateDict:
    """Move biases of STCN's value trunk into the next batch norm: (x + b) - m = x - (m - b)."""
    folded = dict(state)
    for name, bias in state.items():
        if name.startswith("memory_encoder.trunk.") and _CONVOLUTION_BIAS.search(name):
            norm = re.sub(r"conv(\d)\.bias$", r"bn\1", name)
            norm = re.sub(r"downsample\.0\.bias$", "downsample.1", norm)
            folded[f"{norm}.running_mean"] = state[f"{norm}.running_mean"] - bias
            del folded[name]
    return folded

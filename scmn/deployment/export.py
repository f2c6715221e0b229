"""A network's three calls as ONNX graphs without state (needs ``onnxscript``, an optional extra).

::

    <folder>/encode_query.onnx     image -> query_key, query_value, stride16, stride8, stride4
    <folder>/encode_memory.onnx    image, object_masks, query_key, stride16
                                   -> memory_key, memory_value
    <folder>/segment.onnx          query_key, query_value, stride8, stride4, memory_key,
                                   memory_value, previous_masks -> object_probabilities
    <folder>/settings.json         what ``ExportedNetwork`` must know about it

Shapes are those of ``scmn.networks.base`` with a batch of 1. Height and width, multiples of 16, and
the numbers of objects and of remembered frames may change from call to call. ``segment`` takes
objects that remember the same frames; their own probabilities (1, N, H, W) are merged outside.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.export import Dim

from scmn.data.atomic import atomic_path
from scmn.deployment.memory import POLICY_SETTINGS
from scmn.errors import InputError
from scmn.inference.acceleration.budgets import read_settings
from scmn.inference.memory.settings import MemorySettings, complete_settings
from scmn.networks.base import STRIDE, MemoryNetwork, other_masks, own_probabilities
from scmn.networks.features import MemoryFrames, QueryFeatures
from scmn.networks.memory_read import ReadSettings

READ_SETTINGS = ("top_k", "kernel")
"""Memory settings that become part of the graph."""
_EXAMPLE = {"height": 6, "width": 8, "objects": 2, "frames": 3}
"""Sizes with which the graphs are traced, height and width at stride 16; all become dynamic."""


def export_onnx(
    network: MemoryNetwork,
    folder: Path,
    *,
    memory: MemorySettings | Mapping[str, Any] | None = None,
) -> tuple[Path, ...]:
    """Write a network's graphs, in float32, and its settings; return their paths.

    Args:
        network: any network, on the CPU.
        folder: created if it is missing.
        memory: as for ``VideoSegmenter``. How the memory is read (``top_k`` and ``kernel``) becomes
            part of the graph; what is remembered can still be changed in ``OnnxSegmenter``.

    Raises:
        InputError: onnx or onnxscript is not installed, a memory setting is wrong or one that
            ``OnnxSegmenter`` does not have, or a file cannot be written.
    """
    if find_spec("onnx") is None or find_spec("onnxscript") is None:
        raise InputError(
            "the export needs onnx and onnxscript; expected after: pip install 'scmn[onnx]'"
        )
    policy = complete_settings(memory, network.memory_defaults)
    for setting in fields(policy):
        exported = setting.name in (*READ_SETTINGS, *POLICY_SETTINGS)
        if not exported and getattr(policy, setting.name) != setting.default:
            raise InputError(
                f"memory.{setting.name} cannot be exported: OnnxSegmenter does not have it"
            )
    files = [graph.write(folder) for graph in _graphs(network.eval(), policy)]
    settings = folder / "settings.json"
    with atomic_path(settings) as temporary:
        content = json.dumps(_settings(network, policy), indent=1)
        temporary.write_text(content + "\n", encoding="utf-8")
    return (*files, settings)


class _EncodeQuery(nn.Module):
    def __init__(self, network: MemoryNetwork) -> None:
        super().__init__()
        self.network = network

    def forward(self, image: Tensor) -> tuple[Tensor, ...]:
        query = self.network.encode_query(image)
        return query.key, query.value, query.stride16, query.stride8, query.stride4


class _EncodeMemory(nn.Module):
    """``encode_memory`` of all objects at once: its batches of objects are a loop."""

    def __init__(self, network: MemoryNetwork) -> None:
        super().__init__()
        self.network = network

    def forward(
        self, image: Tensor, object_masks: Tensor, query_key: Tensor, stride16: Tensor
    ) -> tuple[Tensor, Tensor]:
        # Of the query, the memory takes no more than these two.
        query = QueryFeatures(query_key, query_key, stride16, stride16, stride16)
        frame = self.network.encode_objects(image, object_masks, other_masks(object_masks), query)
        return frame.key, frame.value


class _Segment(nn.Module):
    """``segment`` of one group of objects, up to soft aggregation, which is a loop over objects."""

    def __init__(self, network: MemoryNetwork, read: ReadSettings) -> None:
        super().__init__()
        self.network = network
        self.read = read

    def forward(
        self,
        query_key: Tensor,
        query_value: Tensor,
        stride8: Tensor,
        stride4: Tensor,
        memory_key: Tensor,
        memory_value: Tensor,
        previous_masks: Tensor,
    ) -> Tensor:
        query = QueryFeatures(query_key, query_value, query_value, stride8, stride4)
        memory = MemoryFrames(memory_key, memory_value)
        readout, _ = self.network.read(query, memory, self.read)
        skips = self.network.decoder.skips(stride8, stride4)
        previous = previous_masks if self.network.uses_previous_masks else None
        return own_probabilities(self.network.decode(query, skips, readout, previous).logits)


@dataclass(frozen=True)
class _Graph:
    """One of the files."""

    name: str
    module: nn.Module
    inputs: Mapping[str, tuple[Tensor, dict[int, Any]]]
    """Name -> an example and its dynamic dimensions."""
    outputs: Sequence[str]

    def write(self, folder: Path) -> Path:
        program = torch.export.export(
            self.module.eval(),
            tuple(example for example, _ in self.inputs.values()),
            dynamic_shapes={name: dynamic for name, (_, dynamic) in self.inputs.items()},
        )
        # ONNX Runtime optimises what it loads; the exporter's own optimiser fails on these graphs.
        converted = torch.onnx.export(
            program,
            dynamo=True,
            input_names=list(self.inputs),
            output_names=list(self.outputs),
            optimize=False,
            verbose=False,
        )
        assert converted is not None
        path = folder / f"{self.name}.onnx"
        with atomic_path(path) as temporary:
            converted.save(temporary)
        return path


def _graphs(network: MemoryNetwork, policy: MemorySettings) -> list[_Graph]:
    # torch would treat a size of 1 by itself, which half of 2 is; the graphs allow it nevertheless.
    h, w = (Dim(name, min=3, max=4096) for name in ("rows", "columns"))
    n, t = Dim("objects", min=1, max=254), Dim("frames", min=1, max=1 << 20)
    height, width = STRIDE * _EXAMPLE["height"], STRIDE * _EXAMPLE["width"]

    def size(stride: int) -> dict[int, Any]:
        factor = STRIDE // stride
        return {2: factor * h, 3: factor * w} if factor > 1 else {2: h, 3: w}

    image = torch.rand(1, 3, height, width)
    masks = torch.rand(1, _EXAMPLE["objects"], height, width)
    encode_query, encode_memory = _EncodeQuery(network), _EncodeMemory(network)
    with torch.no_grad():
        key, value, stride16, stride8, stride4 = encode_query(image)
        frame = MemoryFrames(*encode_memory(image, masks, key, stride16))
    memory = MemoryFrames.join([frame] * _EXAMPLE["frames"])
    remembered = {3: t, 4: h, 5: w}
    of_objects = {1: n, **remembered}
    given_image, given_masks = (image, size(1)), (masks, {1: n, **size(1)})
    query_key = (key, size(16))
    return [
        _Graph(
            "encode_query",
            encode_query,
            {"image": given_image},
            ["query_key", "query_value", "stride16", "stride8", "stride4"],
        ),
        _Graph(
            "encode_memory",
            encode_memory,
            {
                "image": given_image,
                "object_masks": given_masks,
                "query_key": query_key,
                "stride16": (stride16, size(16)),
            },
            ["memory_key", "memory_value"],
        ),
        _Graph(
            "segment",
            _Segment(network, read_settings(None, policy)),
            {
                "query_key": query_key,
                "query_value": (value, size(16)),
                "stride8": (stride8, size(8)),
                "stride4": (stride4, size(4)),
                "memory_key": (memory.key, remembered if network.shared_key else of_objects),
                "memory_value": (memory.value, of_objects),
                "previous_masks": given_masks,
            },
            ["object_probabilities"],
        ),
    ]


def _settings(network: MemoryNetwork, policy: MemorySettings) -> dict[str, Any]:
    described, settings = network.description, asdict(policy)
    return {
        "model": type(network).__name__ if described is None else described.name,
        "padding_colour": network.padding_colour,
        "remembers_padding": network.remembers_padding,
        "top_k": policy.top_k,
        "memory": {name: settings[name] for name in POLICY_SETTINGS},
    }

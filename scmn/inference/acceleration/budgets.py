"""Memory budgets of a device: blocks of a memory read, and objects decoded at a time."""

from __future__ import annotations

from dataclasses import replace

import torch

from scmn.inference.acceleration.refinement import BandedRefinement
from scmn.inference.memory.settings import MemorySettings
from scmn.networks.base import MemoryNetwork
from scmn.networks.decoder import FINEST_STRIDE
from scmn.networks.memory_read import ReadSettings
from scmn.networks.refinement import Refinement

CPU_DENSE_BYTES = 8 << 20
"""An affinity matrix of up to this size stays in the cache through product, softmax and
conversion."""
CPU_BLOCK_BYTES = 64 << 20
CPU_ROWS_PER_CHANNEL = 0.5
"""On a CPU every product repacks keys and values, whatever its number of rows: wide ones need long
blocks, narrow ones short blocks that stay in the cache (measured: within 10 % of the best for 160
to 1600 channels and 5 to 20 frames)."""
GPU_BLOCK_BYTES = 256 << 20
"""A GPU is fastest with few large kernels."""

CPU_DECODING_BYTES = 256 << 20
"""Memory for decoding on the CPU, where larger batches of objects are no faster."""
GPU_DECODING_SHARE = 0.25
"""Share of a GPU's free memory for decoding; most is left to the frames that are remembered."""
DECODER_MAPS = 6
"""Maps that the decoder holds at its peak, of its width at its finest stride."""
REFINEMENT_MAPS = 5
"""Full-resolution maps that the refinement holds at its peak, of its width."""
OTHER_MAPS = 10
"""Further full-resolution maps of every network: logits, probabilities and masks."""


def read_settings(
    device: torch.device | None, memory: MemorySettings, *, block_bytes: int | None = None
) -> ReadSettings:
    """Return how a device reads the memory.

    Args:
        device: where the network runs (None: anywhere, with no limit of its own).
        memory: the user's settings.
        block_bytes: the user's limit on the affinity matrix (None: the device's own).
    """
    read = ReadSettings(memory.top_k)
    if (kernel := memory.kernel) is not None:
        read = replace(read, kernel_sigma=kernel.sigma, kernel_half_size=kernel.half_size)
    if block_bytes is not None:
        return replace(read, dense_bytes=block_bytes, block_bytes=block_bytes)
    if device is None:
        return read
    if device.type == "cpu":
        return replace(
            read,
            dense_bytes=CPU_DENSE_BYTES,
            block_bytes=CPU_BLOCK_BYTES,
            rows_per_channel=CPU_ROWS_PER_CHANNEL,
        )
    return replace(read, dense_bytes=GPU_BLOCK_BYTES, block_bytes=GPU_BLOCK_BYTES)


def fitting_objects(
    network: MemoryNetwork, size: tuple[int, int], device: torch.device, dtype: torch.dtype | None
) -> int:
    """Return how many objects fit in the device's budget when decoded together, at least one.

    Args:
        network: any network.
        size: height and width of the network's input.
        device: where the network runs.
        dtype: data type of the convolutions in mixed precision (None: float32).
    """
    budget = float(CPU_DECODING_BYTES)
    if device.type == "cuda":
        budget = GPU_DECODING_SHARE * free_gpu_memory(device)
    itemsize = (dtype or torch.float32).itemsize
    return max(1, int(budget / (floats_per_pixel(network) * size[0] * size[1] * itemsize)))


def free_gpu_memory(device: torch.device) -> int:
    """Return the bytes that this process can still allocate on a GPU.

    They are what the driver has left, beside other processes, and what torch's allocator holds but
    does not use.
    """
    free, _ = torch.cuda.mem_get_info(device)
    return free + torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)


def floats_per_pixel(network: MemoryNetwork) -> float:
    """Return roughly how many numbers per input pixel decoding one object holds at its peak."""
    floats = DECODER_MAPS * network.decoder.channels[-1] / FINEST_STRIDE**2 + OTHER_MAPS
    for module in network.modules():
        if isinstance(module, Refinement | BandedRefinement):
            floats += REFINEMENT_MAPS * module.channels
    return floats

"""How many objects are decoded at a time, where the user does not say."""

from __future__ import annotations

import torch

from scmn.networks.base import MemoryNetwork

CPU_BYTES = 256 << 20
"""What decoding may hold on the CPU, where larger batches of objects are no faster."""
GPU_SHARE = 0.25
"""What decoding may hold on a GPU, as a share of its memory."""


def objects_at_once(
    network: MemoryNetwork, size: tuple[int, int], device: torch.device, dtype: torch.dtype | None
) -> int:
    """Return how many objects to decode together, such that they do not exhaust the device.

    Args:
        network: which says what decoding takes.
        size: height and width at the network.
        device: where it runs.
        dtype: in what automatic mixed precision convolves, None for float32.
    """
    budget = float(CPU_BYTES)
    if device.type == "cuda":
        budget = GPU_SHARE * torch.cuda.get_device_properties(device).total_memory
    itemsize = (dtype or torch.float32).itemsize
    return max(1, int(budget / (network.floats_per_pixel * size[0] * size[1] * itemsize)))

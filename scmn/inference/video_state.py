"""What a segmenter knows of its video so far, and its file."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from scmn.errors import InputError
from scmn.inference.geometry import FrameGeometry
from scmn.inference.memory.files import read_memory, write_memory
from scmn.inference.memory.policy import MemoryBank
from scmn.networks.base import STRIDE


@dataclass
class VideoState:
    """A video up to its last segmented frame."""

    bank: MemoryBank
    frame_count: int = 0
    geometry: FrameGeometry | None = None
    """None before the first frame."""
    previous_masks: Tensor | None = None
    """Soft masks of the last frame, (1, N, H, W), for a network that uses them."""

    def geometry_of(
        self, frame_size: tuple[int, int], *, shorter_side: int | None, upscale: bool, scale: float
    ) -> FrameGeometry:
        """Return the video's geometry.

        Args:
            frame_size: height and width of the next frame.
            shorter_side: see :meth:`FrameGeometry.of_frame`; so are ``upscale`` and ``scale``.

        Raises:
            InputError: the frame is too small, or not of the size of those before, or it does not
                fit a loaded memory.
        """
        geometry = self.geometry or FrameGeometry.of_frame(
            *frame_size, shorter_side=shorter_side, upscale=upscale, scale=scale
        )
        if geometry.frame_size != frame_size:
            raise InputError(
                f"frame {self.frame_count} is {_size(frame_size)}, but the video's earlier frames "
                f"are {_size(geometry.frame_size)}"
            )
        remembered = self.bank.map_size and tuple(STRIDE * size for size in self.bank.map_size)
        if remembered not in (None, geometry.network_size):
            raise InputError(
                f"frame {self.frame_count} is {_size(geometry.network_size)} at the network's "
                f"input, but the loaded memory is of frames of {_size(remembered)}"
            )
        return geometry

    def remove_object(self, object_id: int) -> None:
        """Forget an object; InputError if there is no such object."""
        known = self.bank.object_ids
        if object_id not in known:
            raise InputError(f"no object {object_id} to remove; the objects are {list(known)}")
        self.bank.remove_object(object_id)
        if self.previous_masks is not None:
            kept = [i for i, other in enumerate(known) if other != object_id]
            self.previous_masks = self.previous_masks[:, kept]

    def save(self, path: Path, *, origin: Mapping[str, Any]) -> None:
        """Write the state to a file; see :func:`scmn.inference.memory.files.write_memory`."""
        tensors, bank = self.bank.state()
        if self.previous_masks is not None:
            tensors["previous_masks"] = self.previous_masks
        state = {
            "frame_count": self.frame_count,
            "geometry": None if self.geometry is None else asdict(self.geometry),
            "bank": bank,
        }
        write_memory(path, tensors, state, origin=origin)

    @classmethod
    def load(
        cls,
        path: Path,
        *,
        origin: Mapping[str, Any],
        bank: MemoryBank,
        device: torch.device,
        new_video: bool,
    ) -> VideoState:
        """Return a state that :meth:`save` wrote.

        Args:
            path: the file.
            origin: as the state was saved with.
            bank: an empty one, which is filled.
            device: where the state is to be.
            new_video: the next frame is the first of another video.

        Raises:
            InputError: as :func:`scmn.inference.memory.files.read_memory`.
        """
        tensors, state = read_memory(path, origin=origin)
        tensors = {name: tensor.to(device) for name, tensor in tensors.items()}
        previous_masks, count = tensors.get("previous_masks"), state["frame_count"]
        bank.restore(tensors, state["bank"], earlier=count if new_video else 0)
        if new_video:
            # The objects may be anywhere.
            masks = None if previous_masks is None else torch.ones_like(previous_masks)
            return cls(bank, previous_masks=masks)
        sizes = state["geometry"]
        geometry = None if sizes is None else FrameGeometry(*map(tuple, sizes.values()))
        return cls(bank, count, geometry, previous_masks)


def _size(size: tuple[int, ...] | None) -> str:
    return "x".join(map(str, size or ()))

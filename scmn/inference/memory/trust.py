"""Which masks are trusted, from how clear they are compared with the objects' given masks."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

import torch
from torch import Tensor


class GivenConfidence:
    """The confidence of each object on the latest frame where it was given with a mask.

    It stays on the device: what is compared with it need not wait.
    """

    def __init__(self) -> None:
        self._numbers: dict[int, Tensor] = {}
        """Float32 () by object id."""

    def least(
        self, share: float, confidence: Tensor, object_ids: Sequence[int], given: Collection[int]
    ) -> Tensor:
        """Return a share of the confidence on the latest given frames, this one included, (N,).

        Args:
            share: in [0, 1].
            confidence: of each object on this frame, float32 (N,), 0 without a mask.
            object_ids: the objects' ids.
            given: the ids of the objects whose masks are given on this frame.
        """
        numbers = []
        for object_id, number in zip(object_ids, confidence, strict=True):
            latest = self._numbers.get(object_id, torch.ones_like(number))
            if object_id in given:
                # A mask that hides the object says nothing about its other masks.
                latest = torch.where(number > 0, number, latest)
                self._numbers[object_id] = latest
            numbers.append(latest)
        return share * torch.stack(numbers)

    def forget(self, object_id: int) -> None:
        """Forget an object, if it is known."""
        self._numbers.pop(object_id, None)

    def state(self) -> dict[str, Tensor]:
        """Return the numbers by name; see :meth:`restore`."""
        return {str(object_id): number for object_id, number in self._numbers.items()}

    def restore(self, state: Mapping[str, Tensor]) -> None:
        """Take over what :meth:`state` returned."""
        self._numbers = {int(object_id): number for object_id, number in state.items()}

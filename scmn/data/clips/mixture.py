"""A mixture of data sets as one list of samples: sample number -> clip, a pure function.

Sample n does not depend on the number of workers or ranks, nor on restarts: its item and all its
random numbers are derived from the seed and n alone.
"""

from __future__ import annotations

import zlib
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import Protocol

import numpy as np
from torch.utils.data import Dataset

from scmn.data.clips.batch import TrainingClip, assemble_clip
from scmn.data.clips.clip import ClipSettings, DrawnClip
from scmn.errors import InputError


class ClipSource(Protocol):
    """A data set from which clips are drawn."""

    @property
    def name(self) -> str: ...

    @property
    def settings(self) -> ClipSettings: ...

    def __len__(self) -> int:
        """Number of items: images or videos."""
        ...

    def draw(self, index: int, *, rng: np.random.Generator, progress: float) -> DrawnClip:
        """Draw a clip of item ``index``: the same for the same random numbers and progress."""
        ...


@dataclass(frozen=True)
class MixtureEntry:
    """A data set's share in a mixture."""

    source: ClipSource
    repeat: int = 1
    """Occurrences of each item in a pass over the mixture."""


class ClipMixture(Dataset[TrainingClip]):
    """The samples 0..total_samples - 1 of one training stage.

    A pass holds every item of every entry ``repeat`` times, in an order that depends on the seed
    and the number of the pass alone. Progress at sample n is n / total_samples.

    Raises:
        InputError: there is no entry, or the entries' clip settings differ.
    """

    def __init__(self, entries: Sequence[MixtureEntry], *, seed: int, total_samples: int) -> None:
        if not entries:
            raise InputError("a training stage has no data set; expected at least one")
        for entry in entries:
            if entry.source.settings != entries[0].source.settings:
                raise InputError(
                    f"data sets '{entries[0].source.name}' and '{entry.source.name}' have "
                    "different clip settings; expected the same frames, size and max_objects"
                )
        self.entries = tuple(entries)
        self.settings = entries[0].source.settings
        self.seed = seed
        self.total_samples = total_samples
        self._ends = list(accumulate(len(entry.source) * entry.repeat for entry in entries))
        self._orders: dict[int, np.ndarray] = {}

    def __len__(self) -> int:
        return self.total_samples

    @property
    def pass_length(self) -> int:
        """Number of samples in a pass over the data."""
        return self._ends[-1]

    def __getitem__(self, number: int) -> TrainingClip:
        """Draw sample ``number``; InputError, naming the file, if its data cannot be read."""
        if not 0 <= number < self.total_samples:
            raise IndexError(f"training samples are 0..{self.total_samples - 1}, not {number}")
        source, index = self.item(number)
        drawn = source.draw(
            index, rng=self._stream("clip", number), progress=number / self.total_samples
        )
        return assemble_clip(drawn, max_objects=self.settings.max_objects, number=number)

    def item(self, number: int) -> tuple[ClipSource, int]:
        """Return the data set of sample ``number`` and its index there."""
        pass_number, place = divmod(number, self.pass_length)
        position = int(self._order(pass_number)[place])
        entry = bisect_right(self._ends, position)
        source = self.entries[entry].source
        begin = self._ends[entry - 1] if entry else 0
        return source, (position - begin) % len(source)

    def _order(self, pass_number: int) -> np.ndarray:
        order = self._orders.get(pass_number)
        if order is None:
            order = self._stream("order", pass_number).permutation(self.pass_length)
            # Consecutive samples lie in at most two passes.
            self._orders = {n: o for n, o in self._orders.items() if n == pass_number - 1}
            self._orders[pass_number] = order
        return order

    def _stream(self, part: str, number: int) -> np.random.Generator:
        return np.random.default_rng([self.seed, zlib.crc32(part.encode()), number])

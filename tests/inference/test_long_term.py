"""The long-term memory equals a plain one, which keeps each object's positions in lists."""

from __future__ import annotations

import math
from collections.abc import Collection
from dataclasses import dataclass, field
from typing import Any

import pytest
import torch
from torch import Tensor

from scmn import InputError, VideoSegmenter
from scmn.inference.memory.policy import MemoryBank
from scmn.inference.memory.settings import complete_settings
from scmn.networks.base import MemoryNetwork
from scmn.networks.features import MemoryFrames
from scmn.networks.stcn import STCN
from tests.conftest import build_small
from tests.inference.clips import TWO, label_map
from tests.inference.recording import distinct, recorded, recurring

EVERY = 2
SIZES = {"min_frames": 2, "max_frames": 4, "prototypes": 3, "max_elements": 7}


@dataclass
class Position:
    """A key and a value, and how much attention they have got in how many reads."""

    key: Tensor
    value: Tensor
    received: float = 0.0
    reads: int = 0

    @property
    def use(self) -> float:
        return self.received / max(self.reads, 1)


@dataclass
class PlainMemory:
    """XMem's memory of one object."""

    network: MemoryNetwork
    frames: dict[int, list[Position]] = field(default_factory=dict)
    permanent: set[int] = field(default_factory=set)
    lasting: set[int] = field(default_factory=set)
    prototypes: list[Position] = field(default_factory=list)

    @property
    def positions(self) -> list[Position]:
        return [p for frame in self.frames.values() for p in frame] + self.prototypes

    def weights(self, queries: Tensor, positions: list[Position]) -> Tensor:
        """Return the weights of positions at each of the (Q, Ck) queries, (Q, positions)."""
        keys = torch.stack([position.key for position in positions]).float()
        if self.network.similarity == "dot":
            scores = queries.float() @ keys.T
        else:
            scores = -torch.cdist(queries.float(), keys).square()
        return (scores / math.sqrt(keys.shape[1])).softmax(dim=1)

    def read(self, queries: Tensor) -> None:
        positions = self.positions
        for position, received in zip(
            positions, self.weights(queries, positions).sum(dim=0).tolist(), strict=True
        ):
            position.received += received
            position.reads += 1

    def remember(self, time: int, frame: MemoryFrames, *, lasting: bool, given: bool) -> None:
        key, value = frame.key[0, 0, :, 0].flatten(1).T, frame.value[0, 0, :, 0].flatten(1).T
        for previous in set(self.frames) - self.lasting:
            del self.frames[previous]
        self.frames[time] = [Position(k, v) for k, v in zip(key, value, strict=True)]
        if lasting:
            self.lasting.add(time)
        if given:
            self.permanent.add(time)
        working = sorted(set(self.frames) & self.lasting - self.permanent)
        if len(working) == SIZES["max_frames"] - 1:
            self.consolidate(working[: -(SIZES["min_frames"] - 1)])

    def consolidate(self, times: list[int]) -> None:
        candidates = [position for time in times for position in self.frames.pop(time)]
        best = sorted(candidates, key=lambda p: p.use, reverse=True)[: SIZES["prototypes"]]
        values = torch.stack([position.value for position in candidates]).float()
        self.prototypes.sort(key=lambda p: p.use, reverse=True)
        del self.prototypes[SIZES["max_elements"] - len(best) :]
        for prototype in best:
            weights = self.weights(prototype.key[None], candidates)
            self.prototypes.append(Position(prototype.key, (weights @ values)[0]))


@pytest.mark.parametrize("gated", [False, True])
@pytest.mark.parametrize("precision", ["fp32", "bf16"])
@pytest.mark.parametrize("name", ["stm", "stcn", "scmn"])
def test_a_segmenter_remembers_what_a_plain_memory_remembers(
    name: str, precision: str, gated: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two objects, a third one from frame 5, and the first one removed before frame 10."""
    policy = {"every": EVERY, "long_term": SIZES, "top_k": None, "gate": {} if gated else None}
    segmenter = VideoSegmenter(distinct(build_small(name)), memory=policy, precision=precision)
    network = segmenter.model
    results: dict[str, Any] = {}
    for method in ("encode_query", "segment", "encode_memory"):
        monkeypatch.setattr(network, method, recorded(getattr(network, method), results, method))
    plain = {7: PlainMemory(network), 200: PlainMemory(network)}
    groups = {7: [7, 200], 200: [7, 200], 9: [9]}

    def trusts(object_id: int, given: Collection[int]) -> bool:
        return not gated or object_id in given or (time + object_id) % 7 > 0

    def trust(_: Tensor, given: Collection[int]) -> list[bool]:
        return [trusts(object_id, given) for object_id in segmenter.object_ids]

    monkeypatch.setattr(segmenter.bank, "trust", trust)
    for time, frame in enumerate(recurring(18)):
        if time == 10:
            segmenter.remove_object(7)
            del plain[7]
            groups[200] = [200]
        labels = {0: TWO, 5: label_map((9, 20, 20))}.get(time)
        given = {0: (7, 200), 5: (9,)}.get(time, ())
        regular = (time - 5 * (time > 5)) % EVERY == 0
        results.clear()
        segmenter.step(frame, labels)
        if "segment" in results:
            for memory in plain.values():
                memory.read(results["encode_query"].key[0].flatten(1).T)
        if time == 5:
            plain[9] = PlainMemory(network)
        for position, (object_id, memory) in enumerate(plain.items()):
            due = time - max(memory.lasting, default=0) >= EVERY if gated else regular
            lasting = labels is not None or due
            wanted = lasting or segmenter.memory_settings.keep_previous
            if wanted and any(trusts(other, given) for other in groups[object_id]):
                own = results["encode_memory"].objects(slice(position, position + 1))
                if gated:
                    own = own.weighted(torch.full((1,) * 6, float(trusts(object_id, given))))
                memory.remember(time, own, lasting=lasting, given=labels is not None)
        stored = [own for memory in segmenter.bank.memory() for own in single(memory)]
        for own, memory in zip(stored, plain.values(), strict=True):
            check_equal(own, memory.positions)
    assert len(plain[200].prototypes) == SIZES["max_elements"]
    assert len(plain[9].prototypes) >= 2 * SIZES["prototypes"]


def single(memory: MemoryFrames) -> list[MemoryFrames]:
    """Return the memory of each object of a group."""
    return [memory.objects(slice(n, n + 1)) for n in range(memory.value.shape[1])]


def check_equal(memory: MemoryFrames, expected: list[Position]) -> None:
    """Check that an object's memory has these positions in any order."""
    keys = memory.key[0, 0].flatten(1).T.float()
    values = memory.value[0, 0].flatten(1).T.float()
    assert len(keys) == len(expected)
    expected_keys = torch.stack([position.key for position in expected]).float()
    expected_values = torch.stack([position.value for position in expected]).float()
    # Frames of the same image have the same keys, but other values.
    distances = torch.cdist(keys, expected_keys) + torch.cdist(values, expected_values)
    nearest = distances.argmin(dim=1)
    assert nearest.unique().numel() == len(expected)
    torch.testing.assert_close(keys, expected_keys[nearest], atol=0, rtol=0)
    rounding = 1e-4 if memory.value.dtype == torch.float32 else 2e-2
    torch.testing.assert_close(values, expected_values[nearest], atol=rounding, rtol=rounding)


@pytest.mark.parametrize(
    ("policy", "most"),
    [
        ({"max_frames": 8, "eviction": "usage"}, 9 * 6),
        ({"long_term": {"max_elements": 300}}, 9 * 6 + 300),
    ],
)
def test_the_memory_of_a_long_video_does_not_grow(policy: dict[str, Any], most: int) -> None:
    settings = complete_settings({"every": 1, **policy}, STCN.memory_defaults)
    bank = MemoryBank(settings, "l2")
    bank.add_objects([1, 2])
    generator = torch.Generator().manual_seed(0)
    sizes, addresses = [], set()
    for time in range(600):
        key, value = (torch.rand(1, n, 4, 1, 2, 3, generator=generator) for n in (1, 2))
        if time:
            remembered = bank.memory()[0].key
            attention = torch.rand(1, 1, *remembered.shape[3:], generator=generator)
            if "eviction" in policy:
                attention = attention.mean(dim=(3, 4), keepdim=True).expand(-1, -1, -1, 2, 3)
            bank.observe([attention], torch.rand(1, 2, 32, 48, generator=generator))
        bank.remember(time, MemoryFrames(key, value), annotated=time == 0)
        memory = bank.memory()[0].value
        sizes.append(memory[0, 0, 0].numel())
        addresses.add(memory.untyped_storage().data_ptr())
    assert max(sizes) == max(sizes[-10:]) == most
    assert len(addresses) == 1


@pytest.mark.parametrize(
    ("sizes", "message"),
    [
        ({"min_frames": 10}, r"max_frames must be above min_frames=10, not 10"),
        ({"max_elements": 100}, r"max_elements must be at least prototypes=128, not 100"),
        ({}, r"memory: max_frames must be null beside long_term, not 8"),
    ],
)
def test_contradictory_sizes_are_refused(sizes: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        complete_settings({"max_frames": 8, "long_term": sizes}, STCN.memory_defaults)

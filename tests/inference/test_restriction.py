"""Eviction by usage equals a plain restricted bank, in which each frame is known by its time."""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.nn import functional

from scmn import VideoSegmenter
from scmn.inference.memory.policy import MemoryBank
from scmn.inference.memory.settings import complete_settings
from scmn.networks.base import MemoryNetwork
from scmn.networks.features import MemoryFrames, QueryFeatures
from scmn.networks.stm import STM
from tests.conftest import build_small
from tests.inference.clips import TWO, label_map
from tests.inference.recording import distinct, recorded, recurring

K = 2
EVERY = 2


@dataclass
class PlainFrame:
    lasting: bool
    permanent: bool
    memory: MemoryFrames | None = None
    relevance: float | None = None
    updates: int = 0

    def objects(self, chosen: slice) -> MemoryFrames:
        assert self.memory is not None
        return self.memory.objects(chosen)

    def score(self, total: int) -> float:
        relevance = 1.0 if self.relevance is None else self.relevance
        return relevance + 1.5 * math.sqrt(math.log(max(total, 1)) / (self.updates + 8))


class PlainGroup:
    """RMem's bank: the given frames, the latest one and ``K`` others."""

    def __init__(self, keep_previous: bool) -> None:
        self.keep_previous = keep_previous
        self.frames: dict[int, PlainFrame] = {}
        self.latest = 0
        """The last frame that was remembered for more than one frame."""

    def observe(self, shares: Mapping[int, float]) -> None:
        for time, frame in self.frames.items():
            earlier = frame.relevance
            newest = shares[time]
            frame.relevance = newest if earlier is None else 0.8 * newest + 0.2 * earlier

    def remember(self, time: int, new: PlainFrame) -> None:
        if new.lasting:
            self.latest = time
            for frame in self.frames.values():
                frame.updates += 1
        replaced = [t for t, frame in self.frames.items() if not frame.lasting]
        candidates = {t: frame for t, frame in self.frames.items() if not frame.permanent}
        others = len(candidates) + (not new.permanent and not self.keep_previous)
        if not replaced and others > K:
            total = sum(frame.updates for frame in self.frames.values())
            replaced = [min(candidates, key=lambda t: candidates[t].score(total))]
        for t in replaced:
            del self.frames[t]
        self.frames[time] = new


def remembered(time: int, objects: int = 1) -> MemoryFrames:
    """Return a memory whose every number is the frame's time."""
    full = torch.full((1, objects, 2, 1, 2, 3), float(time))
    return MemoryFrames(full, full)


@settings(max_examples=40, deadline=None)
@given(
    seed=st.integers(0, 1000),
    keep_previous=st.booleans(),
    gated=st.booleans(),
    annotated=st.sets(st.integers(1, 29), max_size=3),
    second=st.integers(1, 20),
    removed=st.integers(10, 29),
)
def test_the_bank_keeps_what_a_plain_one_keeps(
    seed: int, keep_previous: bool, gated: bool, annotated: set[int], second: int, removed: int
) -> None:
    """One object, a second one from a later frame, and the first one removed."""
    policy = {
        "every": EVERY,
        "max_frames": K,
        "eviction": "usage",
        "keep_previous": keep_previous,
        "gate": {} if gated else None,
    }
    bank = MemoryBank(complete_settings(policy, STM.memory_defaults), "dot")
    random = np.random.default_rng(seed)
    plain: dict[int, PlainGroup] = {}
    last_annotated = 0
    for time in range(30):
        if time == removed and 1 in plain:
            bank.remove_object(1)
            del plain[1]
        is_given = time in annotated | {0, second}
        regular = is_given or (time - last_annotated) % EVERY == 0
        due = {
            i: is_given or time - group.latest >= EVERY if gated else regular
            for i, group in plain.items()
        }
        if bank.object_ids:
            expected = "frames" if any(due.values()) else None
            assert bank.attention(time, annotated=is_given) == expected
        if any(due.values()):
            # Few frames get most of the attention.
            shares = {t: random.random() ** 6 + 1e-3 for t in range(time)}
            maps = []
            for (i, group), frames in zip(plain.items(), bank.memory(), strict=True):
                times = frames.value[0, 0, 0, :, 0, 0].int().tolist()
                own = torch.tensor([shares[t] ** i for t in times])
                own = own / own.sum()
                maps.append(own.view(1, 1, -1, 1, 1).expand(-1, -1, -1, 2, 3))
                group.observe(dict(zip(times, own.tolist(), strict=True)))
            bank.observe(maps, torch.rand(1, len(plain), 32, 48))
        for i, start in ((1, 0), (2, second)):
            if time == start:
                bank.add_objects([i])
                plain[i] = PlainGroup(keep_previous)
                due[i] = True
        trusted = [is_given or not gated or random.random() < 0.6 for _ in plain]
        if bank.wants(time, annotated=is_given, trusted=trusted):
            frame = remembered(time, len(plain))
            bank.remember(time, frame, annotated=is_given, trusted=trusted)
        for (i, group), may in zip(plain.items(), trusted, strict=True):
            if may and (due[i] or keep_previous):
                group.remember(time, PlainFrame(due[i], permanent=is_given))
        last_annotated = time if is_given else last_annotated
        for (i, group), frames in zip(plain.items(), bank.memory(), strict=True):
            assert list(bank.remembered_times(i)) == sorted(group.frames)
            assert sorted(frames.key[0, 0, 0, :, 0, 0].tolist()) == sorted(group.frames)


def test_the_least_useful_frame_goes_and_not_the_oldest() -> None:
    policy = {"every": 1, "max_frames": 3, "eviction": "usage", "keep_previous": False}
    bank = MemoryBank(complete_settings(policy, STM.memory_defaults), "dot")
    bank.add_objects([1])
    for time in range(12):
        if time:
            times = bank.memory()[0].value[0, 0, 0, :, 0, 0]
            shares = (times == 1).float() + 0.01
            maps = (shares / shares.sum()).view(1, 1, -1, 1, 1).expand(-1, -1, -1, 2, 3)
            bank.observe([maps], torch.ones(1, 1, 32, 48))
        bank.remember(time, remembered(time), annotated=time == 0)
    assert bank.remembered_times(1) == (0, 1, 10, 11)


def plain_shares(
    network: MemoryNetwork, query: QueryFeatures, group: PlainGroup, masks: Tensor
) -> dict[int, float]:
    """Return the frames' shares of the attention of a group's objects, masks (N, H, W)."""
    shares = dict.fromkeys(group.frames, 0.0)
    foreground = functional.avg_pool2d(masks, 16).flatten(1)
    key = query.key[0].flatten(1).float()
    for n, weight in enumerate(foreground):
        scores = []
        for frame in group.frames.values():
            remembered = frame.objects(slice(n, n + 1)).key[0, 0].flatten(1).float()
            if network.similarity == "dot":
                scores.append(key.T @ remembered)
            else:
                scores.append(-torch.cdist(key.T, remembered.T).square())
        affinity = torch.stack(scores, dim=1) / math.sqrt(len(key))  # (h * w, T, h * w)
        weights = affinity.flatten(1).softmax(dim=1).view_as(affinity).sum(dim=2)
        received = (weight[:, None] * weights).sum(dim=0)
        for time, share in zip(shares, received / received.sum(), strict=True):
            shares[time] += share.item() / len(masks)
    return shares


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
@pytest.mark.parametrize("name", ["stm", "stcn", "scmn"])
def test_a_segmenter_keeps_what_a_plain_bank_keeps(
    name: str, precision: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two objects, a third one from frame 5, and the first one removed before frame 10."""
    policy = {"every": EVERY, "max_frames": K, "eviction": "usage", "top_k": None}
    segmenter = VideoSegmenter(distinct(build_small(name)), memory=policy, precision=precision)
    network = segmenter.model
    results: dict[str, Any] = {}
    for method in ("encode_query", "segment", "encode_memory"):
        monkeypatch.setattr(network, method, recorded(getattr(network, method), results, method))
    groups = {200: PlainGroup(segmenter.memory_settings.keep_previous)}  # by its last object
    oldest_went = True
    for time, frame in enumerate(recurring(14)):
        if time == 10:
            segmenter.remove_object(7)
            for remembered_frame in groups[200].frames.values():
                remembered_frame.memory = remembered_frame.objects(slice(1, 2))
        labels = {0: TWO, 5: label_map((9, 20, 20))}.get(time)
        lasting = labels is not None or (time - 5 * (time > 5)) % EVERY == 0
        results.clear()
        segmenter.step(frame, labels)
        if "segment" in results and lasting:
            probabilities = results["segment"].probabilities[0, 1:]
            sizes = [2 - (time >= 10), 1][: len(groups)]
            for group, masks in zip(groups.values(), probabilities.split(sizes), strict=True):
                group.observe(plain_shares(network, results["encode_query"], group, masks))
        if time == 5:
            groups[9] = PlainGroup(segmenter.memory_settings.keep_previous)
        if "encode_memory" in results:
            first = 0
            for last, group in groups.items():
                size = 1 if last == 9 or time >= 10 else 2
                own = results["encode_memory"].objects(slice(first, first + size))
                group.remember(time, PlainFrame(lasting, labels is not None, own))
                first += size
        for last, group in groups.items():
            times = sorted(group.frames)
            assert list(segmenter.bank.remembered_times(last)) == times
            lasting_times = [t for t in times[1:] if group.frames[t].lasting]
            oldest_went &= all(b - a <= EVERY for a, b in itertools.pairwise(lasting_times))
    assert not oldest_went

"""The memory read equals the papers' formulas, at once and in blocks."""

from __future__ import annotations

import itertools
import math
from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from scmn.networks.affinity import Similarity
from scmn.networks.memory_read import (
    Attention,
    ReadSettings,
    read_memory,
    read_with_attention,
)


def tensors(
    batch: int = 1, objects: int = 2, keys: int = 2, frames: int = 3, size: tuple[int, int] = (4, 5)
) -> tuple[Tensor, Tensor, Tensor]:
    generator = torch.Generator().manual_seed(0)
    height, width = size
    query_key = torch.randn(batch, 8, height, width, generator=generator)
    memory_key = torch.randn(batch, keys, 8, frames, height, width, generator=generator)
    memory_value = torch.randn(batch, objects, 6, frames, height, width, generator=generator)
    return query_key, memory_key, memory_value


def plain_read(query: Tensor, key: Tensor, value: Tensor, similarity: str) -> Tensor:
    """Compute the formula with loops over clips, objects and query positions."""
    batch, objects, value_dim = value.shape[:3]
    readout = torch.empty(batch, objects, value_dim, *query.shape[-2:])
    for b in range(batch):
        for n in range(objects):
            keys = key[b, min(n, key.shape[1] - 1)].flatten(1)
            values = value[b, n].flatten(1)
            for y in range(query.shape[2]):
                for x in range(query.shape[3]):
                    q = query[b, :, y, x, None]
                    if similarity == "dot":
                        scores = (keys * q).sum(dim=0)
                    else:
                        scores = -(keys - q).square().sum(dim=0)
                    weights = (scores / math.sqrt(keys.shape[0])).softmax(dim=0)
                    readout[b, n, :, y, x] = values @ weights
    return readout


@pytest.mark.parametrize("similarity", ["dot", "l2"])
@pytest.mark.parametrize("keys", [1, 2])
def test_read_equals_the_formula(similarity: Similarity, keys: int) -> None:
    query, key, value = tensors(batch=2, keys=keys)
    readout = read_memory(query, key, value, similarity=similarity)
    torch.testing.assert_close(readout, plain_read(query, key, value, similarity))


@settings(max_examples=25, deadline=None)
@given(
    objects=st.integers(1, 3),
    frames=st.integers(1, 3),
    height=st.integers(1, 4),
    width=st.integers(1, 4),
    shared=st.booleans(),
    block_bytes=st.integers(1, 4000),
    similarity=st.sampled_from(["dot", "l2"]),
    top_k=st.sampled_from([None, 1, 4, 1000]),
)
def test_blocked_read_equals_the_dense_read(
    objects: int,
    frames: int,
    height: int,
    width: int,
    shared: bool,
    block_bytes: int,
    similarity: Similarity,
    top_k: int | None,
) -> None:
    query, key, value = tensors(1, objects, 1 if shared else objects, frames, (height, width))
    dense = read_memory(query, key, value, similarity=similarity, settings=ReadSettings(top_k))
    blocked = read_memory(
        query,
        key,
        value,
        similarity=similarity,
        settings=ReadSettings(top_k, dense_bytes=0, block_bytes=1),
    )
    automatic = read_memory(
        query,
        key,
        value,
        similarity=similarity,
        settings=ReadSettings(
            top_k, dense_bytes=block_bytes, block_bytes=block_bytes, rows_per_channel=0.1
        ),
    )
    torch.testing.assert_close(blocked, dense)
    torch.testing.assert_close(automatic, dense)


@pytest.mark.parametrize("similarity", ["dot", "l2"])
@pytest.mark.parametrize("keys", [1, 2])
def test_top_k_is_the_softmax_over_the_k_best(similarity: Similarity, keys: int) -> None:
    query, key, value = tensors(keys=keys)
    readout = read_memory(query, key, value, similarity=similarity, settings=ReadSettings(top_k=7))
    for n in range(2):
        flat_key = key[0, min(n, keys - 1)].flatten(1)
        scores = query[0].flatten(1).T @ flat_key
        if similarity == "l2":
            scores = 2 * scores - flat_key.square().sum(dim=0)
        scores = scores / math.sqrt(8)
        threshold = scores.topk(7, dim=1).values[:, -1:]
        weights = scores.masked_fill(scores < threshold, -torch.inf).softmax(dim=1)
        expected = (value[0, n].flatten(1) @ weights.T).unflatten(1, query.shape[-2:])
        torch.testing.assert_close(readout[0, n], expected)


def test_top_k_of_all_positions_is_the_full_softmax() -> None:
    query, key, value = tensors()
    full = read_memory(query, key, value, similarity="dot")
    every = read_memory(query, key, value, similarity="dot", settings=ReadSettings(top_k=3 * 20))
    torch.testing.assert_close(every, full)


def halving(length: int) -> Tensor:
    """Return the weights (half the length, length) of linear interpolation to half the length."""
    half = math.ceil(length / 2)
    weights = torch.zeros(half, length)
    for i in range(half):
        place = max((i + 0.5) * length / half - 0.5, 0)
        before = int(place)
        weights[i, before] += 1 - (place - before)
        weights[i, min(before + 1, length - 1)] += place - before
    return weights


def halved(maps: Tensor) -> Tensor:
    """Return (..., h, w) at half the size."""
    return halving(maps.shape[-2]) @ maps @ halving(maps.shape[-1]).T


def plain_kernel_read(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    similarity: str,
    sigma: float,
    top_k: int | None,
    half_size: bool = False,
) -> Tensor:
    """Compute KMN's equations 3 to 5 for each object, position by position."""
    objects, height, width = value.shape[1], *query.shape[-2:]
    places = [(y, x) for y in range(height) for x in range(width)]
    readout = torch.empty(1, objects, value.shape[2], height, width)
    for n in range(objects):
        keys = key[0, min(n, key.shape[1] - 1)].flatten(1)
        values = value[0, n].flatten(1)
        scores = torch.empty(len(places), keys.shape[1])
        for i, (y, x) in enumerate(places):
            q = query[0, :, y, x, None]
            scores[i] = (keys * q).sum(0) if similarity == "dot" else -(keys - q).square().sum(0)
        scores = scores / math.sqrt(keys.shape[0])
        weights = scores.exp()
        if half_size:
            centres = half_size_centres(query[0], key[0, min(n, key.shape[1] - 1)], similarity)
        else:
            centres = [places[i] for i in scores.argmax(dim=0).tolist()]
        for j, (best_y, best_x) in enumerate(centres):
            for i, (y, x) in enumerate(places):
                squared = (y - best_y) ** 2 + (x - best_x) ** 2
                weights[i, j] *= math.exp(-squared / (2 * sigma**2))
        if top_k is not None:
            threshold = weights.topk(top_k, dim=1).values[:, -1:]
            weights = weights * (weights >= threshold)
        weights = weights / weights.sum(dim=1, keepdim=True)
        readout[0, n] = (values @ weights.T).unflatten(1, (height, width))
    return readout


@pytest.mark.parametrize("similarity", ["dot", "l2"])
@pytest.mark.parametrize("keys", [1, 2])
@pytest.mark.parametrize("top_k", [None, 7])
@pytest.mark.parametrize(("half_size", "maps"), [(False, True), (True, True), (True, False)])
def test_kernel_weighs_by_the_distance_from_the_most_similar_query_position(
    similarity: Similarity, keys: int, top_k: int | None, half_size: bool, maps: bool
) -> None:
    query, key, value = tensors(keys=keys)
    if not maps:  # a long-term memory's positions belong to no map
        key, value = (t.flatten(3).unflatten(3, (-1, 1, 1)) for t in (key, value))
    # A map of 4 x 5: the width is given for one of 30 rows.
    for read in (
        ReadSettings(top_k, 9.0, half_size),
        ReadSettings(top_k, 9.0, half_size, dense_bytes=0, block_bytes=1000),
    ):
        readout = read_memory(query, key, value, similarity=similarity, settings=read)
        expected = plain_kernel_read(query, key, value, similarity, 9.0 * 4 / 30, top_k, half_size)
        torch.testing.assert_close(readout, expected, atol=1e-5, rtol=1e-4)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        half = read_memory(
            query.bfloat16(), key.bfloat16(), value, similarity=similarity, settings=read
        )
    rounded = [t.bfloat16().float() for t in (query, key)]
    expected = plain_kernel_read(*rounded, value, similarity, 9.0 * 4 / 30, top_k, half_size)
    # The values are weighted in bfloat16.
    torch.testing.assert_close(half.float(), expected, atol=0.02, rtol=0.02)


def half_size_centres(query: Tensor, key: Tensor, similarity: str) -> list[tuple[float, float]]:
    """Return where in the map (C, h, w) that which is most like each part of (C, T, h, w) lies."""
    queries, keys = halved(query), halved(key)
    ys, xs = ((halving(n) @ torch.arange(float(n))).tolist() for n in query.shape[1:])
    centres = []
    for t, y, x in itertools.product(*map(range, key.shape[1:])):
        k = keys[:, t, y // 2, x // 2, None, None]
        alike = (queries * k).sum(0) if similarity == "dot" else -(queries - k).square().sum(0)
        i, j = divmod(int(alike.argmax()), len(xs))
        centres.append((ys[i], xs[j]))
    return centres


def plain_weights(
    query: Tensor, key: Tensor, objects: int, similarity: str, sigma: float, top_k: int | None
) -> Tensor:
    """Return the weights (N, h * w, T, h * w): reading one-hot values tells them."""
    positions = key[0, 0, 0].numel()
    one_hot = torch.eye(positions).unflatten(1, key.shape[3:]).expand(1, objects, -1, -1, -1, -1)
    weights = plain_kernel_read(query, key, one_hot, similarity, sigma, top_k)
    return weights[0].flatten(2).transpose(1, 2).unflatten(2, (key.shape[3], -1))


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("blocks", [{}, {"dense_bytes": 0, "block_bytes": 1000}])
@pytest.mark.parametrize("sigma", [None, 9.0])
@pytest.mark.parametrize("top_k", [None, 7])
@pytest.mark.parametrize("keys", [1, 2])
@pytest.mark.parametrize("similarity", ["dot", "l2"])
def test_attention_sums_the_weights_of_the_read(
    similarity: Similarity,
    keys: int,
    top_k: int | None,
    sigma: float | None,
    blocks: dict[str, int],
    dtype: torch.dtype,
) -> None:
    query, key, value = (t.to(dtype) for t in tensors(keys=keys))
    width = 1e6 if sigma is None else sigma * 4 / 30
    weights = plain_weights(query.float(), key.float(), keys, similarity, width, top_k)
    expected = {
        "frames": weights.sum(dim=3).transpose(1, 2).unflatten(2, (4, 5)),
        "positions": weights.sum(dim=1).unflatten(2, (4, 5)),
    }
    read = ReadSettings(top_k, sigma, **blocks)
    alone = read_memory(query, key, value, similarity=similarity, settings=read)
    kind: Attention
    for kind in ("frames", "positions"):
        readout, attention = read_with_attention(
            query, key, value, similarity=similarity, settings=replace(read, attention=kind)
        )
        assert attention is not None
        assert torch.equal(readout, alone)
        torch.testing.assert_close(attention[0], expected[kind], atol=1e-5, rtol=1e-4)


def test_a_wide_kernel_changes_nothing() -> None:
    query, key, value = tensors()
    plain = read_memory(query, key, value, similarity="l2")
    wide = read_memory(query, key, value, similarity="l2", settings=ReadSettings(kernel_sigma=1e6))
    torch.testing.assert_close(wide, plain)


def test_gradients_of_blocked_and_dense_reads_are_equal() -> None:
    gradients = []
    for dense_bytes in (None, 0):
        leaves = [t.requires_grad_() for t in tensors()]
        read = ReadSettings(top_k=5, dense_bytes=dense_bytes, block_bytes=500)
        read_memory(*leaves, similarity="l2", settings=read).square().sum().backward()
        gradients.append([leaf.grad for leaf in leaves])
    for dense, blocked in zip(*gradients, strict=True):
        torch.testing.assert_close(blocked, dense)


def test_l2_keeps_its_precision_in_bfloat16() -> None:
    """Keys are far from the origin: |k|^2 is large, and their differences are small."""
    query, key, value = tensors(keys=1)
    key = key * 0.2 + 3
    query = query * 0.2 + 3
    exact = read_memory(query.bfloat16().float(), key.bfloat16().float(), value, similarity="l2")
    with torch.autocast("cpu", dtype=torch.bfloat16):
        half = read_memory(query.bfloat16(), key.bfloat16(), value.bfloat16(), similarity="l2")
    # With the norm or the product in bfloat16 the error would be ten times larger.
    assert (half.float() - exact).abs().mean() < 0.01 * exact.abs().mean()

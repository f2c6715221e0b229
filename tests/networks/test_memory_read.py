"""The memory read equals the papers' formulas, at once and in blocks."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from scmn.networks.memory_read import ReadSettings, Similarity, read_memory


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
        query, key, value, similarity=similarity, settings=ReadSettings(top_k, 0, 1)
    )
    automatic = read_memory(
        query,
        key,
        value,
        similarity=similarity,
        settings=ReadSettings(top_k, block_bytes, block_bytes, 0.1),
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

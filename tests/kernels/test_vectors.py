"""Sums of token vectors and cosines beside scores, against numpy."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from encoders.base import Document
from indexer.builder import build
from kernels.cpu.vectors import (
    LARGEST_GAIN,
    QUERY_STEPS,
    VECTOR_STEP,
    pool_query,
    pool_tokens,
    rank_again,
    warm_up,
)
from retriever.searcher import open_index

TOKENS, AXES = 12, 5
TEXTS = st.lists(st.lists(st.integers(0, TOKENS - 1), max_size=9), min_size=1, max_size=6)


def pooled(texts, table, weights, bias):
    tokens = np.array([token for text in texts for token in text], dtype=np.int32)
    starts = np.cumsum([0, *map(len, texts)])
    seen = np.zeros(TOKENS, dtype=np.int32)
    sums = np.full((len(texts), AXES), np.nan, dtype=np.float32)
    pool_tokens(tokens, starts, table, weights, bias, seen, sums)
    assert not seen.any()
    return sums


@settings(deadline=None)
@given(TEXTS, st.integers(0, 2**32 - 1))
def test_sums_are_those_of_numpy(texts, seed):
    rng = np.random.default_rng(seed)
    table = rng.integers(-127, 128, (TOKENS, AXES)).astype(np.int8)
    weights = (rng.random(TOKENS) * (rng.random(TOKENS) < 0.8)).astype(np.float32)
    bias = rng.normal(size=AXES).astype(np.float32)
    found = pooled(texts, table, weights, bias)
    for text, vector in zip(texts, found, strict=True):
        distinct, counts = np.unique(np.array(text, dtype=int), return_counts=True)
        factors = weights[distinct] * (1 + np.log(counts))
        if not factors.any():
            assert not vector.any()
            continue
        expected = factors @ table[distinct].astype(float) + bias
        np.testing.assert_allclose(vector, expected / np.linalg.norm(expected), atol=1e-5)


@settings(deadline=None)
@given(st.lists(st.integers(0, TOKENS - 1), min_size=1, max_size=9, unique=True), st.integers(0, 9))
def test_a_query_is_such_a_sum(tokens, seed):
    rng = np.random.default_rng(seed)
    table = rng.integers(-127, 128, (TOKENS, AXES)).astype(np.int8)
    weights = rng.random(TOKENS).astype(np.float32)
    counts = 1 + np.log(rng.integers(1, 9, len(tokens)))
    vector, rounded = np.empty(AXES), np.empty(AXES, dtype=np.int32)
    length = pool_query(np.array(tokens), counts, table, weights, vector, rounded)
    expected = (counts * weights[tokens]) @ table[tokens].astype(float)
    assert length == pytest.approx(np.linalg.norm(expected))
    np.testing.assert_allclose(vector, expected / length)
    np.testing.assert_allclose(rounded / QUERY_STEPS, vector, atol=1e-6)
    none = pool_query(np.array(tokens), 0 * counts, table, weights, vector, rounded)
    assert none == 0
    assert not vector.any()
    assert not rounded.any()


def test_a_sum_of_nothing_is_zeros():
    table = np.array([[3] * AXES, [-3] * AXES] + [[0] * AXES] * (TOKENS - 2), dtype=np.int8)
    ones = np.ones(TOKENS, dtype=np.float32)
    found = pooled([[0, 1], [5], []], table, ones, np.zeros(AXES, dtype=np.float32))
    assert not found.any()


def ranked_again(table, weights, vectors, rows, depth, factor, scores, tokens=(0, 3)):
    found, order = scores.copy(), np.arange(len(scores))
    counts = np.ones(len(tokens))
    rank_again(np.array(tokens), counts, table, weights, vectors, rows, depth, factor, found, order)
    return found.tolist(), order.tolist()


@settings(deadline=None)
@given(st.integers(0, 20), st.integers(0, 25), st.integers(0, 2**32 - 1), st.floats(0, 1e6))
def test_cosines_above_0_are_added_rounded_down_and_sorted(count, depth, seed, factor):
    rng = np.random.default_rng(seed)
    depth = min(depth, count)
    table = rng.integers(-127, 128, (TOKENS, AXES)).astype(np.int8)
    weights = rng.random(TOKENS).astype(np.float32)
    vectors = rng.integers(-127, 128, (30, AXES)).astype(np.int8)
    rows = rng.integers(0, 30, count)
    scores = np.sort(rng.integers(0, 9, count) * 100_000)[::-1]
    found, order = ranked_again(table, weights, vectors, rows, depth, factor, scores)
    vector, rounded = np.empty(AXES), np.empty(AXES, dtype=np.int32)
    pool_query(np.array([0, 3]), np.ones(2), table, weights, vector, rounded)
    dots = (vectors[rows].astype(np.int32) @ rounded)[:depth]  # of 32 bits
    gains = np.floor(factor * VECTOR_STEP / QUERY_STEPS * np.maximum(dots, 0)).astype(np.int64)
    totals = scores.copy()
    totals[:depth] += gains
    expected = np.argsort(-totals[:depth], kind="stable").tolist() + list(range(depth, count))
    assert order == expected
    assert found == totals[expected].tolist()


def test_the_largest_gain_fits():
    table = np.full((TOKENS, AXES), 100, dtype=np.int8)
    ones = np.ones(TOKENS, dtype=np.float32)
    scores = np.array([int(LARGEST_GAIN)])
    rows = np.zeros(1, np.int64)
    [score], order = ranked_again(table, ones, table, rows, 1, LARGEST_GAIN, scores)
    assert order == [0]
    assert 2 * LARGEST_GAIN * 0.4 < score < 2**62


def test_a_query_that_weighs_nothing_changes_nothing():
    table = np.ones((TOKENS, AXES), dtype=np.int8)
    zeros, scores = np.zeros(TOKENS, dtype=np.float32), np.array([5, 4, 4])
    found = ranked_again(table, zeros, table, np.arange(3), 3, 9.0, scores)
    assert found == ([5, 4, 4], [0, 1, 2])


@pytest.mark.parametrize("rows", [0, 1, 3])
def test_warming_up_leaves_nothing_to_compile(rows, vectors_directory, tmp_path):
    vectors = np.zeros((rows, AXES), dtype=np.int8)
    vectors.flags.writeable = False
    warm_up(vectors)
    compiled = [len(kernel.signatures) for kernel in (pool_query, rank_again)]
    documents = [Document("a", "wheat"), Document("b", "rye")]
    build(documents, tmp_path / "index", "english-bm25", vectors=str(vectors_directory))
    with open_index(tmp_path / "index") as searcher:
        assert searcher.search("wheat").hits
        assert searcher.rank("rye")[0] == ["b"]
    assert [len(kernel.signatures) for kernel in (pool_query, rank_again)] == compiled

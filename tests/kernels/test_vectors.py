"""Sums of token vectors and cosines beside scores, against numpy."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from encoders.base import Document
from indexer.builder import build
from kernels.cpu.vectors import QUERY_STEPS, add_cosines, pool_query, pool_tokens, warm_up
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


@settings(deadline=None)
@given(st.integers(0, 20), st.integers(0, 2**32 - 1), st.floats(0, 1e3))
def test_cosines_above_0_are_added_and_rounded_down(count, seed, factor):
    rng = np.random.default_rng(seed)
    vectors = rng.integers(-127, 128, (count, AXES)).astype(np.int8)
    query = rng.normal(size=AXES)
    rounded = np.rint(query / np.linalg.norm(query) * QUERY_STEPS).astype(np.int32)
    scores = rng.integers(0, 2**31, count + 2)
    found = scores.copy()
    add_cosines(vectors, rounded, factor, found)
    dots = vectors.astype(np.int64) @ rounded
    gains = np.floor(factor * np.maximum(dots, 0).astype(float)).astype(np.int64)
    assert found.tolist() == [*(scores[:count] + gains), *scores[count:]]


@pytest.mark.parametrize("factor", [1e300, np.inf])
def test_a_gain_is_bounded(factor):
    scores = np.array([2**60])
    add_cosines(np.full((1, 2), 100, np.int8), np.full(2, 1000, np.int32), factor, scores)
    assert scores.tolist() == [2**60 + 2**61]


@pytest.mark.parametrize("rows", [0, 1, 3])
def test_warming_up_leaves_nothing_to_compile(rows, vectors_directory, tmp_path):
    vectors = np.zeros((rows, AXES), dtype=np.int8)
    vectors.flags.writeable = False
    warm_up(vectors)
    compiled = [len(kernel.signatures) for kernel in (pool_query, add_cosines)]
    documents = [Document("a", "wheat"), Document("b", "rye")]
    build(documents, tmp_path / "index", "english-bm25", rerank=str(vectors_directory))
    with open_index(tmp_path / "index") as searcher:
        assert searcher.search("wheat").hits
        assert searcher.rank("rye")[0] == ["b"]
    assert [len(kernel.signatures) for kernel in (pool_query, add_cosines)] == compiled

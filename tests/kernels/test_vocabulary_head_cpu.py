"""The head's kernels equal their numpy twins."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kernels import reference
from kernels.cpu.vocabulary_head import (
    collect_positive,
    fold_maximum,
    fold_sum,
    quantise_tokens,
)


def collected(pooled, scales, bias, logarithms, excluded, first=0):
    capacity = pooled.size
    texts = np.empty(capacity, np.int64)
    dimensions = np.empty(capacity, np.uint32)
    weights = np.empty(capacity, np.float32)
    count = collect_positive(
        pooled, scales, bias, logarithms, excluded, first, 0, texts, dimensions, weights
    )
    return texts[:count], dimensions[:count], weights[:count]


@settings(max_examples=60, deadline=None)
@given(
    lengths=st.lists(st.integers(1, 11), min_size=1, max_size=6),
    columns=st.integers(1, 40),
    seed=st.integers(0, 1000),
    quantised=st.booleans(),
    logarithms=st.sampled_from([1, 2]),
    strategy=st.sampled_from(["max", "sum"]),
    cut=st.integers(1, 9),
)
def test_weights_equal_the_twin(lengths, columns, seed, quantised, logarithms, strategy, cut):
    random = np.random.default_rng(seed)
    count = sum(lengths)
    if quantised:
        products = random.integers(-9000, 9000, (count, columns)).astype(np.int32)
        token_scales = random.uniform(1e-3, 2e-2, count).astype(np.float32)
        column_scales = random.uniform(1e-3, 2e-2, columns).astype(np.float32)
    else:
        products = random.normal(0, 3, (count, columns)).astype(np.float32)
        token_scales = np.ones(count, np.float32)
        column_scales = np.ones(columns, np.float32)
    bias = random.normal(-1, 1, columns).astype(np.float32)
    text_of = np.repeat(np.arange(len(lengths)), lengths)
    excluded = random.random(columns) < 0.2
    start = -np.inf if strategy == "max" else 0.0
    pooled = np.full((len(lengths), columns), start, np.float32)
    for first in range(0, count, cut):  # A text may begin in one block and end in another.
        part = slice(first, first + cut)
        operands = (products[part], token_scales[part], text_of[part])
        if strategy == "max":
            fold_maximum(*operands, pooled)
        else:
            fold_sum(*operands, column_scales, bias, logarithms, pooled)
    if strategy == "max":
        found = collected(pooled, column_scales, bias, logarithms, excluded)
    else:
        ones, zeros = np.ones_like(bias), np.zeros_like(bias)
        found = collected(pooled, ones, zeros, 0, excluded)
    expected = reference.pooled_weights(
        products,
        token_scales,
        text_of,
        column_scales,
        bias,
        logarithms=logarithms,
        strategy=strategy,
    )
    expected[:, excluded] = 0
    texts, dimensions, weights = found
    dense = np.zeros_like(expected)
    dense[texts, dimensions] = weights
    np.testing.assert_allclose(dense, expected, rtol=1e-4, atol=1e-5)
    assert (weights > 0).all()
    keys = texts * columns + dimensions
    assert (np.diff(keys) > 0).all()


def test_maxima_are_exact_and_pass_over_nothing_but_nan():
    products = np.array([[-np.inf, 1, np.nan], [2, np.inf, 3], [5, 5, 5]], np.float32)
    pooled = np.full((2, 3), -np.inf, np.float32)
    fold_maximum(products, np.ones(3, np.float32), np.array([0, 0, 1]), pooled)
    assert pooled.tolist() == [[2, np.inf, 3], [5, 5, 5]]


def test_entries_are_appended_and_numbered_from_the_first_column():
    pooled = np.array([[1.0, -1.0, 2.0]], np.float32)
    ones, zeros = np.ones(3, np.float32), np.zeros(3, np.float32)
    texts, dimensions, weights = collected(pooled, ones, zeros, 1, np.zeros(3, bool), first=70_000)
    assert texts.tolist() == [0, 0]
    assert dimensions.tolist() == [70_000, 70_002]
    np.testing.assert_allclose(weights, np.log1p([1, 2]), rtol=1e-6)


@pytest.mark.parametrize("scale", [1e-30, 1.0, 1e30])
def test_quantised_tokens_equal_the_twin(scale):
    states = (np.random.default_rng(4).normal(size=(20, 33)) * scale).astype(np.float32)
    states[3] = 0
    quantised, scales = np.empty(states.shape, np.uint8), np.empty(20, np.float32)
    quantise_tokens(states, quantised, scales)
    expected, expected_scales = reference.quantise_tokens(states)
    np.testing.assert_array_equal(quantised, expected)
    np.testing.assert_array_equal(scales, expected_scales)
    back = (quantised.astype(np.float32) - 128) * scales[:, None]
    assert (np.abs(back - states) <= 0.501 * scales[:, None]).all()
    assert (quantised[3] == 128).all()

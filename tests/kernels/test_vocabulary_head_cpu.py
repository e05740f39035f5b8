"""The head's kernels equal their numpy twins."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import llvmlite.binding as llvm
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kernels import reference
from kernels.cpu.screening import quantise_tokens
from kernels.cpu.token_maxima import (
    EIGHT_BIT_PRODUCTS,
    ENTRIES,
    LARGEST_LEVEL,
    chosen_maxima,
    pack_tokens,
    pack_vocabulary,
    raise_to_8bit_products,
    raise_to_products,
)
from kernels.cpu.vocabulary_head import collect_positive, fold_sum, take_logarithms


def collected(pooled, bias, excluded, first=0):
    texts = np.empty(pooled.size, np.int64)
    dimensions = np.empty(pooled.size, np.uint32)
    logits = np.empty(pooled.size, np.float32)
    count = collect_positive(pooled, bias, excluded, first, texts, dimensions, logits)
    return texts[:count], dimensions[:count], logits[:count]


@settings(max_examples=60, deadline=None)
@given(
    lengths=st.lists(st.integers(1, 30), min_size=1, max_size=6),
    columns=st.integers(1, 80),
    depth=st.integers(1, 40),
    seed=st.integers(0, 1000),
    logarithms=st.sampled_from([1, 2]),
)
def test_weights_equal_the_twin(lengths, columns, depth, seed, logarithms):
    random = np.random.default_rng(seed)
    states = random.normal(0, 1, (sum(lengths), depth)).astype(np.float32)
    weight = random.normal(0, 1, (columns, depth)).astype(np.float32)
    bias = random.normal(-1, 1, columns).astype(np.float32)
    excluded = random.random(columns) < 0.2
    vocabulary = pack_vocabulary(weight)
    packed, tiles, _ = pack_tokens(states, np.array(lengths))
    largest = np.full((len(lengths), len(vocabulary) * ENTRIES), -np.inf, np.float32)
    raise_to_products(packed, tiles, vocabulary, largest)
    texts, dimensions, weights = collected(
        np.ascontiguousarray(largest[:, :columns]), bias, excluded
    )
    take_logarithms(weights, logarithms)
    expected = reference.pooled_weights(
        states.astype(np.float64) @ weight.T.astype(np.float64),
        np.repeat(np.arange(len(lengths)), lengths),
        bias,
        logarithms=logarithms,
        strategy="max",
    )
    expected[:, excluded] = 0
    dense = np.zeros_like(expected)
    dense[texts, dimensions] = weights
    np.testing.assert_allclose(dense, expected, rtol=1e-4, atol=2e-5)
    assert (weights > 0).all()
    assert (np.diff(texts * columns + dimensions) > 0).all()


@settings(max_examples=60, deadline=None)
@given(
    lengths=st.lists(st.integers(1, 30), min_size=1, max_size=6),
    columns=st.integers(1, 80),
    depth=st.integers(1, 40),
    seed=st.integers(0, 1000),
)
def test_8bit_maxima_equal_numpy(lengths, columns, depth, seed):
    if not EIGHT_BIT_PRODUCTS:
        pytest.skip("no 8-bit products on this processor")
    random = np.random.default_rng(seed)
    states, scales = reference.quantise_tokens(
        random.normal(0, 1, (sum(lengths), depth)).astype(np.float32)
    )
    weight = random.integers(-LARGEST_LEVEL, LARGEST_LEVEL + 1, (columns, depth)).astype(np.int8)
    vocabulary = pack_vocabulary(weight)
    packed, tiles, token_of = pack_tokens(states, np.array(lengths))
    largest = np.full((len(lengths), len(vocabulary) * ENTRIES), -np.inf, np.float32)
    corrections = np.zeros(largest.shape[1], np.int32)
    corrections[:columns] = -128 * weight.sum(axis=1, dtype=np.int32)
    raise_to_8bit_products(packed, tiles, vocabulary, largest, corrections, scales[token_of])
    products = (states.astype(np.int32) - 128) @ weight.T.astype(np.int32)
    expected = np.maximum.reduceat(
        products.astype(np.float32) * scales[:, None], np.cumsum(lengths) - lengths
    )
    np.testing.assert_array_equal(largest[:, :columns], expected)


@settings(max_examples=60, deadline=None)
@given(
    lengths=st.lists(st.integers(1, 30), min_size=1, max_size=6),
    columns=st.integers(1, 80),
    depth=st.integers(1, 40),
    eight_bits=st.booleans(),
    seed=st.integers(0, 1000),
)
def test_chosen_maxima_have_the_bits_of_all(lengths, columns, depth, eight_bits, seed):
    random = np.random.default_rng(seed)
    states = random.normal(0, 1, (sum(lengths), depth)).astype(np.float32)
    if eight_bits:
        rows = random.integers(-63, 64, (columns, depth)).astype(np.int8)
        scales = random.uniform(1e-3, 2e-2, columns).astype(np.float32)
    else:
        rows = random.normal(0, 1, (columns, depth)).astype(np.float32)
        scales = np.ones(columns, np.float32)
    vocabulary = pack_vocabulary(rows * scales[:, None])
    packed, tiles, _ = pack_tokens(states, np.array(lengths))
    largest = np.full((len(lengths), len(vocabulary) * ENTRIES), -np.inf, np.float32)
    raise_to_products(packed, tiles, vocabulary, largest)
    chosen = random.random((len(lengths), columns)) < random.random()
    texts, entries = np.nonzero(chosen)
    starts = np.concatenate(([0], np.cumsum(chosen.sum(axis=1))))
    maxima = np.empty(len(entries), np.float32)
    chosen_maxima(packed, tiles, rows, scales, entries, starts, maxima)
    np.testing.assert_array_equal(maxima, largest[texts, entries])


def test_a_text_has_the_same_maxima_in_any_company():
    random = np.random.default_rng(0)
    states = random.normal(size=(57, 20)).astype(np.float32)
    vocabulary = pack_vocabulary(random.normal(size=(50, 20)).astype(np.float32))

    def maxima(lengths):
        packed, tiles, _ = pack_tokens(states[: sum(lengths)], np.array(lengths))
        largest = np.full((len(lengths), len(vocabulary) * ENTRIES), -np.inf, np.float32)
        raise_to_products(packed, tiles, vocabulary, largest)
        return largest

    np.testing.assert_array_equal(maxima([13, 29, 15])[0], maxima([13])[0])
    # The maximum of a text's pieces is the text's.
    np.testing.assert_array_equal(maxima([5, 1, 36, 15]).max(axis=0), maxima([57])[0])


def test_products_that_are_nan_are_passed_over():
    states = np.array([[np.inf, 1], [1, 1], [0, 2]], np.float32)
    vocabulary = pack_vocabulary(np.array([[0, 1], [1, 0]], np.float32))
    packed, tiles, _ = pack_tokens(states, np.array([2, 1]))
    largest = np.full((2, ENTRIES * len(vocabulary)), -np.inf, np.float32)
    raise_to_products(packed, tiles, vocabulary, largest)
    assert largest[:, :2].tolist() == [[1, np.inf], [2, 0]]


@pytest.mark.parametrize("logarithms", [1, 2])
def test_sums_equal_the_twin(logarithms):
    random = np.random.default_rng(logarithms)
    lengths, columns = [3, 1, 7], 21
    products = random.normal(0, 3, (sum(lengths), columns)).astype(np.float32)
    bias = random.normal(-1, 1, columns).astype(np.float32)
    text_of = np.repeat(np.arange(3), lengths)
    sums = np.zeros((3, columns), np.float32)
    for first in range(0, len(products), 4):  # A text may begin in one block and end in another.
        part = slice(first, first + 4)
        fold_sum(products[part], text_of[part], bias, logarithms, sums)
    expected = reference.pooled_weights(
        products, text_of, bias, logarithms=logarithms, strategy="sum"
    )
    np.testing.assert_allclose(sums, expected, rtol=1e-4, atol=1e-5)


def test_entries_are_numbered_from_the_first_column():
    pooled = np.array([[1.0, -1.0, 2.0]], np.float32)
    zeros = np.zeros(3, np.float32)
    texts, dimensions, values = collected(pooled, zeros, np.zeros(3, bool), first=70_000)
    assert texts.tolist() == [0, 0]
    assert dimensions.tolist() == [70_000, 70_002]
    assert values.tolist() == [1, 2]


@pytest.mark.parametrize("scale", [1e-45, 1e-30, 1.0, 1e30])
def test_quantised_tokens_equal_the_twin(scale):
    states = (np.random.default_rng(4).normal(size=(20, 33)) * scale).astype(np.float32)
    states[3] = 0
    quantised, scales = np.empty(states.shape, np.uint8), np.empty(20, np.float32)
    norms = np.empty((20, 2), np.float32)
    quantise_tokens(states, quantised, scales, norms)
    expected, expected_scales = reference.quantise_tokens(states)
    np.testing.assert_array_equal(quantised, expected)
    np.testing.assert_array_equal(scales, expected_scales)
    back = (quantised.astype(np.float64) - 128) * scales[:, None]
    assert (np.abs(back - states) <= 0.501 * scales[:, None]).all()
    assert (quantised[3] == 128).all()
    np.testing.assert_allclose(norms[:, 0], np.linalg.norm(back, axis=1), rtol=1e-6, atol=1e-44)
    lost = np.linalg.norm(back - states, axis=1)
    rounding = 33 * 2.0**-23 * np.linalg.norm(states.astype(np.float64), axis=1)
    np.testing.assert_allclose(norms[:, 1], lost + rounding, rtol=1e-6, atol=1e-44)


PROCESSORS = {
    "skylake-avx512": "avx512f avx512bw avx512vl avx512dq avx512cd avx2 fma avx",
    "haswell": "avx2 fma avx",
    "nehalem": "",
}
"""Vectors of 512 bits without VNNI, of 256 and of 128; and what Numba may use of them."""

ELSEWHERE = (
    f"{__file__}::test_weights_equal_the_twin",
    f"{__file__}::test_8bit_maxima_equal_numpy",
    f"{__file__}::test_chosen_maxima_have_the_bits_of_all",
    f"{Path(__file__).parents[1] / 'encoders' / 'test_cpu_head.py'}::test_rows_have_the_same_bits",
)


@pytest.mark.parametrize("processor", PROCESSORS)
def test_maxima_on_other_processors(processor):
    features = PROCESSORS[processor].split()
    host = llvm.get_host_cpu_features()
    if not all(host.get(feature) for feature in ["sse4.2", *features]):
        pytest.skip(f"this processor cannot run code for {processor}")
    chosen = ",".join(f"+{name}" for name in ["sse4.2", "ssse3", *features])
    answer = subprocess.run(
        [
            *(sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider"),
            *ELSEWHERE,
        ],
        env={**os.environ, "NUMBA_CPU_NAME": processor, "NUMBA_CPU_FEATURES": chosen},
        capture_output=True,
        text=True,
    )
    assert answer.returncode == 0, answer.stdout[-2000:]
    # Without AVX2 there are no 8-bit products.
    wanted = "4 passed" if features else "2 passed, 2 skipped"
    assert wanted in answer.stdout

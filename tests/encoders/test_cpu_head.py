"""8-bit products before those of float32 change no bit of a row, and spare most of them."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from encoders.checkpoint import Pooling
from encoders.cpu_head import CpuVocabularyHead
from encoders.head_screen import HeadScreen
from kernels.cpu.token_maxima import EIGHT_BIT_PRODUCTS

pytestmark = pytest.mark.skipif(
    not EIGHT_BIT_PRODUCTS, reason="no 8-bit products on this processor"
)


def equal(ours, theirs):
    for one, other in zip(ours, theirs, strict=True):
        assert one.dtype == other.dtype
        np.testing.assert_array_equal(one, other)


@settings(max_examples=150, deadline=None)
@given(
    lengths=st.lists(st.integers(1, 40), min_size=1, max_size=5),
    size=st.integers(1, 150),
    depth=st.integers(1, 70),
    eight_bits=st.booleans(),
    activation=st.sampled_from(["relu", "log1p_relu"]),
    shift=st.sampled_from([0.0, -1.0, -3.0, 2.0]),
    magnitude=st.sampled_from([1e-40, 1e-20, 1e-3, 1.0, 1e15]),
    outliers=st.booleans(),
    seed=st.integers(0, 10_000),
)
def test_rows_have_the_same_bits(
    lengths, size, depth, eight_bits, activation, shift, magnitude, outliers, seed
):
    random = np.random.default_rng(seed)
    states = random.normal(size=(sum(lengths), depth)).astype(np.float32)
    weight = random.normal(size=(size, depth)).astype(np.float32)
    if outliers:
        states[random.integers(len(states)), random.integers(depth)] = 300
        weight[random.integers(size), random.integers(depth)] = -40
        weight[random.integers(size)] = 0
        states[random.integers(len(states))] = 0
    scale = None
    bias = random.normal(shift * depth**0.5, 0.5, size)
    if eight_bits:
        weight = np.clip(np.rint(weight * 20), -63, 63).astype(np.int8)
        scale = random.uniform(0.5, 2, size).astype(np.float32) / 20
    if random.random() < 0.5:  # logits that are next to nothing but rounding errors
        row_of = random.integers(len(states), size=size)
        exact = (states.astype(np.float64)[row_of] * weight).sum(axis=1)
        bias = -exact * (1 if scale is None else scale)
    states *= np.float32(magnitude)
    bias = (bias * magnitude).astype(np.float32)
    excluded = [size // 2] if size > 3 else []
    pooling = Pooling("max", activation)
    operands = (states, np.array(lengths), excluded)
    screened = CpuVocabularyHead(weight, bias, pooling, scale, screened=True)
    equal(
        screened.rows(*operands),
        CpuVocabularyHead(weight, bias, pooling, scale, screened=False).rows(*operands),
    )


def test_numbers_beyond_float32_are_not_screened_away():
    states = np.array([[3e38, -3e38], [1e20, 1e20]], np.float32)
    # The sum of the last row's products passes float32 on its way to a negative number.
    weight = np.array([[3e38, 1], [1e-3, 1e-3], [-1, -1], [1e19, -4e19]], np.float32)
    bias = np.array([0, 0, -1, 0], np.float32)
    operands = (states, np.array([1, 1]), [])
    screened, plain = (
        CpuVocabularyHead(weight, bias, Pooling(), screened=screened).rows(*operands)
        for screened in (True, False)
    )
    equal(screened, plain)
    counts, dimensions, weights = screened
    assert dimensions[counts[0] :].tolist() == [0, 1, 3]
    assert np.isinf(weights[0])


@pytest.mark.parametrize("eight_bits", [False, True])
def test_dense_rows_of_short_texts(eight_bits):
    """Their entries are computed together, which changes no bit either."""
    random = np.random.default_rng(5)
    lengths = random.integers(1, 4, 60)
    states = random.normal(size=(lengths.sum(), 24)).astype(np.float32)
    weight = random.integers(-63, 64, (5000, 24)).astype(np.int8)
    scale = random.uniform(0.01, 0.02, 5000).astype(np.float32)
    if not eight_bits:
        weight, scale = weight * scale[:, None], None
    bias = random.normal(size=5000).astype(np.float32)
    screened, plain = (
        CpuVocabularyHead(weight, bias, Pooling(), scale, screened=screened)
        for screened in (True, False)
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("encoders.cpu_head.chosen_maxima", None)  # what is not called
        equal(screened.rows(states, lengths, [3]), plain.rows(states, lengths, [3]))


def test_few_entries_of_a_sparse_row_are_computed():
    random = np.random.default_rng(3)
    states = random.normal(size=(120, 128)).astype(np.float32)
    weight = random.normal(size=(20_000, 128)).astype(np.float32)
    bias = np.full(20_000, -45, np.float32)  # a standard deviation of the products is 11
    lengths = np.array([50, 70])
    candidates, entries = HeadScreen(weight, bias).candidates(states, lengths, [7])
    active, _, _ = CpuVocabularyHead(weight, bias, Pooling()).rows(states, lengths, [7])
    assert 20 < active.sum() < 2000
    assert (candidates >= active).all()
    assert candidates.sum() < 3 * active.sum()
    assert 7 not in entries

"""The order found by bisection: a permutation, the same each time, with smaller gaps."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kernels.cpu.bisection import (
    bisect_rows,
    gather_rows,
    strongest_dimensions,
    total_log2_gap,
)

Rows = list[dict[int, int]]

DIMENSIONS = 12
rows_of_impacts = st.lists(
    st.dictionaries(st.integers(0, DIMENSIONS - 1), st.integers(1, 255), max_size=DIMENSIONS),
    min_size=1,
    max_size=40,
)


def csr(rows: Rows) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    indptr = np.cumsum([0, *map(len, rows)], dtype=np.int64)
    dimensions = np.array([d for row in rows for d in row], dtype=np.uint32)
    impacts = np.array([i for row in rows for i in row.values()], dtype=np.uint8)
    return indptr, dimensions, impacts


def strongest(rows: Rows, numbers: np.ndarray, limit: int) -> list[list[int]]:
    starts = np.zeros(len(rows) + 1, dtype=np.int64)
    strongest_dimensions(*csr(rows), numbers, limit, starts, np.zeros(0, dtype=np.uint32))
    chosen = np.full(starts[-1], 2**32 - 1, dtype=np.uint32)
    strongest_dimensions(*csr(rows), numbers, limit, starts, chosen)
    return [chosen[a:b].tolist() for a, b in itertools.pairwise(starts)]


def bisected(rows: Rows, leaf: int = 1, iterations: int = 12) -> np.ndarray:
    indptr, dimensions, _ = csr(rows)
    order = np.arange(len(rows), dtype=np.uint32)
    bisect_rows(indptr, dimensions, DIMENSIONS, order, leaf, iterations)
    return order


def reference_log2_gap(rows: Rows, order: np.ndarray) -> float:
    total = 0.0
    for dimension in range(DIMENSIONS):
        places = [-1, *(at for at, row in enumerate(order) if dimension in rows[row])]
        total += np.log2(np.diff(places)).sum()
    return total


@settings(deadline=None)
@given(rows=rows_of_impacts, limit=st.integers(1, 8), excluded=st.sets(st.integers(0, 11)))
def test_strongest_dimensions_are_those_of_the_largest_impacts(rows, limit, excluded):
    numbers = np.full(DIMENSIONS, -1, dtype=np.int32)
    kept = [d for d in range(DIMENSIONS) if d not in excluded]
    numbers[kept] = np.arange(len(kept))
    for row, found in zip(rows, strongest(rows, numbers, limit), strict=True):
        candidates = [(d, impact) for d, impact in row.items() if d not in excluded]
        order = sorted(range(len(candidates)), key=lambda at: (-candidates[at][1], at))[:limit]
        assert found == [numbers[candidates[at][0]] for at in sorted(order)]


@settings(deadline=None)
@given(rows=rows_of_impacts, leaf=st.integers(1, 5), iterations=st.integers(0, 12))
def test_any_rows_give_a_permutation_and_always_the_same(rows, leaf, iterations):
    order = bisected(rows, leaf, iterations)
    assert sorted(order.tolist()) == list(range(len(rows)))
    assert np.array_equal(order, bisected(rows, leaf, iterations))


@settings(deadline=None)
@given(rows=rows_of_impacts, seed=st.integers(0, 9))
def test_gaps_and_copied_rows_equal_the_reference(rows, seed):
    indptr, dimensions, impacts = csr(rows)
    order = np.random.default_rng(seed).permutation(len(rows)).astype(np.uint32)
    total = total_log2_gap(indptr, dimensions, DIMENSIONS, order)
    assert total == pytest.approx(reference_log2_gap(rows, order))
    copied = np.empty_like(indptr), np.empty_like(dimensions), np.empty_like(impacts)
    gather_rows(indptr, dimensions, impacts, order, *copied)
    for found, expected in zip(copied, csr([rows[row] for row in order]), strict=True):
        assert np.array_equal(found, expected)


@pytest.mark.parametrize("groups", [2, 3, 4])
def test_groups_that_arrive_mixed_are_put_together(groups):
    """Rows of a group share dimensions that no other group has."""
    rng = np.random.default_rng(groups)
    width = DIMENSIONS // groups
    rows = [
        {int(d): 1 for d in number % groups * width + rng.permutation(width)[: width - 1]}
        for number in range(96)
    ]
    rng.shuffle(rows)
    order = bisected(rows)
    owners = [min(rows[row]) // width for row in order]
    changes = sum(a != b for a, b in itertools.pairwise(owners))
    assert changes < 20  # of 95, about 63 for three groups in order of arrival
    assert reference_log2_gap(rows, order) < 0.5 * reference_log2_gap(rows, np.arange(96))


def test_rows_that_are_alike_stay_in_order():
    assert bisected([{1: 1, 5: 9}] * 50).tolist() == list(range(50))
    assert bisected([{}] * 50).tolist() == list(range(50))


def test_no_rows():
    assert bisected([]).tolist() == []

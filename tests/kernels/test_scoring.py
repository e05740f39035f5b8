"""The scoring kernel equals brute force over the stored impacts, bit for bit."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from indexer.format import postings as layout
from indexer.format.postings import ImpactRows, Postings, build_postings
from kernels import reference
from kernels.cpu.search import _scratch_arrays, search_postings


def random_rows(rng: np.random.Generator, rows: int, vocabulary: int, top: int) -> ImpactRows:
    """Rows whose dimensions range from ubiquitous to rare."""
    density = rng.random(vocabulary) ** 3
    present = rng.random((rows, vocabulary)) < density
    indptr = np.concatenate([[0], np.cumsum(present.sum(axis=1))]).astype(np.int64)
    dimensions = np.nonzero(present)[1].astype(np.uint32)
    impacts = rng.integers(1, top + 1, len(dimensions)).astype(np.uint8)
    return ImpactRows(indptr, dimensions, impacts, vocabulary)


def run_kernel(
    postings: Postings,
    query: dict[int, int],
    k: int,
    alive: np.ndarray | None = None,
    threshold: int = 0,
) -> list[tuple[int, int]]:
    scores, rows = search_postings(
        postings,
        np.array(list(query), dtype=np.int64),
        np.array(list(query.values()), dtype=np.int64),
        k,
        alive,
        threshold,
    )
    accumulator = _scratch_arrays(postings.window_bits)[0]
    assert not accumulator.any(), "scratch memory must be left clean"
    return list(zip(scores.tolist(), rows.tolist(), strict=True))


def expected(
    rows: ImpactRows,
    query: dict[int, int],
    k: int,
    alive: np.ndarray | None = None,
    threshold: int = 0,
) -> list[tuple[int, int]]:
    scores = reference.score_rows(rows.indptr, rows.dimensions, rows.impacts, query)
    return reference.top_k(scores, k, alive, threshold)


@settings(max_examples=150, deadline=None)
@given(
    seed=st.integers(0, 2**32),
    rows=st.integers(1, 700),
    window_bits=st.integers(6, 9),
    top=st.sampled_from([1, 2, 255]),
    k=st.sampled_from([1, 2, 10, 100, 5000]),
    terms=st.integers(1, 12),
    most=st.sampled_from([1, 3, 10_000]),
    threshold=st.sampled_from([0, 1, 50, 1000]),
    rare_factor=st.sampled_from([0, 1, 8, 10**9]),
    dense_fraction=st.sampled_from([0.0, 0.05, 0.5, 2.0]),
    masked=st.booleans(),
)
def test_equals_brute_force(
    seed, rows, window_bits, top, k, terms, most, threshold, rare_factor, dense_fraction, masked
):
    rng = np.random.default_rng(seed)
    data = random_rows(rng, rows, 40, top)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(layout, "RARE_FACTOR", rare_factor)
        patch.setattr(layout, "DENSE_FRACTION", dense_fraction)
        postings = build_postings([data], window_bits)
    query = {int(d): int(rng.integers(1, most + 1)) for d in rng.choice(40, terms, replace=False)}
    alive = (rng.random(rows) < 0.6).astype(np.uint8) if masked else None
    found = run_kernel(postings, query, k, alive, threshold)
    assert found == expected(data, query, k, alive, threshold)


def test_largest_weights_do_not_wrap():
    """Many terms of maximal impact and weight reach 2^53, the largest score of a query."""
    terms = 200
    data = ImpactRows(
        np.array([0, terms], dtype=np.int64),
        np.arange(terms, dtype=np.uint32),
        np.full(terms, 255, dtype=np.uint8),
        terms,
    )
    weight = 2**53 // 255 // terms
    query = dict.fromkeys(range(terms), weight)
    assert run_kernel(build_postings([data]), query, 3) == [(weight * terms * 255, 0)]


def test_ties_go_to_the_lower_row_in_every_window():
    """All rows score the same: the first k rows win, whatever window they are in."""
    rows = 1000
    data = ImpactRows(
        np.arange(rows + 1, dtype=np.int64),
        np.zeros(rows, dtype=np.uint32),
        np.full(rows, 7, dtype=np.uint8),
        1,
    )
    found = run_kernel(build_postings([data], 6), {0: 3}, 70)
    assert found == [(21, row) for row in range(70)]


def test_all_rows_excluded():
    data = random_rows(np.random.default_rng(0), 300, 20, 255)
    alive = np.zeros(300, dtype=np.uint8)
    assert run_kernel(build_postings([data], 6), {1: 1, 2: 2}, 10, alive) == []


def test_parts_lie_side_by_side():
    """Two parts in one set of postings score like the sum of both alone."""
    rng = np.random.default_rng(5)
    first, second = random_rows(rng, 500, 30, 255), random_rows(rng, 500, 20, 255)
    both = build_postings([first, second], 7)
    scores = reference.score_rows(
        first.indptr, first.dimensions, first.impacts, {3: 2, 4: 1}
    ) + reference.score_rows(second.indptr, second.dimensions, second.impacts, {0: 5, 19: 3})
    query = {3: 2, 4: 1, 30: 5, 49: 3}
    assert run_kernel(both, query, 50) == reference.top_k(scores, 50)

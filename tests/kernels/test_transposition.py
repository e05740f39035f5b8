"""Posting lists of all three forms decode to what was inverted, without the dropped rows."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from indexer.format import postings as layout
from indexer.format.postings import ImpactRows, Postings, build_postings
from kernels.cpu.layout import RARE
from kernels.cpu.transposition import count_row_entries, decode_lists, scatter_lists

ROWS = 200
DIMENSIONS = 30


def random_rows(seed: int) -> ImpactRows:
    """Dimensions from rare to almost everywhere."""
    rng = np.random.default_rng(seed)
    share = np.linspace(0.001, 0.9, DIMENSIONS) ** 2
    present = rng.random((ROWS, DIMENSIONS)) < share
    indptr = np.cumsum([0, *present.sum(axis=1)])
    impacts = rng.integers(1, 256, int(indptr[-1])).astype(np.uint8)
    return ImpactRows(indptr, np.nonzero(present)[1].astype(np.uint32), impacts, DIMENSIONS)


@pytest.fixture
def small_windows(monkeypatch):
    monkeypatch.setattr(layout, "RARE_FACTOR", 2)
    monkeypatch.setattr(layout, "DENSE_FRACTION", 0.4)


def decoded(postings: Postings, new_rows: np.ndarray, first: int, last: int):
    room = ROWS * (last - first)
    starts = np.empty(last - first + 1, dtype=np.int64)
    rows, impacts = np.empty(room, dtype=np.int32), np.empty(room, dtype=np.uint8)
    inside = decode_lists(
        postings.posting_start,
        postings.local_ids,
        postings.impacts,
        postings.rare_windows,
        postings.rare_start,
        postings.directory,
        postings.window_start,
        postings.columns,
        postings.window_bits,
        new_rows,
        first,
        starts,
        rows,
        impacts,
    )
    return inside, starts, rows[: starts[-1]], impacts[: starts[-1]]


@settings(deadline=None, max_examples=30)
@given(seed=st.integers(0, 99), first=st.integers(0, 29), size=st.integers(1, 30))
def test_equals_the_lists_and_the_rows(seed, first, size):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(layout, "RARE_FACTOR", 2)
        patch.setattr(layout, "DENSE_FRACTION", 0.4)
        source = random_rows(seed)
        postings = build_postings([source], window_bits=6)
    forms = postings.directory
    assert RARE in forms
    assert forms.max() >= 0
    assert forms.min() <= -2
    rng = np.random.default_rng(seed)
    new_rows = rng.permutation(ROWS).astype(np.int32)
    new_rows[rng.random(ROWS) < 0.2] = -1
    last = min(first + size, DIMENSIONS)
    inside, starts, rows, impacts = decoded(postings, new_rows, first, last)
    assert inside
    for number, dimension in enumerate(range(first, last)):
        old_rows, old_impacts = postings.postings(dimension)
        kept = new_rows[old_rows] >= 0
        found = slice(*starts[number : number + 2])
        assert np.array_equal(rows[found], new_rows[old_rows][kept])
        assert np.array_equal(impacts[found], old_impacts[kept])

    lengths = np.zeros(ROWS, dtype=np.int64)
    count_row_entries(rows, lengths)
    indptr = np.cumsum([0, *lengths])
    cursor = indptr[:-1].copy()
    dimensions = np.empty(indptr[-1], dtype=np.uint32)
    row_impacts = np.empty(indptr[-1], dtype=np.uint8)
    renamed = np.arange(first, last, dtype=np.uint32) + 1000
    scatter_lists(starts, rows, impacts, renamed, cursor, dimensions, row_impacts)
    assert np.array_equal(cursor, indptr[1:])
    for row, new_row in enumerate(new_rows):
        if new_row >= 0:
            theirs = slice(*source.indptr[row : row + 2])
            chosen = (source.dimensions[theirs] >= first) & (source.dimensions[theirs] < last)
            ours = slice(*indptr[new_row : new_row + 2])
            assert np.array_equal(dimensions[ours], source.dimensions[theirs][chosen] + 1000)
            assert np.array_equal(row_impacts[ours], source.impacts[theirs][chosen])


@pytest.mark.parametrize("form", ["rare", "windowed", "dense"])
def test_rows_outside_are_noticed(small_windows, form):
    postings = build_postings([random_rows(1)], window_bits=6)
    forms = postings.directory
    dimension = {
        "rare": int(np.flatnonzero(forms == RARE)[-1]),
        "windowed": int(np.argmax(forms)),
        "dense": int(np.argmin(forms)),
    }[form]
    assert len(postings.postings(dimension)[0])
    largest = int(postings.postings(dimension)[0].max())
    for count, inside in ((largest + 1, True), (largest, False)):
        new_rows = np.zeros(count, dtype=np.int32)
        assert decoded(postings, new_rows, dimension, dimension + 1)[0] == inside

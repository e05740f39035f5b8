"""Postings hold exactly the rows they were built from."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from indexer.errors import IndexCorruptError
from indexer.format.postings import (
    ImpactRows,
    build_postings,
    read_postings,
    write_postings,
)
from kernels import reference
from kernels.cpu import inversion
from kernels.cpu.quantisation import quantise


@settings(max_examples=60, deadline=None)
@given(
    rows=st.lists(
        st.dictionaries(st.integers(0, 30), st.integers(1, 255), max_size=12), max_size=300
    ),
    window_bits=st.integers(6, 16),
)
def test_round_trip(rows, window_bits):
    flat = [(r, d, i) for r, row in enumerate(rows) for d, i in row.items()]
    data = ImpactRows(
        np.cumsum([0, *map(len, rows)], dtype=np.int64),
        np.array([d for _, d, _ in flat], dtype=np.uint32),
        np.array([i for _, _, i in flat], dtype=np.uint8),
        31,
    )
    postings = build_postings([data], window_bits)
    found = {
        (int(row), dimension, int(impact))
        for dimension in range(31)
        for row, impact in zip(*postings.postings(dimension), strict=True)
    }
    assert found == set(flat)
    assert postings.posting_count == len(flat)
    for row, dimension, impact in flat[:20]:
        assert postings.impact(dimension, row) == impact
        assert postings.max_impact[dimension] >= impact


@settings(deadline=None)
@given(
    weights=st.lists(st.floats(2**-20, 50, width=32), max_size=50),
    scale=st.floats(1e-3, 1.0),
)
def test_quantise_equals_reference(weights, scale):
    array = np.array(weights, dtype=np.float32)
    impacts = np.empty(len(array), dtype=np.uint8)
    saturated = quantise(array, scale, impacts)
    assert np.array_equal(impacts, reference.quantise(array, scale))
    assert saturated == np.count_nonzero(np.rint(array.astype(np.float64) / scale) > 255)
    assert impacts.min(initial=1) >= 1


def test_damaged_offsets_are_refused(tmp_path):
    """A kernel trusts offsets: opening must find every one that leads outside."""
    rng = np.random.default_rng(1)
    present = rng.random((20_000, 12)) < np.linspace(0.001, 0.3, 12)
    data = ImpactRows(
        np.concatenate([[0], np.cumsum(present.sum(axis=1))]).astype(np.int64),
        np.nonzero(present)[1].astype(np.uint32),
        np.full(int(present.sum()), 9, dtype=np.uint8),
        12,
    )
    postings = build_postings([data], 9)
    write_postings(tmp_path, "s", postings)
    assert read_postings(tmp_path, "s", 20_000, 9).posting_count == int(present.sum())
    for name in ("posting_start", "rare_start", "directory", "window_start"):
        path = tmp_path / f"s.postings.{name}.npy"
        whole = path.read_bytes()
        array = np.load(path)
        damaged = array.copy()
        damaged.reshape(-1)[array.size // 2] += 100_000
        np.save(path, damaged)
        with pytest.raises(IndexCorruptError, match=name):
            read_postings(tmp_path, "s", 20_000, 9)
        path.write_bytes(whole)


def test_heads_hold_the_largest_impacts(monkeypatch):
    """Of equal impacts the first rows, and no more than a share of the postings."""
    monkeypatch.setattr(inversion, "HEAD_SHARE", 3)
    monkeypatch.setattr(inversion, "HEAD_MIN", 2)
    monkeypatch.setattr(inversion, "HEAD_MAX", 40)
    rng = np.random.default_rng(0)
    present = rng.random((500, 20)) < rng.random(20) ** 2
    rows, dimensions = np.nonzero(present)
    indptr = np.searchsorted(rows, np.arange(501))
    impacts = rng.integers(1, 12, len(rows)).astype(np.uint8)
    postings = build_postings([ImpactRows(indptr, dimensions.astype(np.uint32), impacts, 20)], 6)
    for dimension in range(20):
        holding, values = postings.postings(dimension)
        size = min(len(holding) // 3, 40)
        best = np.lexsort((holding, -values.astype(int)))[: size if size >= 2 else 0]
        head = slice(*postings.head_start[dimension : dimension + 2])
        assert postings.head_rows[head].tolist() == holding[best].tolist()
        assert postings.head_impacts[head].tolist() == values[best].tolist()
        for column, k in enumerate(inversion.KTH_RANKS):
            expected = np.sort(values)[-k] if len(values) >= k else 0
            assert postings.kth_impact[dimension, column] == expected

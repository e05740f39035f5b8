"""An inversion gives the same postings however it is divided."""

from __future__ import annotations

from dataclasses import fields

import numpy as np
import pytest

from indexer.format import postings
from indexer.format.postings import ImpactRows, build_postings, window_bits_for


def random_rows(seed: int, dimension_count: int, row_count: int = 700) -> ImpactRows:
    """Rows of few and of many dimensions; some dimensions are in most rows, some in none."""
    rng = np.random.default_rng(seed)
    share = rng.random(dimension_count) ** 8
    chosen = rng.random((row_count, dimension_count)) < share
    indptr = np.concatenate([[0], chosen.sum(axis=1).cumsum()]).astype(np.int64)
    dimensions = np.nonzero(chosen)[1].astype(np.uint32)
    impacts = rng.integers(1, 256, len(dimensions)).astype(np.uint8)
    return ImpactRows(indptr, dimensions, impacts, dimension_count)


@pytest.mark.parametrize("ranges", [2, 5, 1000])
@pytest.mark.parametrize("sizes", [(40,), (25, 1, 60), (0, 30, 0)])
def test_ranges_of_dimensions_do_not_show(monkeypatch, ranges, sizes):
    parts = [random_rows(seed, size) for seed, size in enumerate(sizes)]
    whole = build_postings(parts, 6)
    monkeypatch.setattr(postings, "SMALLEST_RANGE", 1)
    monkeypatch.setattr(postings, "RANGES", ranges)
    monkeypatch.setattr(postings, "usable_cpus", lambda: 4)
    divided = build_postings(parts, 6)
    for field in fields(whole):
        assert np.array_equal(getattr(whole, field.name), getattr(divided, field.name)), field.name
    if len(sizes) > 1:
        rows, impacts = divided.postings(sizes[0])  # the first dimension of the second part
        source = parts[1]
        here = np.flatnonzero(source.dimensions == 0)
        assert rows.tolist() == (np.searchsorted(source.indptr, here, "right") - 1).tolist()
        assert impacts.tolist() == source.impacts[here].tolist()


@pytest.mark.parametrize(
    ("rows", "bits"), [(0, 10), (1, 10), (1024, 10), (1025, 11), (16_384, 14), (16_385, 14)]
)
def test_windows_are_no_larger_than_their_segment_needs(rows, bits):
    """Columns are as long as their windows, so that a small segment would be mostly padding."""
    assert window_bits_for(rows) == bits
    postings = build_postings([random_rows(0, 3, rows)])
    assert postings.window_bits == bits
    assert postings.columns.shape[1] == -(-rows // (1 << bits)) << bits


def test_no_rows_and_no_dimensions():
    empty = ImpactRows(np.zeros(1, np.int64), np.zeros(0, np.uint32), np.zeros(0, np.uint8), 0)
    assert build_postings([empty]).row_count == 0
    assert build_postings([random_rows(0, 0, 5)]).row_count == 5

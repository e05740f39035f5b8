"""From rows to postings: counting sort by dimension, then the windowed layout.

The layout serves ``kernels.cpu.scoring``. Rows are grouped in windows of ``W`` (a power of two,
at most 65,536), so that a posting holds a 16-bit local id. A dimension is kept in one of three
forms, by its document frequency:

* *rare*: postings that also carry their window number; nothing is stored per window;
* *windowed*: a directory row with the start of each window's postings, and each window's largest
  impact;
* *dense*: a column of one byte per row in place of postings.
"""

from __future__ import annotations

import numpy as np
from numba import njit
from numpy.typing import NDArray

from kernels.cpu.layout import RARE

KTH_RANKS = (1, 10, 100, 1000)
"""Ranks of the impacts that are kept for every dimension."""

HEAD_SHARE = 192
"""A dimension keeps one of this many of its postings in its head, the largest impacts."""

HEAD_MIN = 10
"""Shorter heads are not kept."""

HEAD_MAX = 1000
"""Longer heads are not kept."""


@njit(nogil=True, cache=True)
def count_dimensions(dimensions, doc_freq):  # type: ignore[no-untyped-def]
    """Adds the number of occurrences of each dimension to ``doc_freq`` (uint32[V])."""
    for i in range(len(dimensions)):
        doc_freq[dimensions[i]] += np.uint32(1)


@njit(nogil=True, cache=True)
def invert(  # type: ignore[no-untyped-def]
    indptr, dimensions, impacts, first_dimension, starts, rows, row_impacts
):
    """Stable counting sort of the CSR entries of some dimensions.

    Args:
        indptr: int64[n + 1] row offsets.
        dimensions: uint32[nnz].
        impacts: uint8[nnz].
        first_dimension: The first of ``d`` consecutive dimensions; entries of others are skipped.
        starts: int64[d + 1] offsets of each one's postings in ``rows``.
        rows: uint32, filled with row numbers, ascending within a dimension.
        row_impacts: uint8, as long, filled with the matching impacts.
    """
    cursor = starts[:-1].copy()
    for row in range(len(indptr) - 1):
        for i in range(indptr[row], indptr[row + 1]):
            number = np.int64(dimensions[i]) - first_dimension
            if 0 <= number < len(cursor):
                at = cursor[number]
                rows[at] = row
                row_impacts[at] = impacts[i]
                cursor[number] = at + 1


@njit(nogil=True, cache=True)
def classify(doc_freq, window_count, row_count, rare_factor, dense_fraction, directory):  # type: ignore[no-untyped-def]
    """Chooses the form of each dimension and numbers windowed rows and dense columns.

    Args:
        doc_freq: uint32[V].
        window_count: Number of windows.
        row_count: Number of rows.
        rare_factor: A dimension is rare below ``rare_factor * window_count`` postings.
        dense_fraction: A dimension is dense above this share of the rows.
        directory: int32[V], filled: ``RARE``, a windowed row ``>= 0``, or ``-2 - column``.

    Returns:
        Number of windowed rows, of dense columns, of postings kept outside columns.
    """
    windowed = 0
    dense = 0
    postings = 0
    for dimension in range(len(doc_freq)):
        frequency = doc_freq[dimension]
        if frequency > dense_fraction * row_count and frequency >= rare_factor * window_count:
            directory[dimension] = -2 - dense
            dense += 1
        else:
            postings += frequency
            if frequency < rare_factor * window_count:
                directory[dimension] = RARE
            else:
                directory[dimension] = windowed
                windowed += 1
    return windowed, dense, postings


def head_offsets(doc_freq: NDArray[np.uint32]) -> NDArray[np.int64]:
    """int64[V + 1] offsets of the dimensions' heads."""
    sizes = np.minimum(doc_freq // HEAD_SHARE, HEAD_MAX)
    return posting_offsets(np.where(sizes >= HEAD_MIN, sizes, 0))


@njit(nogil=True, cache=True)
def best_impacts(  # type: ignore[no-untyped-def]
    source_start, rows, row_impacts, ranks, kth_impact, head_start, head_rows, head_impacts
):
    """For each dimension its k-th largest impact, for a few k, and the rows of the largest ones.

    That many rows score at least the query weight times this impact: a threshold to start from.
    Heads give one under filters and deletions too.

    Args:
        source_start: int64[V + 1] offsets into ``row_impacts``.
        rows: uint32[nnz].
        row_impacts: uint8[nnz].
        ranks: int64[r] the values of k, ascending.
        kth_impact: uint8[V, r], zeros on entry, filled; stays 0 for dimensions of fewer rows.
        head_start: int64[V + 1] offsets into the heads.
        head_rows: uint32[H], filled; of equal impacts the first rows.
        head_impacts: uint8[H], filled, descending within a dimension.
    """
    histogram = np.zeros(256, np.int64)
    cursor = np.zeros(256, np.int64)
    for dimension in range(len(source_start) - 1):
        impacts = row_impacts[source_start[dimension] : source_start[dimension + 1]]
        if len(impacts) < ranks[0]:
            continue
        histogram[:] = 0
        for i in range(len(impacts)):
            histogram[impacts[i]] += 1
        above = 0
        rank = 0
        at = head_start[dimension]
        end = head_start[dimension + 1]
        for impact in range(255, 0, -1):
            cursor[impact] = at + above
            above += histogram[impact]
            while rank < len(ranks) and above >= ranks[rank]:
                kth_impact[dimension, rank] = impact
                rank += 1
        if end == at:
            continue
        numbers = rows[source_start[dimension] : source_start[dimension + 1]]
        for i in range(len(impacts)):
            place = cursor[impacts[i]]
            if place < end:
                head_rows[place] = numbers[i]
                head_impacts[place] = impacts[i]
                cursor[impacts[i]] = place + 1


@njit(nogil=True, cache=True)
def lay_out(  # type: ignore[no-untyped-def]
    source_start,
    rows,
    row_impacts,
    directory,
    window_bits,
    posting_start,
    local_ids,
    impacts,
    rare_windows,
    rare_start,
    window_start,
    window_max,
    columns,
    column_max,
    max_impact,
):
    """Writes postings in their final form; see the module docstring.

    The ``V`` dimensions may be some consecutive ones of a segment, and the arrays that count them
    its slices: calls for different ones may run at the same time.

    Args:
        source_start: int64[V + 1] offsets into ``rows`` (output of :func:`invert`).
        rows: uint32[nnz] row numbers, ascending within a dimension.
        row_impacts: uint8[nnz].
        directory: int32[V] from :func:`classify`.
        window_bits: log2 of the window size.
        posting_start: int64[V + 1] offsets of postings; dense dimensions have empty ranges.
        local_ids: uint16[P], filled with ``row % W``.
        impacts: uint8[P], filled.
        rare_windows: uint16[R], filled with ``row // W`` of rare postings.
        rare_start: int64[V + 1] offsets of rare dimensions in ``rare_windows``.
        window_start: uint32[windowed, windows + 1], filled, relative to ``posting_start``.
        window_max: uint8[windowed, windows], filled.
        columns: uint8[dense, windows * W], zeros on entry, filled.
        column_max: uint8[dense, windows], zeros on entry, filled.
        max_impact: uint8[V], zeros on entry, filled.
    """
    mask = np.uint32((1 << window_bits) - 1)
    windows = window_start.shape[1] - 1
    for dimension in range(len(directory)):
        at = posting_start[dimension]
        rare_at = rare_start[dimension]
        first = source_start[dimension]
        last = source_start[dimension + 1]
        form = directory[dimension]
        largest = np.uint8(0)
        if form <= -2:
            column = -2 - form
            for i in range(first, last):
                row = rows[i]
                impact = row_impacts[i]
                columns[column, row] = impact
                window = row >> window_bits
                column_max[column, window] = max(column_max[column, window], impact)
                largest = max(largest, impact)
        elif form == RARE:
            for i in range(first, last):
                row = rows[i]
                local_ids[at] = row & mask
                impacts[at] = row_impacts[i]
                rare_windows[rare_at] = row >> window_bits
                largest = max(largest, row_impacts[i])
                at += 1
                rare_at += 1
        else:
            window = 0
            window_start[form, 0] = 0
            for i in range(first, last):
                row = rows[i]
                while window < row >> window_bits:
                    window += 1
                    window_start[form, window] = i - first
                local_ids[at] = row & mask
                impacts[at] = row_impacts[i]
                window_max[form, window] = max(window_max[form, window], row_impacts[i])
                largest = max(largest, row_impacts[i])
                at += 1
            while window < windows:
                window += 1
                window_start[form, window] = last - first
        max_impact[dimension] = largest


def posting_offsets(doc_freq: NDArray[np.uint32]) -> NDArray[np.int64]:
    """int64[V + 1] offsets from document frequencies uint32[V]."""
    offsets = np.zeros(len(doc_freq) + 1, dtype=np.int64)
    np.cumsum(doc_freq, out=offsets[1:])
    return offsets

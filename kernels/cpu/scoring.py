"""Exact top-k over the windowed posting layout, in integers.

A score is the sum of integer query weight times 8-bit impact, so that every order of evaluation
gives the same bits. Per window of rows the query's dimensions are split as in MaxScore (Turtle and
Flood, 1995), with window maxima in place of list maxima: the dimensions whose bounds together
cannot exceed the threshold are *non-essential*; only the others are accumulated, and a row that
might still enter the top k is completed by looking the rest up. Candidates are found by visiting
the accumulated postings a second time, or, where these are many, by scanning the window: the cost
of a query of rare terms grows with their postings, not with the number of rows.

Reference: ``kernels.reference.score_rows`` and ``kernels.reference.top_k``.
"""

from __future__ import annotations

import numpy as np
from numba import njit

from kernels.cpu.heap import push

CACHE_KEY = 1
"""Raise when ``kernels.cpu.heap`` changes: numba's cache looks at this file only."""


@njit(nogil=True, inline="always")
def _find(local_ids, first, last, local):  # type: ignore[no-untyped-def]
    """Position of ``local`` in the ascending slice ``local_ids[first:last]``, or -1."""
    end = last
    while first < last:
        middle = (first + last) >> 1
        if local_ids[middle] < local:
            first = middle + 1
        else:
            last = middle
    if first < end and local_ids[first] == local:
        return first
    return -1


@njit(nogil=True, cache=True)
def search_segment(  # type: ignore[no-untyped-def]
    posting_start,
    local_ids,
    impacts,
    rare_windows,
    rare_start,
    directory,
    window_start,
    window_max,
    columns,
    column_max,
    max_impact,
    window_bits,
    row_count,
    dimensions,
    weights,
    alive,
    k,
    threshold,
    accumulator,
    scores,
    rows,
):
    """Collects the best ``k`` rows of one segment whose score exceeds ``threshold``.

    Args:
        posting_start: int64[V + 1] offsets into ``local_ids`` and ``impacts``.
        local_ids: uint16[P] row numbers within their window.
        impacts: uint8[P].
        rare_windows: uint16[R] window numbers of rare postings.
        rare_start: int64[V + 1] offsets into ``rare_windows``.
        directory: int32[V]: -1 rare, >= 0 row of ``window_start``, <= -2 dense column.
        window_start: uint32[F, windows + 1] offsets relative to ``posting_start``.
        window_max: uint8[F, windows].
        columns: uint8[C, windows << window_bits].
        column_max: uint8[C, windows].
        max_impact: uint8[V].
        window_bits: log2 of the window size.
        row_count: Number of rows.
        dimensions: int64[q] distinct query dimensions.
        weights: int64[q] query weights >= 1; their sum times 255 fits the accumulator.
        alive: uint8[row_count], 0 excludes a row; an empty array excludes none.
        k: Most rows to return, at least 1.
        threshold: Only scores above it count; >= 0.
        accumulator: int32 or int64[1 << window_bits], zeros on entry and on exit.
        scores: int64[k], filled with a heap (worst first), not sorted.
        rows: int64[k], filled likewise.

    Returns:
        Number of rows found.
    """
    terms = len(dimensions)
    window_size = 1 << window_bits
    windows = (row_count + window_size - 1) >> window_bits
    filtered = len(alive) > 0

    # Ascending global bound: the order in which dimensions become non-essential.
    order = np.argsort(weights * max_impact[dimensions].astype(np.int64))
    dims = dimensions[order]
    weight = weights[order]
    form = directory[dims]
    first = np.empty(terms, np.int64)  # the current window's postings of each term
    last = np.empty(terms, np.int64)
    for t in range(terms):
        last[t] = posting_start[dims[t]]
    bound = np.empty(terms, np.int64)
    bound_below = np.zeros(terms + 1, np.int64)  # sum of bounds of the terms before t
    size = 0
    floor = threshold  # a score must exceed it to matter

    for window in range(windows):
        base = window << window_bits
        present = np.int64(0)
        for t in range(terms):
            dimension = dims[t]
            if form[t] >= 0:
                bound[t] = weight[t] * np.int64(window_max[form[t], window])
            elif form[t] == -1:
                begin = last[t]
                end = begin
                stop = posting_start[dimension + 1]
                shift = rare_start[dimension] - posting_start[dimension]
                while end < stop and rare_windows[end + shift] == window:
                    end += 1
                first[t] = begin
                last[t] = end
                bound[t] = weight[t] * np.int64(max_impact[dimension]) if end > begin else 0
            else:
                bound[t] = weight[t] * np.int64(column_max[-2 - form[t], window])
            present += bound[t]
            bound_below[t + 1] = present
        if present <= floor:
            continue

        essential = 0
        while bound_below[essential + 1] <= floor:
            essential += 1

        visited = np.int64(0)
        scan = False
        for t in range(terms):
            if form[t] >= 0:
                start = posting_start[dims[t]]
                first[t] = start + window_start[form[t], window]
                last[t] = start + window_start[form[t], window + 1]
            if t >= essential:
                if form[t] <= -2:
                    if bound[t] > 0:
                        scan = True
                else:
                    visited += last[t] - first[t]
        scan = scan or visited * 6 > window_size

        mask = window_size - 1
        for t in range(essential, terms):
            if bound[t] == 0:
                continue
            if form[t] <= -2:
                column = columns[-2 - form[t], base : base + window_size]
                w32 = accumulator.dtype.type(weight[t])
                for i in range(window_size):
                    accumulator[i] += w32 * accumulator.dtype.type(column[i])
            else:
                w32 = accumulator.dtype.type(weight[t])
                for i in range(first[t], last[t]):
                    accumulator[local_ids[i] & mask] += w32 * accumulator.dtype.type(impacts[i])

        optional = bound_below[essential]  # the most that non-essential terms can add
        if scan:
            chunk = 0
            while chunk < window_size:
                limit = accumulator.dtype.type(floor - optional)
                above = 0
                for i in range(64):
                    above += accumulator[chunk + i] > limit
                if above > 0:
                    for local in range(chunk, chunk + 64):
                        score = np.int64(accumulator[local])
                        if score > floor - optional:
                            row = base + local
                            if row < row_count and not (filtered and alive[row] == 0):
                                for t in range(essential - 1, -1, -1):
                                    if score + bound_below[t + 1] <= floor:
                                        break
                                    if form[t] <= -2:
                                        score += weight[t] * np.int64(columns[-2 - form[t], row])
                                    elif bound[t] > 0:
                                        at = _find(local_ids, first[t], last[t], local)
                                        if at >= 0:
                                            score += weight[t] * np.int64(impacts[at])
                                if score > floor:
                                    size = push(scores, rows, size, k, score, row)
                                    if size == k:
                                        floor = scores[0]
                chunk += 64
            for i in range(window_size):
                accumulator[i] = 0
        else:
            for essential_term in range(essential, terms):
                if bound[essential_term] == 0:
                    continue
                for i in range(first[essential_term], last[essential_term]):
                    local = np.int64(local_ids[i]) & mask
                    score = np.int64(accumulator[local])
                    if score == 0:
                        continue
                    accumulator[local] = 0
                    if score <= floor - optional:
                        continue
                    row = base + local
                    if row >= row_count or (filtered and alive[row] == 0):
                        continue
                    for t in range(essential - 1, -1, -1):
                        if score + bound_below[t + 1] <= floor:
                            break
                        if form[t] <= -2:
                            score += weight[t] * np.int64(columns[-2 - form[t], row])
                        elif bound[t] > 0:
                            at = _find(local_ids, first[t], last[t], local)
                            if at >= 0:
                                score += weight[t] * np.int64(impacts[at])
                    if score > floor:
                        size = push(scores, rows, size, k, score, row)
                        if size == k:
                            # Rows of a window come in no order here: one that follows may tie
                            # with the worst kept row of this window and precede it.
                            floor = scores[0] - 1 if rows[0] >= base else scores[0]
                            floor = max(floor, threshold)
            if size == k:
                floor = max(scores[0], threshold)
    return size

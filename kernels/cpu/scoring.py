"""Exact top-k over the windowed posting layout, in integers.

A score is the sum of integer query weight times 8-bit impact, so that every order of evaluation
gives the same bits. Per window of rows the query's terms are split as in MaxScore (Turtle and
Flood, 1995), with window maxima in place of list maxima: terms whose bounds together cannot exceed
the threshold are *non-essential*, and a row that only they hold cannot enter the top k. Essential
terms are accumulated. Of the others those with the highest bounds are accumulated too where that
is cheaper than to look them up for every candidate; the rest is looked up, highest bound first,
until a candidate can no longer reach the threshold. Candidates are found by visiting the essential
postings a second time or, where these are many, by scanning the window: the cost of a query of
rare terms grows with their postings, not with the number of rows.

Reference: ``kernels.reference.score_rows`` and ``kernels.reference.top_k``.
"""

from __future__ import annotations

import numpy as np
from numba import njit

from kernels.cpu.heap import push

CACHE_KEY = 2
"""Raise when ``kernels.cpu.heap`` changes: numba's cache looks at this file only."""


LOOK_UP_COST = 40
"""A binary search takes about as long as accumulating this many postings."""


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


@njit(nogil=True)
def _accumulate(accumulator, local_ids, impacts, first, last, weight):  # type: ignore[no-untyped-def]
    """Adds a term's postings of one window to the window's accumulators."""
    mask = len(accumulator) - 1
    factor = accumulator.dtype.type(weight)
    for i in range(first, last):
        accumulator[local_ids[i] & mask] += factor * accumulator.dtype.type(impacts[i])


@njit(nogil=True)
def _accumulate_column(accumulator, column, weight):  # type: ignore[no-untyped-def]
    """Adds a dense term's column of one window to the window's accumulators."""
    factor = accumulator.dtype.type(weight)
    for i in range(len(accumulator)):
        accumulator[i] += factor * accumulator.dtype.type(column[i])


@njit(nogil=True)
def _count_above(accumulator, local_ids, first, last, limit):  # type: ignore[no-untyped-def]
    """How many of a term's postings have accumulated more than ``limit``."""
    mask = len(accumulator) - 1
    count = 0
    for i in range(first, last):
        count += np.int64(accumulator[local_ids[i] & mask]) > limit
    return count


@njit(nogil=True)
def _complete(  # type: ignore[no-untyped-def]
    score,
    row,
    local,
    terms,
    floor,
    bound_below,
    bound,
    form,
    weight,
    first,
    last,
    local_ids,
    impacts,
    columns,
):
    """Adds the ``terms`` lowest terms to a row's score; gives up, with 0, at or below ``floor``."""
    for t in range(terms - 1, -1, -1):
        if score + bound_below[t + 1] <= floor:
            return 0
        if form[t] <= -2:
            score += weight[t] * np.int64(columns[-2 - form[t], row])
        elif bound[t] > 0:
            at = _find(local_ids, first[t], last[t], local)
            if at >= 0:
                score += weight[t] * np.int64(impacts[at])
    return score if score > floor else 0


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
            if t >= essential and bound[t] > 0:
                if form[t] <= -2:
                    scan = True
                    column = columns[-2 - form[t], base : base + window_size]
                    _accumulate_column(accumulator, column, weight[t])
                else:
                    visited += last[t] - first[t]
                    _accumulate(accumulator, local_ids, impacts, first[t], last[t], weight[t])
        scan = scan or visited > window_size >> 3

        # Terms below `looked_up` are looked up; those from there to `essential` are accumulated.
        looked_up = essential
        clean = True  # visiting the essential postings will zero all that was accumulated
        if not scan:
            while looked_up > 0:
                t = looked_up - 1
                if bound[t] > 0:
                    if form[t] <= -2:
                        break
                    candidates = 0
                    for e in range(essential, terms):
                        if bound[e] > 0:
                            candidates += _count_above(
                                accumulator,
                                local_ids,
                                first[e],
                                last[e],
                                floor - bound_below[looked_up],
                            )
                    if candidates * LOOK_UP_COST < last[t] - first[t] + window_size // 8:
                        break
                    _accumulate(accumulator, local_ids, impacts, first[t], last[t], weight[t])
                    clean = False
                looked_up = t
        else:
            clean = False
            while looked_up > 0 and form[looked_up - 1] > -2:
                t = looked_up - 1
                _accumulate(accumulator, local_ids, impacts, first[t], last[t], weight[t])
                looked_up = t

        optional = bound_below[looked_up]  # the most that looked-up terms can add
        if scan:
            for chunk in range(0, window_size, 64):
                limit = accumulator.dtype.type(floor - optional)
                above = 0
                for i in range(64):
                    above += accumulator[chunk + i] > limit
                if above == 0:
                    continue
                for local in range(chunk, chunk + 64):
                    score = np.int64(accumulator[local])
                    row = base + local
                    if score <= floor - optional or row >= row_count:
                        continue
                    if filtered and alive[row] == 0:
                        continue
                    score = _complete(
                        score,
                        row,
                        local,
                        looked_up,
                        floor,
                        bound_below,
                        bound,
                        form,
                        weight,
                        first,
                        last,
                        local_ids,
                        impacts,
                        columns,
                    )
                    if score > 0:
                        size = push(scores, rows, size, k, score, row)
                        if size == k:
                            floor = max(floor, scores[0])
        else:
            for e in range(essential, terms):
                if bound[e] == 0:
                    continue
                for i in range(first[e], last[e]):
                    local = np.int64(local_ids[i]) & (window_size - 1)
                    score = np.int64(accumulator[local])
                    if score == 0:
                        continue
                    accumulator[local] = 0
                    row = base + local
                    if score <= floor - optional or row >= row_count:
                        continue
                    if filtered and alive[row] == 0:
                        continue
                    score = _complete(
                        score,
                        row,
                        local,
                        looked_up,
                        floor,
                        bound_below,
                        bound,
                        form,
                        weight,
                        first,
                        last,
                        local_ids,
                        impacts,
                        columns,
                    )
                    if score > 0:
                        size = push(scores, rows, size, k, score, row)
                        if size == k:
                            # Rows of a window come in no order here: one that follows may tie
                            # with the worst kept row of this window and precede it.
                            tied = 1 if rows[0] >= base else 0
                            floor = max(threshold, scores[0] - tied)
            if size == k:
                floor = max(scores[0], threshold)
        if not clean:
            for i in range(window_size):
                accumulator[i] = 0
    return size

"""Exact top-k over the windowed posting layout, in integers.

A score is the sum of integer query weight times 8-bit impact, so that every order of evaluation
gives the same bits. Per window of rows the query's terms are split as in MaxScore (Turtle and
Flood, 1995), with window maxima in place of list maxima: terms whose bounds together cannot exceed
the threshold are *optional*, the others *essential*. A row that only optional terms hold cannot
enter the top k. So the essential terms are accumulated, the rows that could still pass become
candidates, and the optional terms are added to candidates only, highest bound first, dropping
those that fall behind on the way. Candidates are found by visiting the essential postings a second
time or, where these are many, by scanning the window: the cost of a query of rare terms grows
with their postings, not with the number of rows.

Reference: ``kernels.reference.score_rows`` and ``kernels.reference.top_k``.
"""

from __future__ import annotations

import numpy as np
from numba import njit

from kernels.cpu.heap import push, sort_best_first

CACHE_KEY = 7
"""Raise when ``kernels.cpu.heap`` changes: numba's cache looks at this file only."""

LOOK_UP_COST = 24
"""A binary search takes about as long as accumulating this many postings."""

ACCUMULATED_RATIO = 2
"""Optional terms of up to this many times the essential postings are accumulated with them."""

CHUNK = 64
"""Rows that a scan tests together; windows are multiples of it."""


@njit(nogil=True)
def _accumulate(accumulator, local_ids, impacts, first, last, weight):  # type: ignore[no-untyped-def]
    """Adds a term's postings of one window to the accumulators."""
    mask = len(accumulator) - 1
    for i in range(first, last):
        accumulator[local_ids[i] & mask] += weight * np.int64(impacts[i])


@njit(nogil=True)
def _accumulate_column(accumulator, column, weight):  # type: ignore[no-untyped-def]
    """Adds a dense term's column of one window to the accumulators."""
    for i in range(len(accumulator)):
        accumulator[i] += weight * np.int64(column[i])


@njit(nogil=True)
def _clear(accumulator, local_ids, first, last):  # type: ignore[no-untyped-def]
    """Zeroes the accumulators of a term's postings."""
    mask = len(accumulator) - 1
    for i in range(first, last):
        accumulator[local_ids[i] & mask] = 0


@njit(nogil=True)
def _scan(accumulator, limit, locals_, partial):  # type: ignore[no-untyped-def]
    """Gathers the rows that accumulated more than ``limit``; zeroes the accumulators."""
    count = 0
    for chunk in range(0, len(accumulator), CHUNK):
        above = 0
        for i in range(CHUNK):
            above += accumulator[chunk + i] > limit
        if above > 0:
            for i in range(chunk, chunk + CHUNK):
                if accumulator[i] > limit:
                    locals_[count] = i
                    partial[count] = accumulator[i]
                    count += 1
    for i in range(len(accumulator)):
        accumulator[i] = 0
    return count


@njit(nogil=True)
def _revisit(accumulator, local_ids, first, last, limit, locals_, partial, count):  # type: ignore[no-untyped-def]
    """Gathers rows above ``limit`` among a term's postings; zeroes what it visits."""
    mask = len(accumulator) - 1
    for i in range(first, last):
        local = np.int64(local_ids[i]) & mask
        score = accumulator[local]
        accumulator[local] = 0
        if score > limit:
            locals_[count] = local
            partial[count] = score
            count += 1
    return count


@njit(nogil=True)
def _take_single(local_ids, impacts, first, last, weight, mask, limit, locals_, partial):  # type: ignore[no-untyped-def]
    """Gathers rows above ``limit`` when one term alone is essential: no accumulators needed."""
    count = 0
    for i in range(first, last):
        score = weight * np.int64(impacts[i])
        if score > limit:
            locals_[count] = np.int64(local_ids[i]) & mask
            partial[count] = score
            count += 1
    return count


@njit(nogil=True)
def _add_column(column, weight, locals_, partial, count):  # type: ignore[no-untyped-def]
    """Adds a dense term to the candidates."""
    for c in range(count):
        partial[c] += weight * np.int64(column[locals_[c]])


@njit(nogil=True)
def _add_postings(accumulator, local_ids, impacts, first, last, weight, locals_, partial, count):  # type: ignore[no-untyped-def]
    """Adds a term to the candidates: by way of the accumulators if many, else by searching."""
    if count * LOOK_UP_COST > last - first:
        _accumulate(accumulator, local_ids, impacts, first, last, weight)
        for c in range(count):
            partial[c] += accumulator[locals_[c]]
        _clear(accumulator, local_ids, first, last)
        return
    for c in range(count):
        local = locals_[c]
        low = first
        high = last
        while low < high:
            middle = (low + high) >> 1
            if local_ids[middle] < local:
                low = middle + 1
            else:
                high = middle
        if low < last and local_ids[low] == local:
            partial[c] += weight * np.int64(impacts[low])


@njit(nogil=True)
def _keep_above(limit, locals_, partial, count):  # type: ignore[no-untyped-def]
    """Drops candidates at or below ``limit``, in place."""
    kept = 0
    for c in range(count):
        if partial[c] > limit:
            locals_[kept] = locals_[c]
            partial[kept] = partial[c]
            kept += 1
    return kept


@njit(nogil=True)
def _keep_alive(alive, base, row_count, locals_, partial, count):  # type: ignore[no-untyped-def]
    """Drops candidates that are excluded or no rows at all, in place."""
    kept = 0
    for c in range(count):
        row = base + locals_[c]
        if row < row_count and (len(alive) == 0 or alive[row] != 0):
            locals_[kept] = locals_[c]
            partial[kept] = partial[c]
            kept += 1
    return kept


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
    kth_impact,
    window_bits,
    row_count,
    dimensions,
    weights,
    alive,
    k,
    rank,
    threshold,
    accumulator,
    locals_,
    partial,
    scores,
    rows,
):
    """Collects the best ``k`` rows of one segment whose score exceeds ``threshold``.

    Args:
        posting_start: int64[V + 1] offsets into ``local_ids`` and ``impacts``.
        local_ids: uint16[P] row numbers within their window, ascending.
        impacts: uint8[P].
        rare_windows: uint16[R] window numbers of rare postings.
        rare_start: int64[V + 1] offsets into ``rare_windows``.
        directory: int32[V]: -1 rare, >= 0 row of ``window_start``, <= -2 dense column.
        window_start: uint32[F, windows + 1] offsets relative to ``posting_start``.
        window_max: uint8[F, windows].
        columns: uint8[C, windows << window_bits].
        column_max: uint8[C, windows].
        max_impact: uint8[V].
        kth_impact: uint8[V, r] each dimension's k-th largest impact, for some ranks k.
        window_bits: log2 of the window size.
        row_count: Number of rows.
        dimensions: int64[q] distinct query dimensions.
        weights: int64[q] query weights >= 1; their sum times 255 stays below 2^63.
        alive: uint8[row_count], 0 excludes a row; an empty array excludes none.
        k: Most rows to return, at least 1.
        rank: Column of ``kth_impact`` for a rank of at least ``k``; ``r`` if there is none.
        threshold: Only scores above it count; >= 0.
        accumulator: int64[1 << window_bits], zeros on entry and on exit.
        locals_: int64[1 << window_bits], scratch.
        partial: int64[1 << window_bits], scratch.
        scores: int64[k], filled, best first.
        rows: int64[k], filled; equal scores by ascending row.

    Returns:
        Number of rows found.
    """
    terms = len(dimensions)
    window_size = 1 << window_bits
    windows = (row_count + window_size - 1) >> window_bits

    # Ascending global bound: the order in which terms become optional.
    order = np.argsort(weights * max_impact[dimensions].astype(np.int64))
    dims = dimensions[order]
    weight = weights[order]
    form = directory[dims]
    first = np.empty(terms, np.int64)  # the current window's postings of each term
    last = np.empty(terms, np.int64)
    for t in range(terms):
        last[t] = posting_start[dims[t]]
    bound = np.empty(terms, np.int64)
    bound_below = np.zeros(terms + 1, np.int64)  # sum of the bounds of the terms before t
    size = 0
    floor = threshold  # a score must exceed it to matter
    if len(alive) == 0 and rank < kth_impact.shape[1]:
        # One term alone takes at least k rows to its k-th impact; rows of just that score count.
        for t in range(terms):
            floor = max(floor, weight[t] * np.int64(kth_impact[dims[t], rank]) - 1)

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
                # However damaged the file, a window's postings fit the room for candidates.
                stop = min(posting_start[dimension + 1], begin + window_size)
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

        essential = 0  # terms from here on are essential
        while bound_below[essential + 1] <= floor:
            essential += 1
        visited = np.int64(0)
        essential_count = 0
        scan = False
        for t in range(terms):
            if form[t] >= 0:
                start = posting_start[dims[t]]
                first[t] = start + window_start[form[t], window]
                last[t] = start + window_start[form[t], window + 1]
            if t >= essential and bound[t] > 0:
                essential_count += 1
                scan |= form[t] <= -2
                if form[t] >= -1:
                    visited += last[t] - first[t]
        scan = scan or (essential_count > 1 and visited > window_size >> 2)

        # Optional terms with not many more postings are accumulated as well: what they add lets
        # most rows be told from candidates at once. Those below `later` wait for candidates.
        later = essential
        while (
            later > 0
            and form[later - 1] >= -1
            and (
                bound[later - 1] == 0
                or last[later - 1] - first[later - 1] <= ACCUMULATED_RATIO * visited
            )
        ):
            later -= 1
        limit = floor - bound_below[later]

        count = 0
        if essential_count == 1 and later == essential and not scan:
            for t in range(essential, terms):
                if bound[t] > 0:
                    count = _take_single(
                        local_ids,
                        impacts,
                        first[t],
                        last[t],
                        weight[t],
                        window_size - 1,
                        limit,
                        locals_,
                        partial,
                    )
        else:
            for t in range(later, terms):
                if bound[t] > 0 and form[t] <= -2:
                    column = columns[-2 - form[t], base : base + window_size]
                    _accumulate_column(accumulator, column, weight[t])
                elif bound[t] > 0:
                    _accumulate(accumulator, local_ids, impacts, first[t], last[t], weight[t])
            if scan:
                count = _scan(accumulator, limit, locals_, partial)
            else:
                for t in range(essential, terms):
                    if bound[t] > 0:
                        count = _revisit(
                            accumulator,
                            local_ids,
                            first[t],
                            last[t],
                            limit,
                            locals_,
                            partial,
                            count,
                        )
                for t in range(later, essential):
                    if bound[t] > 0:
                        _clear(accumulator, local_ids, first[t], last[t])
        count = _keep_alive(alive, base, row_count, locals_, partial, count)

        for t in range(later - 1, -1, -1):
            if count == 0:
                break
            if bound[t] == 0:
                continue
            if form[t] <= -2:
                column = columns[-2 - form[t], base : base + window_size]
                _add_column(column, weight[t], locals_, partial, count)
            else:
                _add_postings(
                    accumulator,
                    local_ids,
                    impacts,
                    first[t],
                    last[t],
                    weight[t],
                    locals_,
                    partial,
                    count,
                )
            count = _keep_above(floor - bound_below[t], locals_, partial, count)

        # Candidates come in no order: one may tie with the worst kept row and precede it, so the
        # heap decides; the floor rises when the window is done.
        for c in range(count):
            if size < k or partial[c] >= scores[0]:
                size = push(scores, rows, size, k, partial[c], base + locals_[c])
        if size == k:
            floor = max(floor, scores[0])
    sort_best_first(scores, rows, size)
    return size

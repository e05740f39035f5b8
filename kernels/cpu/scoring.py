"""Exact top-k over the windowed posting layout, in integers.

A score is the sum of integer query weight times 8-bit impact, so that every order of evaluation
gives the same bits. How a query is run follows from its terms and the segment:

* all terms rare, with few postings together: each posting is read once and summed in a hash table
  (``kernels.cpu.rare``); the cost does not depend on the number of rows;
* else window by window. Rare terms, as far as their postings together fit the hash table, are
  summed by row first and count as one term. Windows whose bound does not exceed the threshold are
  left out. In the others the terms are split as in MaxScore (Turtle and Flood, 1995), with window
  maxima in place of list maxima: terms whose bounds together cannot exceed the threshold are
  *optional*, the others *essential*. A row that only optional terms hold cannot enter the top k.
  So the essential terms are accumulated, the rows that could still pass become candidates, and the
  optional terms are added to candidates only, highest bound first, dropping those that fall behind.

Within a window:

* one essential term: its postings are read once, without accumulators;
* few essential postings: candidates are found by visiting them a second time;
* many, or a dense column among them: candidates are found by scanning the window;
* few rows that a filter leaves: these are the candidates, and all terms are looked up.

The threshold starts from the k-th largest impact of a single term, among the rows that are not
excluded.

Reference: ``kernels.reference.score_rows`` and ``kernels.reference.top_k``.
"""

from __future__ import annotations

import numpy as np
from numba import njit

from kernels.cpu.bounds import kth_alive, window_bounds
from kernels.cpu.candidates import LOOK_UP_COST, count_alive, keep_alive, take_alive
from kernels.cpu.heap import make_key, push, select_best
from kernels.cpu.layout import RARE, WindowedLayout
from kernels.cpu.rare import accumulate_rare, select_rare, sort_sums
from kernels.cpu.windows import complete, gather, locate

HELPERS = "bc137ab8ab2bde84"
"""Digest of the kernel's other modules: numba's cache looks at changes of this file only."""

ACCUMULATED_RATIO = 2
"""Optional terms of up to this many times the essential postings are accumulated with them."""

SCANNED_SHARE = 1 / 8
"""From this many essential postings per row of a window on, a scan is faster than visiting."""

COLUMN_COST = 1 / 8
"""Accumulating a row of a dense column takes as long as this share of a posting."""

VISIT_COST = 64
"""Finding and beginning a term's postings in a window takes as long as so many postings."""

CANDIDATE_COST = 8
"""So does carrying a candidate through the terms that are left."""

HIT_COST = 64
"""So does keeping a row among the best ``k``."""

SMALL_K = 100
"""Up to this many hits a heap keeps them; beyond it, a buffer that is cut back."""


@njit(nogil=True)
def _keep(keys, size, k, key):  # type: ignore[no-untyped-def]
    """Adds a key to those kept and returns how many there are."""
    if k <= SMALL_K:
        return push(keys, size, k, key)
    keys[size] = key
    size += 1
    return _cut(keys, size, k) if size == len(keys) else size


@njit(nogil=True)
def _cut(keys, size, k):  # type: ignore[no-untyped-def]
    """Leaves at most the best ``k`` keys, the worst of them first, and returns how many."""
    if size >= k > SMALL_K:
        select_best(keys, size, k)
    return min(size, k)


@njit(nogil=True)
def _search_rare(  # type: ignore[no-untyped-def]
    layout, dims, weight, alive, arrival, k, floor, window_range, accumulator, locals_, partial,
    keys, work,
):  # fmt: skip
    """The search of rare terms; arguments and result are those of :func:`search_segment`."""
    count = accumulate_rare(
        layout.posting_start, layout.local_ids, layout.impacts, layout.rare_windows,
        layout.rare_start, layout.window_bits, layout.row_count, dims, weight, accumulator,
        locals_, partial,
    )  # fmt: skip
    for t in range(len(dims)):
        work[1] += layout.posting_start[dims[t] + 1] - layout.posting_start[dims[t]]
    size = 0
    for i in range(count):
        slot = partial[i]
        row = np.int64(locals_[slot])
        score = accumulator[slot]
        accumulator[slot] = 0
        window = row >> layout.window_bits
        if (
            score > floor
            and window_range[0] <= window < window_range[1]
            and (len(alive) == 0 or alive[row] != 0)
        ):
            key = make_key(score, arrival[row] if len(arrival) > 0 else row)
            size = _keep(keys, size, k, key)
    return _cut(keys, size, k)


@njit(nogil=True, cache=True)
def search_segment(  # type: ignore[no-untyped-def]
    arrays,
    dimensions,
    weights,
    alive,
    arrival,
    k,
    rank,
    threshold,
    window_range,
    clip,
    window_budget,
    posting_budget,
    shared_floor,
    accumulator,
    locals_,
    partial,
    keys,
    work,
):
    """Collects the best ``k`` rows of one segment whose score exceeds ``threshold``.

    Args:
        arrays: The members of a ``kernels.cpu.layout.WindowedLayout`` as a plain tuple, which takes
            half the time to hand over.
        dimensions: int64[q] distinct query dimensions.
        weights: int64[q] query weights >= 1; their sum times 255 stays below 2^31.
        alive: uint8[row_count], 0 excludes a row; an empty array excludes none.
        arrival: uint32[row_count] position at which each row arrived, which decides between
            equal scores; empty if rows are in order of arrival.
        k: Most rows to return, at least 1.
        rank: Column of ``layout.kth_impact`` for a rank of at least ``k``, if there is one.
        threshold: Only scores above it count; >= 0.
        window_range: First window, and the one after the last.
        clip: Bounds take impacts for at most this: 255 is exact.
        window_budget: Most windows to visit, best bound first; 0 for all.
        posting_budget: No window is begun once the search has cost as much as accumulating this
            many postings, best bound first; 0 for no end.
        shared_floor: int64[1], a score that k rows are known to reach, raised as the search goes
            on; searches of other windows of the same segment and query may share it.
        accumulator: int32[W], zeros on entry and on exit.
        locals_: uint32[W], scratch.
        partial: int32[W], scratch.
        keys: int64[at least k, or min(2 * k, rows + 1) beyond SMALL_K], filled with
            ``kernels.cpu.heap`` keys in no order; of the length ``rows + 1`` it never runs full.
        work: int64[4], filled: windows visited, postings, candidates completed, and what else it
            took in the time of a posting; see ``kernels.cpu.search.SearchWork``.

    Returns:
        Number of rows found.
    """
    layout = WindowedLayout(*arrays)
    # See kernels.cpu.windows on why the arrays are taken out.
    posting_start = layout.posting_start
    local_ids = layout.local_ids
    impacts = layout.impacts
    rare_windows = layout.rare_windows
    rare_start = layout.rare_start
    window_start = layout.window_start
    window_max = layout.window_max
    columns = layout.columns
    column_max = layout.column_max
    max_impact = layout.max_impact
    window_bits = layout.window_bits
    row_count = layout.row_count
    window_size = 1 << window_bits

    floor = max(threshold, shared_floor[0] - 1)  # a score must exceed it to matter
    for t in range(len(dimensions)):
        # One term alone takes at least k rows to this score; rows of just that score count.
        impact = kth_alive(
            layout.head_start, layout.head_rows, layout.head_impacts, layout.kth_impact,
            dimensions[t], alive, k, rank,
        )  # fmt: skip
        floor = max(floor, weights[t] * impact - 1)

    size = 0
    work[:] = 0
    window_count = ((row_count - 1) >> window_bits) + 1
    is_rare = select_rare(posting_start, layout.directory[dimensions], dimensions, window_size >> 1)
    if is_rare.all():
        return _search_rare(
            layout, dimensions, weights, alive, arrival, k, floor, window_range, accumulator,
            locals_, partial, keys, work,
        )  # fmt: skip
    rare = dimensions[is_rare]
    group_size = accumulate_rare(
        posting_start, local_ids, impacts, rare_windows, rare_start, window_bits, row_count, rare,
        weights[is_rare], accumulator, locals_, partial,
    )  # fmt: skip
    group_start = np.zeros(window_count + 1, np.int64)
    group_max = np.zeros(window_count, np.int64)
    group_ids = np.empty(group_size, np.uint16)
    group_scores = np.empty(group_size, np.int32)
    sort_sums(
        accumulator, locals_, partial, group_size, window_bits, group_start, group_max, group_ids,
        group_scores,
    )  # fmt: skip
    work[1] += group_size

    # Ascending global bound: the order in which terms become optional. The group is the last one
    # before it is sorted.
    terms = len(dimensions) - len(rare) + (1 if len(rare) > 0 else 0)
    dims = np.zeros(terms, np.int64)
    weight = np.ones(terms, np.int64)
    dims[: len(dimensions) - len(rare)] = dimensions[~is_rare]
    weight[: len(dimensions) - len(rare)] = weights[~is_rare]
    bound = weight * max_impact[dims].astype(np.int64)
    grouped = np.int64(-1)
    if len(rare) > 0:
        bound[terms - 1] = group_max.max()
    order = np.argsort(bound)
    dims = dims[order]
    weight = weight[order]
    form = layout.directory[dims]
    if len(rare) > 0:
        grouped = np.argmax(order)
        form[grouped] = RARE
    first = np.zeros(terms, np.int64)  # the current window's postings of each term
    last = np.zeros(terms, np.int64)
    bound_below = np.zeros(terms + 1, np.int64)  # sum of the bounds of the terms before t
    bounds = window_bounds(
        rare_windows, rare_start, window_max, column_max, max_impact, dims, weight, form, clip,
        grouped, group_max,
    )  # fmt: skip
    budgeted = window_budget > 0 or posting_budget > 0
    # Where windows come out of order, a later row may have arrived first and win a tie.
    late = np.int64(budgeted or len(arrival) > 0)
    windows = np.arange(window_range[0], window_range[1])
    if budgeted:
        windows = windows[np.argsort(-bounds[windows], kind="mergesort")]
    full = False
    for window in windows:
        if bounds[window] <= floor:
            continue
        if (window_budget > 0 and work[0] >= window_budget) or (
            posting_budget > 0 and work[1] + work[3] >= posting_budget
        ):
            break
        base = window << window_bits
        rows = min(window_size, row_count - base)
        excluding = alive[base : base + rows] if len(alive) > 0 else alive
        left = rows
        if len(alive) > 0:
            left = count_alive(excluding)
            if left == 0:
                continue
        locate(
            posting_start, rare_windows, rare_start, window_start, window_max, column_max,
            max_impact, window_bits, dims, weight, form, clip, window, grouped, group_start,
            group_max, first, last, bound, bound_below,
        )  # fmt: skip
        essential = 0  # terms from here on are essential
        while essential < terms and bound_below[essential + 1] <= floor:
            essential += 1
        if essential == terms:
            continue
        work[0] += 1
        work[3] += VISIT_COST * terms
        visited = np.int64(0)
        present = 0
        scanned = False
        for t in range(essential, terms):
            if bound[t] > 0:
                present += 1
                scanned |= form[t] <= -2
                if form[t] >= -1:
                    visited += last[t] - first[t]
        effort = max(visited, window_size if scanned else 0)
        if len(alive) > 0 and left * LOOK_UP_COST * terms < effort:
            later = terms
            count = take_alive(excluding, locals_, partial)
            work[1] += np.int64(COLUMN_COST * rows)
        else:
            scanned |= bool(present > 1 and visited > SCANNED_SHARE * window_size)
            # Optional terms with not many more postings are accumulated as well: what they add
            # lets most rows be told from candidates at once. Those below `later` wait.
            later = essential
            while later > 0 and form[later - 1] >= -1:
                postings = last[later - 1] - first[later - 1]
                if bound[later - 1] > 0 and postings > ACCUMULATED_RATIO * visited:
                    break
                later -= 1
            for t in range(later, terms):
                if bound[t] > 0:
                    if form[t] <= -2:
                        work[1] += np.int64(COLUMN_COST * window_size)
                    else:
                        work[1] += last[t] - first[t]
            limit = floor - bound_below[later]
            count = gather(
                local_ids, impacts, columns, base, form, weight, first, last, bound, essential,
                later, scanned, limit, grouped, group_ids, group_scores, accumulator, locals_,
                partial,
            )  # fmt: skip
            if len(alive) > 0 or rows < window_size:
                count = keep_alive(excluding, rows, locals_, partial, count)
        work[3] += CANDIDATE_COST * count
        work[2] += count
        count = complete(
            local_ids, impacts, columns, base, form, weight, first, last, bound, bound_below,
            later, floor, grouped, group_ids, group_scores, accumulator, locals_, partial, count,
            work,
        )  # fmt: skip

        work[3] += HIT_COST * count

        # Candidates come in no order: one may tie with the worst kept row and precede it, so the
        # key decides; the floor rises when the window is done.
        for c in range(count):
            row = base + np.int64(locals_[c])
            key = make_key(partial[c], arrival[row] if len(arrival) > 0 else row)
            size = _keep(keys, size, k, key)
        if k > SMALL_K and (size > k + k // 2 or (size >= k and not full)):
            size = _cut(keys, size, k)
        if size == k:
            full = True
            floor = max(floor, (keys[0] >> 32) - late)
            shared_floor[0] = max(shared_floor[0], keys[0] >> 32)
        floor = max(floor, shared_floor[0] - 1)
    return _cut(keys, size, k)

"""Rare terms, for use in the kernel: each posting is read once, and their scores are summed by row.

A query of rare terms alone is done with that. Beside other terms they count as one, whose postings
are the sums: a row seldom has several of them, so that the largest sum in a window bounds what they
add far better than the sum of each term's largest impact, and there is one list to find there
instead of many.
"""

from __future__ import annotations

import numpy as np
from numba import njit

from kernels.cpu.layout import RARE


@njit(nogil=True)
def accumulate_rare(  # type: ignore[no-untyped-def]
    posting_start, local_ids, impacts, rare_windows, rare_start, window_bits, row_count,
    dims, weight, table, rows, used,
):  # fmt: skip
    """Sums scores in a hash table of rows, with linear probing (Knuth, TAOCP 6.4).

    Args:
        posting_start: See ``kernels.cpu.layout.WindowedLayout``; so for the six after it.
        local_ids: See there.
        impacts: See there.
        rare_windows: See there.
        rare_start: See there.
        window_bits: See there.
        row_count: See there.
        dims: int64[q] rare dimensions of at most W / 2 postings together.
        weight: int64[q] their weights.
        table: int32[W] zeros on entry; filled with scores.
        rows: uint32[W], filled with the row of each slot in use.
        used: int32[W], filled with the slots in use.

    Returns:
        Number of slots in use.
    """
    mask = np.uint64(len(table) - 1)
    limit = np.uint64(row_count)
    bits = np.uint64(window_bits)
    low = (np.uint64(1) << bits) - np.uint64(1)
    count = np.uint64(0)
    for t in range(len(dims)):
        first = posting_start[dims[t]]
        last = posting_start[dims[t] + 1]
        begin = rare_start[dims[t]]
        local = local_ids[first:last]
        impact = impacts[first:last]
        window = rare_windows[begin : begin + last - first]
        factor = np.int32(weight[t])
        for i in range(len(window)):
            row = (np.uint64(window[i]) << bits) | (np.uint64(local[i]) & low)
            if row >= limit:
                continue
            # Fibonacci hashing; neighbouring rows spread over the table.
            slot = (row * np.uint64(0x9E3779B97F4A7C15) >> np.uint64(40)) & mask
            while table[slot] != 0 and rows[slot] != row:
                slot = (slot + np.uint64(1)) & mask
            if table[slot] == 0:
                rows[slot] = row
                used[count] = slot
                count += np.uint64(1)
            table[slot] += np.int32(factor * np.int32(impact[i]))
    return np.int64(count)


@njit(nogil=True)
def select_rare(posting_start, form, dims, capacity):  # type: ignore[no-untyped-def]
    """bool[q]: rare terms, in their order, as far as their postings fit ``capacity`` together."""
    chosen = np.zeros(len(dims), np.bool_)
    for t in range(len(dims)):
        postings = posting_start[dims[t] + 1] - posting_start[dims[t]]
        if form[t] == RARE and postings <= capacity:
            chosen[t] = True
            capacity -= postings
    return chosen


@njit(nogil=True)
def sort_sums(accumulator, rows, used, count, window_bits, starts, largest, local_ids, scores):  # type: ignore[no-untyped-def]
    """Orders what :func:`accumulate_rare` summed by windows, and clears its table.

    Args:
        accumulator: int32[W], the table; zeros on exit.
        rows: uint32[W] of :func:`accumulate_rare`.
        used: int32[W] of :func:`accumulate_rare`.
        count: Slots in use.
        window_bits: log2 of the window size.
        starts: int64[windows + 1] zeros, filled with each window's first sum.
        largest: int64[windows] zeros, filled with each window's largest sum.
        local_ids: uint16[count], filled with rows within their window, in no order.
        scores: int32[count], filled with their sums.
    """
    for i in range(count):
        starts[(rows[used[i]] >> window_bits) + 1] += 1
    for number in range(len(largest)):
        starts[number + 1] += starts[number]
    mask = (1 << window_bits) - 1
    # Backwards from each window's end: what was its end is then its beginning.
    for i in range(count):
        slot = used[i]
        window = rows[slot] >> window_bits
        starts[window + 1] -= 1
        place = starts[window + 1]
        local_ids[place] = rows[slot] & mask
        scores[place] = accumulator[slot]
        largest[window] = max(largest[window], np.int64(accumulator[slot]))
        accumulator[slot] = 0
    for number in range(len(largest)):
        starts[number] = starts[number + 1]
    starts[len(largest)] = count

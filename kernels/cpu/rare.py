"""Scoring a query of rare terms: every posting once, no windows, for use in the kernel."""

from __future__ import annotations

import numpy as np
from numba import njit


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

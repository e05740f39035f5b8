"""What a term can add to a score, per window and over a whole segment, for use in the kernel."""

from __future__ import annotations

import numpy as np
from numba import njit

from kernels.cpu.layout import RARE


@njit(nogil=True)
def window_bounds(  # type: ignore[no-untyped-def]
    rare_windows, rare_start, window_max, column_max, max_impact, dims, weight, form, clip, grouped,
    group_max,
):  # fmt: skip
    """int64[windows]: no row of the window scores more.

    Args:
        rare_windows: See ``kernels.cpu.layout.WindowedLayout``; so for the four after it.
        rare_start: See there.
        window_max: See there.
        column_max: See there.
        max_impact: See there.
        dims: int64[q] dimensions.
        weight: int64[q] their weights.
        form: int32[q] their ``directory`` values.
        clip: Impacts are taken for at most this.
        grouped: Position of the group of rare terms, -1 for none.
        group_max: int64[windows] largest sum of the group in each window.
    """
    windows = len(group_max)
    bounds = group_max.copy()
    for t in range(len(dims)):
        if t == grouped:
            continue
        if form[t] == RARE:
            largest = weight[t] * np.int64(min(max_impact[dims[t]], clip))
            previous = np.int64(-1)
            for i in range(rare_start[dims[t]], rare_start[dims[t] + 1]):
                window = np.int64(rare_windows[i])
                if window != previous and window < windows:
                    bounds[window] += largest
                    previous = window
        else:
            maxima = window_max[form[t]] if form[t] >= 0 else column_max[-2 - form[t]]
            for number in range(windows):
                bounds[number] += weight[t] * np.int64(min(maxima[number], clip))
    return bounds


@njit(nogil=True)
def kth_alive(  # type: ignore[no-untyped-def]
    head_start, head_rows, head_impacts, kth_impact, dimension, alive, k, rank
):
    """An impact that at least ``k`` rows which are not excluded reach; 0 if none is known.

    Args:
        head_start: See ``kernels.cpu.layout.WindowedLayout``; so for the three after it.
        head_rows: See there.
        head_impacts: See there.
        kth_impact: See there.
        dimension: A dimension.
        alive: uint8[row_count], 0 excludes a row; empty excludes none.
        k: At least 1.
        rank: Column of ``kth_impact`` for a rank of at least ``k``, if there is one.
    """
    first = head_start[dimension]
    last = head_start[dimension + 1]
    if len(alive) == 0:
        if last - first >= k:
            return np.int64(head_impacts[first + k - 1])
        if rank < kth_impact.shape[1]:
            return np.int64(kth_impact[dimension, rank])
        return np.int64(0)
    found = np.int64(0)
    for i in range(first, last):
        row = head_rows[i]
        found += row < len(alive) and alive[row] != 0
        if found == k:
            return np.int64(head_impacts[i])
    return np.int64(0)


@njit(nogil=True)
def rare_range(posting_start, rare_windows, rare_start, window_bits, dimension, window):  # type: ignore[no-untyped-def]
    """First posting of a rare dimension in a window and the one after the last."""
    begin = rare_start[dimension]
    end = rare_start[dimension + 1]
    shift = posting_start[dimension] - begin
    high = end
    while begin < high:
        middle = (begin + high) >> 1
        if rare_windows[middle] < window:
            begin = middle + 1
        else:
            high = middle
    # However damaged the file, a window's postings fit the room for candidates.
    end = min(end, begin + (1 << window_bits))
    while high < end and rare_windows[high] == window:
        high += 1
    return begin + shift, high + shift

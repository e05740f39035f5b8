"""The steps of scoring one window of rows, for use in the kernel.

Arrays of the layout are passed one by one: as members of a tuple their references would be
counted at every slice, which takes longer than the short loops over a window's postings.
"""

from __future__ import annotations

import numpy as np
from numba import njit

from kernels.cpu.accumulation import (
    accumulate,
    accumulate_column,
    clear,
    revisit,
    scan,
    take_single,
)
from kernels.cpu.bounds import rare_range
from kernels.cpu.candidates import add_all, add_column, add_postings, keep_above
from kernels.cpu.layout import RARE


@njit(nogil=True)
def locate(  # type: ignore[no-untyped-def]
    posting_start, rare_windows, rare_start, window_start, window_max, column_max, max_impact,
    window_bits, dims, weight, form, clip, window, grouped, group_start, group_max, first, last,
    bound, bound_below,
):  # fmt: skip
    """Finds the window's postings of each term, their bounds, and the sums of these.

    Args:
        posting_start: See ``kernels.cpu.layout.WindowedLayout``; so for the seven after it.
        rare_windows: See there.
        rare_start: See there.
        window_start: See there.
        window_max: See there.
        column_max: See there.
        max_impact: See there.
        window_bits: See there.
        dims: int64[q] dimensions.
        weight: int64[q] their weights.
        form: int32[q] their ``directory`` values.
        clip: Bounds take impacts for at most this.
        window: Number of the window.
        grouped: Position of the group of rare terms, -1 for none.
        group_start: int64[windows + 1] its first sum in each window.
        group_max: int64[windows] its largest one.
        first: int64[q], filled for terms that have postings: the first one of the window.
        last: int64[q], filled likewise with the one after the last.
        bound: int64[q], filled: no row of the window gets more from the term.
        bound_below: int64[q + 1], filled: sum of the bounds of the terms before each.
    """
    present = np.int64(0)
    for t in range(len(dims)):
        if t == grouped:
            first[t] = group_start[window]
            last[t] = group_start[window + 1]
            bound[t] = group_max[window]
            present += bound[t]
            bound_below[t + 1] = present
            continue
        dimension = dims[t]
        if form[t] >= 0:
            start = posting_start[dimension]
            first[t] = start + window_start[form[t], window]
            last[t] = start + window_start[form[t], window + 1]
            largest = window_max[form[t], window]
        elif form[t] == RARE:
            first[t], last[t] = rare_range(
                posting_start, rare_windows, rare_start, window_bits, dimension, window
            )
            largest = max_impact[dimension] if last[t] > first[t] else np.uint8(0)
        else:
            largest = column_max[-2 - form[t], window]
        bound[t] = weight[t] * np.int64(min(largest, clip))
        present += bound[t]
        bound_below[t + 1] = present


@njit(nogil=True)
def gather(  # type: ignore[no-untyped-def]
    local_ids, impacts, columns, base, form, weight, first, last, bound, essential, later,
    scanned, limit, grouped, group_ids, group_scores, accumulator, locals_, partial,
):  # fmt: skip
    """Accumulates the terms from ``later`` on and collects candidates above ``limit``.

    Args:
        local_ids: See ``kernels.cpu.layout.WindowedLayout``; so for the two after it.
        impacts: See there.
        columns: See there.
        base: First row of the window.
        form: int32[q] ``directory`` values of the terms.
        weight: int64[q] their weights.
        first: int64[q] of :func:`locate`.
        last: int64[q] of :func:`locate`.
        bound: int64[q] of :func:`locate`.
        essential: Every candidate has a posting of a term from here on.
        later: Terms from here on are accumulated; at most ``essential``.
        scanned: Whether to look at every row of the window for candidates.
        limit: Accumulated scores up to it are dropped; >= 0.
        grouped: Position of the group of rare terms, -1 for none.
        group_ids: uint16[g] the group's rows within their windows.
        group_scores: int32[g] its sums.
        accumulator: int32[W], zeros on entry and on exit.
        locals_: uint32[W], filled with candidates.
        partial: int32[W], filled with what they accumulated.

    Returns:
        Number of candidates.
    """
    size = len(accumulator)
    terms = len(form)
    present = 0
    single = -1
    for t in range(later, terms):
        if bound[t] > 0:
            present += 1
            single = t
    if present == 1 and not scanned and single != grouped:
        return take_single(
            local_ids[first[single] : last[single]],
            impacts[first[single] : last[single]],
            weight[single],
            size - 1,
            limit,
            locals_,
            partial,
        )
    for t in range(later, terms):
        if bound[t] == 0:
            continue
        if t == grouped:
            here = slice(first[t], last[t])
            accumulate(accumulator, group_ids[here], group_scores[here], 1)
        elif form[t] <= -2:
            column = columns[-2 - form[t], base : base + size]
            accumulate_column(accumulator, column, weight[t])
        else:
            accumulate(
                accumulator,
                local_ids[first[t] : last[t]],
                impacts[first[t] : last[t]],
                weight[t],
            )
    if scanned:
        return scan(accumulator, limit, locals_, partial)
    count = np.int64(0)
    for t in range(essential, terms):
        if bound[t] > 0 and t == grouped:
            ids = group_ids[first[t] : last[t]]
            count = revisit(accumulator, ids, limit, locals_, partial, count)
        elif bound[t] > 0:
            visited = local_ids[first[t] : last[t]]
            count = revisit(accumulator, visited, limit, locals_, partial, count)
    for t in range(later, essential):
        if bound[t] > 0 and t == grouped:
            clear(accumulator, group_ids[first[t] : last[t]])
        elif bound[t] > 0:
            clear(accumulator, local_ids[first[t] : last[t]])
    return count


@njit(nogil=True)
def complete(  # type: ignore[no-untyped-def]
    local_ids, impacts, columns, base, form, weight, first, last, bound, bound_below, later,
    floor, grouped, group_ids, group_scores, accumulator, locals_, partial, count, work,
):  # fmt: skip
    """Adds the terms below ``later`` to the candidates, dropping those that fall behind.

    Arguments are those of :func:`gather` and :func:`locate`; ``floor`` is the score that a
    candidate must exceed, and ``work[1]`` is raised by the cost in postings.

    Returns:
        Number of candidates left, whose scores are complete.
    """
    for t in range(later - 1, -1, -1):
        if count == 0:
            break
        if bound[t] == 0:
            continue
        if t == grouped:
            here = slice(first[t], last[t])
            work[1] += add_all(
                accumulator, group_ids[here], group_scores[here], 1, locals_, partial, count
            )
        elif form[t] <= -2:
            column = columns[-2 - form[t], base : base + len(accumulator)]
            add_column(column, weight[t], locals_, partial, count)
            work[1] += count
        else:
            work[1] += add_postings(
                accumulator,
                local_ids[first[t] : last[t]],
                impacts[first[t] : last[t]],
                weight[t],
                locals_,
                partial,
                count,
            )
        count = keep_above(floor - bound_below[t], locals_, partial, count)
    return count

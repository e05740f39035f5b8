"""Recursive graph bisection: an order of rows in which rows of the same dimensions are neighbours.

Dhulipala, Kabiljo, Karrer, Ottaviano, Pupyrev and Shalita, "Compressing Graphs and Indexes with
Recursive Graph Bisection" (KDD 2016): rows are halved so that postings get small gaps, then each
half is halved again. A step moves rows to the half where the logarithms of their dimensions'
estimated gaps sum up to less. Swapping the rows in order of gain, as the paper does, ends with
the rows of smallest preference for the right half on the left; here a selection in linear time
finds that partition without sorting.

The result depends on the rows and on the order at the start only.
"""

from __future__ import annotations

import numpy as np
from numba import njit

MOVED_ENOUGH = 1000
"""A range is done when a round moves no more than one row in so many."""

MARGIN = 0.02
"""Bits per dimension by which a row must prefer the other half to move there.

Without it rows of both halves that hardly care change places in every round.
"""


@njit(nogil=True, cache=True)
def strongest_dimensions(indptr, dimensions, impacts, numbers, limit, starts, strongest):  # type: ignore[no-untyped-def]
    """Of each row the numbers of its dimensions with the largest impacts.

    Called with an empty ``strongest`` it only counts.

    Args:
        indptr: int64[n + 1] row offsets.
        dimensions: uint32[nnz].
        impacts: uint8[nnz].
        numbers: int32[V], number of a dimension that takes part, -1 for the others.
        limit: Most dimensions of a row; of equal impacts the first ones stay.
        starts: int64[n + 1], the row offsets of ``strongest``, filled when counting.
        strongest: uint32[starts[n]], filled; or empty.
    """
    histogram = np.zeros(256, np.int64)
    fill = len(strongest) > 0
    starts[0] = 0
    for row in range(len(indptr) - 1):
        histogram[:] = 0
        taking_part = 0
        for i in range(indptr[row], indptr[row + 1]):
            if numbers[dimensions[i]] >= 0:
                histogram[impacts[i]] += 1
                taking_part += 1
        starts[row + 1] = starts[row] + min(taking_part, limit)
        if not fill:
            continue
        lowest = 255
        room = limit
        while lowest > 0 and histogram[lowest] < room:
            room -= histogram[lowest]
            lowest -= 1
        at = starts[row]
        for i in range(indptr[row], indptr[row + 1]):
            number = numbers[dimensions[i]]
            if number < 0 or impacts[i] < lowest:
                continue
            if impacts[i] == lowest:
                if room == 0:
                    continue
                room -= 1
            strongest[at] = number
            at += 1


@njit(nogil=True, cache=True)
def bisect_rows(starts, dimensions, dimension_count, order, leaf, iterations):  # type: ignore[no-untyped-def]
    """Reorders rows in place.

    Args:
        starts: int64[n + 1] row offsets.
        dimensions: uint32[nnz], below ``dimension_count``, distinct within a row.
        dimension_count: Number of dimensions.
        order: uint32[n], a permutation of the rows to start from; filled with the result.
        leaf: Ranges of at most this many rows are left as they are, at least 1.
        iterations: Most rounds of moves per range.
    """
    n = len(order)
    margin = np.float32(MARGIN * len(dimensions) / max(n, 1))
    log2 = np.zeros(n + 2, np.float32)
    for i in range(1, n + 2):
        log2[i] = np.log2(np.float64(i))
    left_freq = np.zeros(dimension_count, np.int32)
    right_freq = np.zeros(dimension_count, np.int32)
    used = np.empty(dimension_count, np.uint32)
    pull = np.empty((2, dimension_count), np.float32)
    preference = np.empty(n, np.float32)
    scratch = np.empty(n, np.float32)
    waiting = np.empty((64, 2), np.int64)
    waiting[0, 0] = 0
    waiting[0, 1] = n
    count = 1
    while count > 0:
        count -= 1
        first = waiting[count, 0]
        last = waiting[count, 1]
        if last - first <= leaf:
            continue
        middle = first + (last - first) // 2
        used_count = 0
        for at in range(first, last):
            row = order[at]
            for i in range(starts[row], starts[row + 1]):
                dimension = dimensions[i]
                if left_freq[dimension] + right_freq[dimension] == 0:
                    used[used_count] = dimension
                    used_count += 1
                if at < middle:
                    left_freq[dimension] += 1
                else:
                    right_freq[dimension] += 1
        for _ in range(iterations):
            _pull_right(used[:used_count], left_freq, right_freq, log2, pull)
            for at in range(first, last):
                row = order[at]
                side = 0 if at < middle else 1
                total = np.float32(0)
                for i in range(starts[row], starts[row + 1]):
                    total += pull[side, dimensions[i]]
                preference[at] = total
                scratch[at] = total
            threshold = _select(scratch[first:last], middle - first)
            moved = _exchange(
                starts,
                dimensions,
                order,
                preference,
                first,
                middle,
                last,
                threshold,
                margin,
                left_freq,
                right_freq,
            )
            if moved * MOVED_ENOUGH <= last - first:
                break
        for i in range(used_count):
            left_freq[used[i]] = 0
            right_freq[used[i]] = 0
        waiting[count, 0] = middle
        waiting[count, 1] = last
        waiting[count + 1, 0] = first
        waiting[count + 1, 1] = middle
        count += 2


@njit(nogil=True)
def _pull_right(used, left_freq, right_freq, log2, pull):  # type: ignore[no-untyped-def]
    """Bits that a posting's move to the right half saves, for a row on the left and on the right.

    The estimated gap is the size of the half by the number of other postings there.
    """
    for i in range(len(used)):
        dimension = used[i]
        left = left_freq[dimension]
        right = right_freq[dimension]
        if left > 0:
            pull[0, dimension] = log2[right + 1] - log2[left]
        if right > 0:
            pull[1, dimension] = log2[right] - log2[left + 1]


@njit(nogil=True)
def _exchange(  # type: ignore[no-untyped-def]
    starts,
    dimensions,
    order,
    preference,
    first,
    middle,
    last,
    threshold,
    margin,
    left_freq,
    right_freq,
):
    """Swaps rows on the left above the threshold with rows on the right below it.

    Returns:
        How many pairs were swapped.
    """
    moved = 0
    other = middle
    for at in range(first, middle):
        if preference[at] <= threshold + margin:
            continue
        while other < last and preference[other] > threshold - margin:
            other += 1
        if other == last:
            break
        to_right = order[at]
        to_left = order[other]
        for i in range(starts[to_right], starts[to_right + 1]):
            left_freq[dimensions[i]] -= 1
            right_freq[dimensions[i]] += 1
        for i in range(starts[to_left], starts[to_left + 1]):
            left_freq[dimensions[i]] += 1
            right_freq[dimensions[i]] -= 1
        order[at] = to_left
        order[other] = to_right
        other += 1
        moved += 1
    return moved


@njit(nogil=True)
def _select(values, k):  # type: ignore[no-untyped-def]
    """The k-th smallest value, counted from 1; reorders ``values`` (Hoare's selection)."""
    low = 0
    high = len(values) - 1
    k -= 1
    while low < high:
        a, b, c = values[low], values[(low + high) // 2], values[high]
        pivot = max(min(a, b), min(max(a, b), c))
        i = low
        j = high
        while i <= j:
            while values[i] < pivot:
                i += 1
            while values[j] > pivot:
                j -= 1
            if i <= j:
                values[i], values[j] = values[j], values[i]
                i += 1
                j -= 1
        if k <= j:
            high = j
        elif k >= i:
            low = i
        else:
            break
    return values[k]


@njit(nogil=True, cache=True)
def total_log2_gap(starts, dimensions, dimension_count, order):  # type: ignore[no-untyped-def]
    """Sum of log2 of the gaps between a dimension's postings, the first counted from before row 0.

    Args:
        starts: int64[n + 1] row offsets.
        dimensions: uint32[nnz].
        dimension_count: Number of dimensions.
        order: uint32[n], the row at each position.
    """
    latest = np.full(dimension_count, -1, np.int64)
    total = 0.0
    for at in range(len(order)):
        row = order[at]
        for i in range(starts[row], starts[row + 1]):
            dimension = dimensions[i]
            total += np.log2(np.float64(at - latest[dimension]))
            latest[dimension] = at
    return total


@njit(nogil=True, cache=True)
def gather_rows(indptr, dimensions, impacts, order, new_indptr, new_dimensions, new_impacts):  # type: ignore[no-untyped-def]
    """Copies CSR rows in another order.

    Args:
        indptr: int64[n + 1] row offsets.
        dimensions: uint32[nnz].
        impacts: uint8[nnz].
        order: uint32[n], the row to copy to each position.
        new_indptr: int64[n + 1], filled.
        new_dimensions: uint32[nnz], filled.
        new_impacts: uint8[nnz], filled.
    """
    at = 0
    new_indptr[0] = 0
    for position in range(len(order)):
        row = order[position]
        for i in range(indptr[row], indptr[row + 1]):
            new_dimensions[at] = dimensions[i]
            new_impacts[at] = impacts[i]
            at += 1
        new_indptr[position + 1] = at

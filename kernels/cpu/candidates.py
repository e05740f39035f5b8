"""Completing the candidates of a window, for use inside the scoring kernel.

Candidates are two arrays: ``locals_`` uint32, rows within the window in no order, and
``partial`` int32, what they scored so far. See ``kernels.cpu.accumulation`` on indices.
"""

from __future__ import annotations

import numpy as np
from numba import njit

from kernels.cpu.accumulation import accumulate, clear

LOOK_UP_COST = 32
"""A binary search takes about as long as accumulating this many postings."""


@njit(nogil=True)
def count_alive(alive):  # type: ignore[no-untyped-def]
    """How many rows are not excluded."""
    count = np.uint32(0)
    for i in range(len(alive)):
        count += np.uint32(alive[i] != 0)
    return np.int64(count)


@njit(nogil=True)
def take_alive(alive, locals_, partial):  # type: ignore[no-untyped-def]
    """Makes every row that is not excluded a candidate without a score.

    Args:
        alive: uint8[n] of the window's rows, n <= W.
        locals_: uint32[W], filled.
        partial: int32[W], filled.

    Returns:
        Number of candidates.
    """
    count = np.uint64(0)
    for i in range(len(alive)):
        locals_[count] = i
        partial[count] = 0
        count += np.uint64(alive[i] != 0)
    return np.int64(count)


@njit(nogil=True)
def keep_alive(alive, size, locals_, partial, count):  # type: ignore[no-untyped-def]
    """Drops candidates that are excluded or no rows at all, in place.

    Args:
        alive: uint8[size] of the window's rows, 0 excludes; empty excludes none.
        size: Rows that the window has.
        locals_: uint32[W].
        partial: int32[W].
        count: Candidates so far.

    Returns:
        Candidates left.
    """
    kept = np.uint64(0)
    for c in range(np.uint64(count)):
        local = locals_[c]
        if local < size and (len(alive) == 0 or alive[local] != 0):
            locals_[kept] = local
            partial[kept] = partial[c]
            kept += np.uint64(1)
    return np.int64(kept)


@njit(nogil=True)
def keep_above(limit, locals_, partial, count):  # type: ignore[no-untyped-def]
    """Drops candidates at or below ``limit``, in place; returns how many are left."""
    kept = np.uint64(0)
    for c in range(np.uint64(count)):
        score = partial[c]
        locals_[kept] = locals_[c]
        partial[kept] = score
        kept += np.uint64(score > limit)
    return np.int64(kept)


@njit(nogil=True)
def add_column(column, weight, locals_, partial, count):  # type: ignore[no-untyped-def]
    """Adds a dense term to the candidates."""
    factor = np.int32(weight)
    for c in range(np.uint64(count)):
        partial[c] += np.int32(factor * np.int32(column[locals_[c]]))


@njit(nogil=True)
def add_all(accumulator, local_ids, impacts, weight, locals_, partial, count):  # type: ignore[no-untyped-def]
    """Adds a term to the candidates by way of the accumulators; its postings need no order.

    Returns:
        What it cost, in the time of accumulating one posting.
    """
    accumulate(accumulator, local_ids, impacts, weight)
    for c in range(np.uint64(count)):
        partial[c] += accumulator[locals_[c]]
    clear(accumulator, local_ids)
    return np.int64(len(local_ids)) + np.int64(count)


@njit(nogil=True)
def add_postings(accumulator, local_ids, impacts, weight, locals_, partial, count):  # type: ignore[no-untyped-def]
    """Adds a term to the candidates: by way of the accumulators if many, else by searching.

    Returns:
        What it cost, in the time of accumulating one posting.
    """
    if len(local_ids) == 0:
        return np.int64(0)
    if count * LOOK_UP_COST > len(local_ids):
        return add_all(accumulator, local_ids, impacts, weight, locals_, partial, count)
    factor = np.int32(weight)
    one = np.uint64(1)
    for c in range(np.uint64(count)):
        local = locals_[c]
        at = np.uint64(0)
        length = np.uint64(len(local_ids))
        while length > one:
            half = length >> one
            if local_ids[at + half] <= local:
                at += half
            length -= half
        if local_ids[at] == local:
            partial[c] += np.int32(factor * np.int32(impacts[at]))
    return np.int64(LOOK_UP_COST * count)

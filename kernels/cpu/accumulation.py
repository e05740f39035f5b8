"""Adding a window's postings up, for use inside the scoring kernel.

Arrays are passed as slices and indexed by unsigned numbers: a signed index costs a test for
negative ones at every step, half of the time of these loops.
"""

from __future__ import annotations

import numpy as np
from numba import njit

CHUNK = 64
"""Rows that a scan tests together; windows are multiples of it."""

PIECE = 16
"""Rows of a chunk that are looked at one by one if any of them passes."""


@njit(nogil=True)
def accumulate(accumulator, local_ids, impacts, weight):  # type: ignore[no-untyped-def]
    """Adds a term's postings of one window to the accumulators (int32[W])."""
    mask = np.uint64(len(accumulator) - 1)
    factor = np.int32(weight)
    for i in range(len(local_ids)):
        accumulator[np.uint64(local_ids[i]) & mask] += np.int32(factor * np.int32(impacts[i]))


@njit(nogil=True)
def accumulate_column(accumulator, column, weight):  # type: ignore[no-untyped-def]
    """Adds a dense term's column of one window to the accumulators."""
    factor = np.int32(weight)
    for i in range(len(accumulator)):
        accumulator[i] += np.int32(factor * np.int32(column[i]))


@njit(nogil=True)
def clear(accumulator, local_ids):  # type: ignore[no-untyped-def]
    """Zeroes the accumulators of a term's postings."""
    mask = np.uint64(len(accumulator) - 1)
    for i in range(len(local_ids)):
        accumulator[np.uint64(local_ids[i]) & mask] = 0


@njit(nogil=True)
def scan(accumulator, limit, locals_, partial):  # type: ignore[no-untyped-def]
    """Gathers the rows that accumulated more than ``limit`` and zeroes all accumulators.

    A row passes if ``limit - accumulated`` is negative; the sign of many rows is tested at once
    by joining their bits.

    Args:
        accumulator: int32[W], each >= 0.
        limit: int32, >= 0.
        locals_: uint32[W], filled with the rows that passed.
        partial: int32[W], filled with what they accumulated.

    Returns:
        How many passed.
    """
    count = np.uint64(0)
    least = np.int32(limit)
    for first in range(0, len(accumulator), CHUNK):
        chunk = accumulator[first : first + CHUNK]
        signs = np.int32(0)
        for i in range(CHUNK):
            signs |= np.int32(least - chunk[i])
        if signs < 0:
            for begin in range(0, CHUNK, PIECE):
                piece = chunk[begin : begin + PIECE]
                signs = np.int32(0)
                for i in range(PIECE):
                    signs |= np.int32(least - piece[i])
                if signs < 0:
                    for i in range(PIECE):
                        locals_[count] = first + begin + i
                        partial[count] = piece[i]
                        count += np.uint64(piece[i] > least)
        for i in range(CHUNK):
            chunk[i] = 0
    return np.int64(count)


@njit(nogil=True)
def revisit(accumulator, local_ids, limit, locals_, partial, found):  # type: ignore[no-untyped-def]
    """Gathers rows above ``limit`` among a term's postings; zeroes what it visits.

    Args:
        accumulator: int32[W].
        local_ids: uint16[n] the term's postings of the window.
        limit: int32, >= 0.
        locals_: uint32[W], filled from ``found`` on.
        partial: int32[W], filled from ``found`` on.
        found: Rows gathered before.

    Returns:
        Rows gathered in all.
    """
    mask = np.uint64(len(accumulator) - 1)
    least = np.int32(limit)
    count = np.uint64(found)
    for i in range(len(local_ids)):
        local = np.uint64(local_ids[i]) & mask
        score = accumulator[local]
        accumulator[local] = 0
        if score > least:
            locals_[count] = local
            partial[count] = score
            count += np.uint64(1)
    return np.int64(count)


@njit(nogil=True)
def take_single(local_ids, impacts, weight, mask, limit, locals_, partial):  # type: ignore[no-untyped-def]
    """Gathers rows above ``limit`` when one term alone is essential: no accumulators needed."""
    count = np.uint64(0)
    least = min(limit // weight, 255)
    bits = np.uint64(mask)
    for i in range(len(local_ids)):
        if np.int64(impacts[i]) > least:
            locals_[count] = np.uint64(local_ids[i]) & bits
            partial[count] = weight * np.int64(impacts[i])
            count += np.uint64(1)
    return np.int64(count)

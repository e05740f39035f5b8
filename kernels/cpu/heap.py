"""The best keys seen so far, for use inside other kernels.

A key is one integer that orders hits: the score in the upper 32 bits, the complement of the
position of arrival in the lower ones, so that a larger key is better and of equal scores the row
that arrived first. Few keys are kept in a heap with the worst at the root; many in a buffer of
twice the room that is cut back to the best by quickselect, which costs less per key.

Numba inlines these functions into their callers and caches them by the *calling* file: see
``HELPERS`` in ``kernels.cpu.scoring``.
"""

from __future__ import annotations

import numpy as np
from numba import njit

LOWER = 0xFFFFFFFF
"""The bits of a key that hold the complement of the position of arrival."""


@njit(nogil=True, inline="always")
def make_key(score, position):  # type: ignore[no-untyped-def]
    """int64 key of a score in 0..2^31 - 1 and a position of arrival in 0..2^32 - 1."""
    return (np.int64(score) << 32) | (LOWER - np.int64(position))


@njit(nogil=True)
def push(keys, size, capacity, key):  # type: ignore[no-untyped-def]
    """Offers a key to the heap and returns the new size.

    Args:
        keys: int64[>= capacity] heap storage.
        size: Keys kept so far.
        capacity: Most keys to keep, at least 1.
        key: The new key.
    """
    if size < capacity:
        at = size
        while at > 0:
            parent = (at - 1) >> 1
            if key >= keys[parent]:
                break
            keys[at] = keys[parent]
            at = parent
        keys[at] = key
        return size + 1
    if key > keys[0]:
        at = 0
        while True:
            child = 2 * at + 1
            if child >= capacity:
                break
            if child + 1 < capacity and keys[child + 1] < keys[child]:
                child += 1
            if keys[child] >= key:
                break
            keys[at] = keys[child]
            at = child
        keys[at] = key
    return size


@njit(nogil=True)
def select_best(keys, size, capacity):  # type: ignore[no-untyped-def]
    """Moves the largest ``capacity`` of ``size >= capacity`` keys to the front, the worst first.

    Quickselect (Hoare, 1961). Keys are distinct.
    """
    low = 0
    high = size - 1
    last = capacity - 1
    while low < high:
        pivot = keys[(low + high) >> 1]
        left = low
        right = high
        while left <= right:
            while keys[left] > pivot:
                left += 1
            while keys[right] < pivot:
                right -= 1
            if left <= right:
                keys[left], keys[right] = keys[right], keys[left]
                left += 1
                right -= 1
        if last <= right:
            high = right
        elif last >= left:
            low = left
        else:
            break
    keys[0], keys[last] = keys[last], keys[0]

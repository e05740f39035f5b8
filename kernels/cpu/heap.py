"""A bounded heap of the best (score, row) pairs, for use inside other kernels.

Order: a higher score is better; of equal scores the lower row is better. The worst kept pair is
at the root. Numba inlines these functions into their callers and caches them by the *calling*
file: a change here must touch ``CACHE_KEY`` in ``kernels.cpu.scoring``.
"""

from __future__ import annotations

from numba import njit


@njit(nogil=True, inline="always")
def worse(score_a, row_a, score_b, row_b):  # type: ignore[no-untyped-def]
    """Whether pair a ranks below pair b."""
    return score_a < score_b or (score_a == score_b and row_a > row_b)


@njit(nogil=True)
def push(scores, rows, size, capacity, score, row):  # type: ignore[no-untyped-def]
    """Offers a pair to the heap and returns the new size.

    Args:
        scores: int64[capacity] heap storage.
        rows: int64[capacity] heap storage.
        size: Pairs kept so far.
        capacity: Most pairs to keep, at least 1.
        score: Score of the new pair.
        row: Row of the new pair.
    """
    if size < capacity:
        at = size
        while at > 0:
            parent = (at - 1) >> 1
            if not worse(score, row, scores[parent], rows[parent]):
                break
            scores[at] = scores[parent]
            rows[at] = rows[parent]
            at = parent
        scores[at] = score
        rows[at] = row
        return size + 1
    if worse(score, row, scores[0], rows[0]):
        return size
    _sift_down(scores, rows, capacity, score, row)
    return size


@njit(nogil=True)
def sort_best_first(scores, rows, size):  # type: ignore[no-untyped-def]
    """Turns the heap into a list in place: best pair first."""
    for last in range(size - 1, 0, -1):
        score = scores[last]
        row = rows[last]
        scores[last] = scores[0]
        rows[last] = rows[0]
        _sift_down(scores, rows, last, score, row)


@njit(nogil=True)
def _sift_down(scores, rows, size, score, row):  # type: ignore[no-untyped-def]
    """Replaces the root of a heap of ``size`` pairs."""
    at = 0
    while True:
        child = 2 * at + 1
        if child >= size:
            break
        if child + 1 < size and worse(
            scores[child + 1], rows[child + 1], scores[child], rows[child]
        ):
            child += 1
        if not worse(scores[child], rows[child], score, row):
            break
        scores[at] = scores[child]
        rows[at] = rows[child]
        at = child
    scores[at] = score
    rows[at] = row

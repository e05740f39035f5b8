"""Sums of token vectors, and scores with the cosines of such sums and a query."""

from __future__ import annotations

import math

import numpy as np
from numba import njit
from numpy.typing import NDArray

VECTOR_STEP = 0.5 / 127
"""What one step of a stored component stands for; components beyond 0.5 saturate."""

QUERY_STEPS = 1 << 22
"""Steps of a query's component that stand for 1; dot products with rows of norm 1 fit 32 bits."""

CACHE_LINE = 64
"""Bytes that come from memory together."""

LARGEST_GAIN = 2.0**60
"""Most that a cosine of 1 may add to an integer score."""


@njit(nogil=True, cache=True)
def pool_tokens(tokens, starts, table, weights, bias, seen, sums):  # type: ignore[no-untyped-def]
    """The sum of each text's token vectors, of norm 1.

    A token that occurs ``c`` times counts ``1 + ln(c)`` times. A text without a token that weighs
    anything gives zeros.

    Args:
        tokens: int32[m] tokens of all texts, each below V.
        starts: int64[n + 1], text ``i`` is ``tokens[starts[i]:starts[i + 1]]``.
        table: int8[V, d].
        weights: float32[V], what a step of a token's vector is worth.
        bias: float32[d], added to every sum.
        seen: int32[V] of zeros, which are zeros again afterwards.
        sums: float32[n, d], gets the result.
    """
    for text in range(len(starts) - 1):
        total = sums[text]
        total[:] = 0
        found = False
        for place in range(starts[text], starts[text + 1]):
            seen[tokens[place]] += 1
        for place in range(starts[text], starts[text + 1]):
            token = tokens[place]
            count = seen[token]
            if count == 0:
                continue
            seen[token] = 0
            factor = np.float32(weights[token] * (1 + math.log(count)))
            if factor != 0:
                found = True
                row = table[token]
                for axis in range(len(total)):
                    total[axis] += factor * np.float32(row[axis])
        if not found:
            continue
        length = 0.0
        for axis in range(len(total)):
            total[axis] += bias[axis]
            length += float(total[axis]) * float(total[axis])
        if length > 0:
            scale = np.float32(1 / math.sqrt(length))
            for axis in range(len(total)):
                total[axis] *= scale


@njit(nogil=True, cache=True)
def pool_query(tokens, counts, table, weights, vector, rounded):  # type: ignore[no-untyped-def]
    """The vector of a query, as :func:`pool_tokens` sums it.

    Args:
        tokens: int64[m], distinct, each below V.
        counts: float64[m], how often each counts.
        table: int8[V, d].
        weights: float32[V], what a step of a token's vector is worth.
        vector: float64[d], gets the sum, of norm 1.
        rounded: int32[d], gets the same in ``QUERY_STEPS``.

    Returns:
        The norm of the sum before it was scaled; if that is 0, nothing was written but zeros.
    """
    vector[:] = 0
    rounded[:] = 0
    for place in range(len(tokens)):
        factor = counts[place] * weights[tokens[place]]
        row = table[tokens[place]]
        for axis in range(len(vector)):
            vector[axis] += factor * row[axis]
    length = 0.0
    for axis in range(len(vector)):
        length += vector[axis] * vector[axis]
    length = math.sqrt(length)
    if length > 0:
        for axis in range(len(vector)):
            vector[axis] /= length
            rounded[axis] = np.int32(np.rint(vector[axis] * QUERY_STEPS))
    return length


@njit(nogil=True, cache=True)
def rank_again(  # type: ignore[no-untyped-def]
    tokens, counts, table, weights, vectors, rows, depth, factor, scores, order
):
    """Adds what is above 0 of a cosine to the first scores and sorts these, highest first.

    Gains are rounded down; of equal scores the first stays first.

    Args:
        tokens: int64[m], a query's distinct tokens, each below V.
        counts: float64[m], how often each counts.
        table: int8[V, d].
        weights: float32[V], what a step of a token's vector is worth.
        vectors: int8[N, d] of passages, in steps of ``VECTOR_STEP``.
        rows: int64[depth] at least, the passage of each document, below N.
        depth: How many of the ``n`` are ranked again.
        factor: What a cosine of 1 adds, from 0 to ``LARGEST_GAIN``.
        scores: int64[n], falling, at most ``LARGEST_GAIN``; changed.
        order: int64[n], 0 to ``n - 1``; gets the old places of the scores.
    """
    query = np.empty(table.shape[1], dtype=np.float64)
    rounded = np.empty(table.shape[1], dtype=np.int32)
    if pool_query(tokens, counts, table, weights, query, rounded) == 0:
        return
    step = factor * VECTOR_STEP / QUERY_STEPS
    # A cache line of each row in turn, and all before a comparison: the rows come from memory side
    # by side, where one row after the other, or a branch, would wait for each.
    dots = np.zeros(depth, dtype=np.int32)
    for first in range(0, len(rounded), CACHE_LINE):
        axes = slice(first, first + CACHE_LINE)
        part = rounded[axes]
        for place in range(depth):
            row = vectors[rows[place], axes]
            dot = np.int32(0)
            for axis in range(len(part)):
                dot += np.int32(row[axis]) * part[axis]
            dots[place] += dot
    for place in range(depth):
        gain = np.int64(min(step * max(np.int32(0), dots[place]), 2 * LARGEST_GAIN))
        score = scores[place] + gain
        free = place
        while free > 0 and scores[free - 1] < score:
            scores[free] = scores[free - 1]
            order[free] = order[free - 1]
            free -= 1
        scores[free] = score
        order[free] = place


def warm_up(vectors: NDArray[np.int8]) -> None:
    """Compiles what a query needs, or loads it, for vectors and tables of this kind of array.

    Args:
        vectors: int8[N, d] as an index maps it.
    """
    dimensions = vectors.shape[1]
    weights = np.ones(1, dtype=np.float32)
    weights.flags.writeable = False
    vector, rounded = np.empty(dimensions), np.empty(dimensions, dtype=np.int32)
    tokens = np.zeros(min(1, len(vectors)), dtype=np.int64)
    counts, zeros = np.ones(len(tokens)), np.zeros(1, dtype=np.int64)
    pool_query(tokens, counts, vectors, weights, vector, rounded)
    for passages in (vectors, vectors[tokens]):  # of one segment, and gathered from several
        rank_again(tokens, counts, vectors, weights, passages, zeros, 0, 1.0, zeros, zeros)

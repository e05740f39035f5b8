"""How often each term stands in each text, from the number of every token's term."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from encoders.base import SparseRows


def count_terms(
    lengths: NDArray[np.int64], numbers: NDArray[np.int64], term: Callable[[int], str]
) -> SparseRows:
    """Rows of counts from the term number of every token, -1 for a token without a term.

    The rows have only the terms that occur, numbered anew in the order of their numbers.

    Args:
        lengths: int64[n], tokens of each text.
        numbers: int64, the tokens of all texts one after the other.
        term: The term of a number.

    >>> count_terms(np.array([2, 1]), np.array([1, 1, 0]), "ab".__getitem__).weights.tolist()
    [2.0, 1.0]
    """
    rows = np.repeat(np.arange(len(lengths), dtype=np.int64), lengths)
    kept = numbers >= 0
    width = int(numbers.max(initial=0)) + 1
    keys, counts = np.unique(rows[kept] * width + numbers[kept], return_counts=True)
    indptr = np.searchsorted(keys, np.arange(len(lengths) + 1, dtype=np.int64) * width)
    used, dimensions = np.unique(keys % width, return_inverse=True)
    return SparseRows(
        indptr.astype(np.int64),
        dimensions.astype(np.uint32),
        counts.astype(np.float32),
        [term(number) for number in used.tolist()],
    )

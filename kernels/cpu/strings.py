"""Reading strings out of one array of bytes."""

from __future__ import annotations

import numpy as np
from numba import njit
from numpy.typing import NDArray


def join_strings(
    content: NDArray[np.uint8],
    offsets: NDArray[np.uint64],
    numbers: NDArray[np.int64],
    separator: int,
) -> NDArray[np.uint8]:
    """uint8[m]: strings by their numbers, one byte after each.

    Args:
        content: uint8[m] all strings, one after the other.
        offsets: uint64[n + 1] where each begins; ascending, the last at most ``len(content)``.
        numbers: int64[k] which ones, in this order.
        separator: The byte.

    Raises:
        IndexError: There is no string of one of the numbers.

    >>> content = np.frombuffer(b"doc1doc22", dtype=np.uint8)
    >>> offsets = np.array([0, 4, 9], dtype=np.uint64)
    >>> join_strings(content, offsets, np.array([1, 0]), ord(" ")).tobytes()
    b'doc22 doc1 '
    """
    joined: NDArray[np.uint8] = _join(content, offsets, numbers, separator)
    if len(joined) < len(numbers):
        raise IndexError(
            f"string numbers must lie between 0 and {len(offsets) - 2}, got {numbers.min()} to "
            f"{numbers.max()}."
        )
    return joined


@njit(nogil=True, cache=True)
def _join(content, offsets, numbers, separator):  # type: ignore[no-untyped-def]
    """As above; nothing where there is no such string."""
    size = np.uint64(len(numbers))
    for number in numbers:
        if number < 0 or number >= len(offsets) - 1:
            return np.empty(0, np.uint8)
        size += offsets[number + 1] - offsets[number]
    joined = np.empty(np.int64(size), np.uint8)
    at = np.uint64(0)
    for number in numbers:
        for place in range(offsets[number], offsets[number + 1]):
            joined[at] = content[place]
            at += np.uint64(1)
        joined[at] = separator
        at += np.uint64(1)
    return joined

"""Searching one segment's postings: scratch memory, the scoring kernel, and the order of hits."""

from __future__ import annotations

import bisect
import threading
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from kernels.cpu.scoring import search_segment

_scratch = threading.local()

_Scratch = tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]


class WindowedPostings(Protocol):
    """Arrays of the windowed layout; ``kernels.cpu.scoring.search_segment`` describes each."""

    @property
    def posting_start(self) -> NDArray[np.int64]: ...  # noqa: D102
    @property
    def local_ids(self) -> NDArray[np.uint16]: ...  # noqa: D102
    @property
    def impacts(self) -> NDArray[np.uint8]: ...  # noqa: D102
    @property
    def rare_windows(self) -> NDArray[np.uint16]: ...  # noqa: D102
    @property
    def rare_start(self) -> NDArray[np.int64]: ...  # noqa: D102
    @property
    def directory(self) -> NDArray[np.int32]: ...  # noqa: D102
    @property
    def window_start(self) -> NDArray[np.uint32]: ...  # noqa: D102
    @property
    def window_max(self) -> NDArray[np.uint8]: ...  # noqa: D102
    @property
    def columns(self) -> NDArray[np.uint8]: ...  # noqa: D102
    @property
    def column_max(self) -> NDArray[np.uint8]: ...  # noqa: D102
    @property
    def max_impact(self) -> NDArray[np.uint8]: ...  # noqa: D102
    @property
    def kth_impact(self) -> NDArray[np.uint8]: ...  # noqa: D102
    @property
    def window_bits(self) -> int: ...  # noqa: D102
    @property
    def row_count(self) -> int: ...  # noqa: D102


def search_postings(
    postings: WindowedPostings,
    dimensions: NDArray[np.int64],
    weights: NDArray[np.int64],
    k: int,
    alive: NDArray[np.uint8] | None = None,
    threshold: int = 0,
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """The best ``k`` rows: integer scores int64[m] and rows int64[m], best first.

    Equal scores are ordered by ascending row. Safe to call from several threads.

    Args:
        postings: One segment's postings of one space.
        dimensions: int64[q] distinct dimensions.
        weights: int64[q] query weights >= 1, whose sum times 255 stays below 2**63.
        k: Most rows.
        alive: uint8 per row, 0 excludes; ``None`` or an empty array excludes none.
        threshold: Only scores above it count.
    """
    k = min(k, postings.row_count)
    scores = np.empty(k, dtype=np.int64)
    rows = np.empty(k, dtype=np.int64)
    if k == 0 or len(dimensions) == 0:
        return scores[:0], rows[:0]
    found = search_segment(
        postings.posting_start,
        postings.local_ids,
        postings.impacts,
        postings.rare_windows,
        postings.rare_start,
        postings.directory,
        postings.window_start,
        postings.window_max,
        postings.columns,
        postings.column_max,
        postings.max_impact,
        postings.kth_impact,
        postings.window_bits,
        postings.row_count,
        dimensions,
        weights,
        _NONE_EXCLUDED if alive is None else alive,
        k,
        bisect.bisect_left(KTH_RANKS, k),
        threshold,
        *_scratch_arrays(postings.window_bits),
        scores,
        rows,
    )
    return scores[:found], rows[:found]


KTH_RANKS = (1, 10, 100, 1000)
"""Columns of ``WindowedPostings.kth_impact``."""

_NONE_EXCLUDED = np.zeros(0, dtype=np.uint8)


def _scratch_arrays(window_bits: int) -> _Scratch:
    """This thread's accumulators, which the kernel leaves all zeros, and room for candidates."""
    key = f"window_{window_bits}"
    if not hasattr(_scratch, key):
        size = 1 << window_bits
        arrays = (np.zeros(size, np.int64), np.empty(size, np.int64), np.empty(size, np.int64))
        setattr(_scratch, key, arrays)
    found: _Scratch = getattr(_scratch, key)
    return found

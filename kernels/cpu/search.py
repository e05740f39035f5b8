"""Searching one segment's postings: scratch memory, the scoring kernel, and the order of hits."""

from __future__ import annotations

import bisect
import math
import os
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import cache
from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from kernels.cpu.heap import LOWER
from kernels.cpu.inversion import KTH_RANKS
from kernels.cpu.layout import RARE, WindowedLayout
from kernels.cpu.processors import usable_cpus
from kernels.cpu.scoring import SMALL_K, search_segment

LARGEST_SCORE = 2**31 - 1
"""No score may exceed it: the sum of a query's weights times 255 has to stay within."""


class _Scratch(NamedTuple):
    """Memory of one thread for searches of one window size.

    Attributes:
        accumulator: int32[W], which the kernel leaves all zeros.
        locals_: uint32[W], room for candidates.
        partial: int32[W], room for candidates.
        keys: int64[SMALL_K], room for what a search of few rows finds.
        counts: int64[4], room for what it cost.
    """

    accumulator: NDArray[np.int32]
    locals_: NDArray[np.uint32]
    partial: NDArray[np.int32]
    keys: NDArray[np.int64]
    counts: NDArray[np.int64]


class _ScratchMemory(threading.local):
    """Scratch memory of a thread, by the size of windows."""

    def __init__(self) -> None:
        self.of_window_bits: dict[int, _Scratch] = {}


_scratch = _ScratchMemory()


class WindowedPostings(Protocol):
    """What is searched: one segment's postings of one space."""

    @property
    def layout(self) -> WindowedLayout: ...  # noqa: D102


@dataclass(frozen=True)
class Approximation:
    """Limits that trade recall for time; the defaults are exact.

    Attributes:
        clip: Bounds take no impact for more than this (1 to 255), so that rows with larger ones
            may be missed.
        window_budget: Most windows to visit, in descending order of bound; 0 for all.
        posting_budget: Cost (``SearchWork.cost``) after which no further window is begun,
            windows in descending order of bound; 0 for no end. A bound on the time of a query,
            to within the cost of one window of 16,384 rows per segment, which is always finished.
    """

    clip: int = 255
    window_budget: int = 0
    posting_budget: int = 0

    def __post_init__(self) -> None:
        if not 1 <= self.clip <= 255 or self.window_budget < 0 or self.posting_budget < 0:
            raise ValueError(
                f"clip must lie between 1 and 255 and budgets must not be negative, got {self}."
            )

    @property
    def is_exact(self) -> bool:
        """Whether there is no limit."""
        return self == EXACT

    @property
    def is_clipped(self) -> bool:
        """Whether bounds may be too low."""
        return self.clip < 255

    @property
    def is_budgeted(self) -> bool:
        """Whether a budget may end a search early."""
        return self.window_budget > 0 or self.posting_budget > 0

    def is_met_by(self, windows: int, cost: int) -> bool:
        """Whether a search that visited so many windows at this cost was at a budget's end."""
        return 0 < self.window_budget <= windows or 0 < self.posting_budget <= cost

    def share(self, fraction: float, spent: SearchWork) -> Approximation:
        """What is left for ``fraction`` of the rows that are still to be searched.

        A budget that is used up leaves one window, or one posting, and so again one window.
        """
        windows, postings = self.window_budget, self.posting_budget
        return replace(
            self,
            window_budget=windows and max(1, math.ceil((windows - spent.windows) * fraction)),
            posting_budget=postings and max(1, math.ceil((postings - spent.cost) * fraction)),
        )


EXACT = Approximation()


@dataclass
class SearchWork:
    """What searches cost, in units that do not depend on the machine; they add up.

    Attributes:
        windows: Windows visited.
        postings: Postings accumulated, or looked up in the same time: a row of a dense column
            counts as an eighth, a binary search as 32, a look-up by row as one.
        candidates: Rows that were completed by looking terms up.
        overhead: What else takes time, in the same unit: a term in a visited window counts as
            64, a candidate as 8, a row that is kept as 64.
        is_cut: Whether a search met its budget, so that it may have missed something.
    """

    windows: int = 0
    postings: int = 0
    candidates: int = 0
    overhead: int = 0
    is_cut: bool = False

    @property
    def cost(self) -> int:
        """What a posting budget limits."""
        return self.postings + self.overhead


def search_postings(
    postings: WindowedPostings,
    dimensions: NDArray[np.int64],
    weights: NDArray[np.int64],
    k: int,
    alive: NDArray[np.uint8] | None = None,
    threshold: int = 0,
    arrival: NDArray[np.uint32] | None = None,
    row_of_arrival: NDArray[np.uint32] | None = None,
    *,
    approximation: Approximation = EXACT,
    threads: int = 1,
    work: SearchWork | None = None,
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """The best ``k`` rows: integer scores int64[m] and rows int64[m], best first.

    Equal scores are ordered by arrival. Safe to call from several threads, and after a fork.

    Args:
        postings: One segment's postings of one space.
        dimensions: int64[q] distinct dimensions.
        weights: int64[q] query weights >= 1, whose sum times 255 is at most ``LARGEST_SCORE``.
        k: Most rows.
        alive: uint8 per row, 0 excludes; ``None`` or an empty array excludes none.
        threshold: Only scores above it count.
        arrival: uint32 per row, the position at which it arrived; ``None`` or an empty array if
            rows are in order of arrival.
        row_of_arrival: The inverse of ``arrival``.
        approximation: What may be left out.
        threads: Threads for this query, each for a share of the windows; a query of rare terms
            or under a budget uses one.
        work: Where to add what the search cost.

    Raises:
        ValueError: ``alive`` or ``arrival`` does not have one value per row.
    """
    layout = postings.layout
    row_count = layout.row_count
    # Numbers of numpy would wrap around, or give the kernel other types than it is compiled for.
    k = min(int(k), row_count)
    if k == 0 or len(dimensions) == 0:
        return np.zeros(0, np.int64), np.zeros(0, np.int64)
    alive = _NONE_EXCLUDED if alive is None else alive
    arrival = _IN_ORDER if arrival is None else arrival
    if len(alive) not in (0, row_count) or len(arrival) not in (0, row_count):
        raise ValueError(
            f"alive and arrival must have {row_count} values or none, got {len(alive)} and "
            f"{len(arrival)}."
        )
    windows = ((row_count - 1) >> layout.window_bits) + 1
    shares = _shares(layout, dimensions, threads, windows, approximation)
    shared_floor = np.zeros(1, dtype=np.int64)

    def search(share: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        accumulator, locals_, partial, keys, counts = _scratch_of(layout.window_bits)
        if k > SMALL_K:
            keys = np.empty(min(2 * k, row_count + 1), dtype=np.int64)
        try:
            found = search_segment(
                tuple(layout),
                dimensions,
                weights,
                alive,
                arrival,
                k,
                bisect.bisect_left(KTH_RANKS, k),
                int(threshold),
                (windows * share // shares, windows * (share + 1) // shares),
                approximation.clip,
                approximation.window_budget,
                approximation.posting_budget,
                shared_floor,
                accumulator,
                locals_,
                partial,
                keys,
                counts,
            )
        except BaseException:  # out of memory: the accumulator may not be all zeros
            _scratch.of_window_bits.clear()
            raise
        return keys[:found], counts

    def search_share(share: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        keys, counts = search(share)
        return keys.copy(), counts.copy()  # its thread may search another share

    if shares == 1:
        keys, counts = search(0)
    else:
        found = list(_pool().map(search_share, range(shares)))
        keys = np.concatenate([keys for keys, _ in found])
        counts = np.sum([counts for _, counts in found], axis=0)
    if work is not None:
        work.windows += int(counts[0])
        work.postings += int(counts[1])
        work.candidates += int(counts[2])
        work.overhead += int(counts[3])
        work.is_cut |= approximation.is_met_by(int(counts[0]), int(counts[1] + counts[3]))
    keys.sort()
    keys = keys[::-1][:k]
    rows = LOWER - (keys & LOWER)
    if row_of_arrival is not None and len(row_of_arrival) > 0:
        rows = row_of_arrival[rows].astype(np.int64)
    return keys >> 32, rows


_NONE_EXCLUDED = np.zeros(0, dtype=np.uint8)

_IN_ORDER = np.zeros(0, dtype=np.uint32)
_IN_ORDER.flags.writeable = False


def _shares(
    layout: WindowedLayout,
    dimensions: NDArray[np.int64],
    threads: int,
    windows: int,
    approximation: Approximation,
) -> int:
    """Into how many shares of the windows a search is cut, one thread each."""
    if threads <= 1 or approximation.is_budgeted:
        return 1
    if (layout.directory[dimensions] == RARE).all():
        return 1
    return min(threads, windows, usable_cpus())


@cache
def _pool() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(usable_cpus(), thread_name_prefix="search")


# A forked process has none of its parent's threads, and would wait for them forever.
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_pool.cache_clear)


def _scratch_of(window_bits: int) -> _Scratch:
    """This thread's memory."""
    found = _scratch.of_window_bits.get(window_bits)
    if found is None:
        size = 1 << window_bits
        found = _scratch.of_window_bits[window_bits] = _Scratch(
            np.zeros(size, np.int32),
            np.empty(size, np.uint32),
            np.empty(size, np.int32),
            np.empty(SMALL_K, np.int64),
            np.empty(4, np.int64),
        )
    return found

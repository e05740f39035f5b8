"""Rates of the machine: memory, and the kernel's own loops on data in cache."""

from __future__ import annotations

import time
from collections.abc import Callable

import numpy as np
from numba import njit

from benchmarks.reporting import markdown_table
from indexer.format.postings import WINDOW_BITS
from kernels.cpu.accumulation import accumulate, accumulate_column, revisit, scan
from kernels.cpu.search import _scratch_of

WINDOW = 1 << WINDOW_BITS
POSTINGS = 1000
CALLS = 200


@njit(nogil=True)
def _accumulate_many(accumulator, local_ids, impacts, calls):  # type: ignore[no-untyped-def]
    for call in range(calls):
        accumulate(accumulator, local_ids[call], impacts[call], 3)
    accumulator[:] = 0


@njit(nogil=True)
def _accumulate_columns(accumulator, column, calls):  # type: ignore[no-untyped-def]
    for _ in range(calls):
        accumulate_column(accumulator, column, 3)
    accumulator[:] = 0


@njit(nogil=True)
def _scan_many(accumulator, locals_, partial, calls):  # type: ignore[no-untyped-def]
    for _ in range(calls):
        scan(accumulator, 5, locals_, partial)


@njit(nogil=True)
def _revisit_many(accumulator, local_ids, locals_, partial, calls):  # type: ignore[no-untyped-def]
    for call in range(calls):
        revisit(accumulator, local_ids[call], 5, locals_, partial, 0)


def measure_rates() -> dict[str, float]:
    """Nanoseconds per posting or row, and GB/s; best of several, prints a table."""
    rng = np.random.default_rng(0)
    accumulator, locals_, partial, *_ = _scratch_of(WINDOW_BITS)
    local_ids = np.stack(
        [np.sort(rng.choice(WINDOW, POSTINGS, replace=False)) for _ in range(CALLS)]
    ).astype(np.uint16)
    impacts = rng.integers(1, 256, local_ids.shape).astype(np.uint8)
    column = rng.integers(0, 256, WINDOW).astype(np.uint8)
    memory = np.ones(1 << 28, dtype=np.uint8)
    postings, rows = CALLS * POSTINGS, CALLS * WINDOW
    scatter = _seconds(lambda: _accumulate_many(accumulator, local_ids, impacts, CALLS))
    dense = _seconds(lambda: _accumulate_columns(accumulator, column, CALLS))
    scanned = _seconds(lambda: _scan_many(accumulator, locals_, partial, CALLS))
    again = _seconds(lambda: _revisit_many(accumulator, local_ids, locals_, partial, CALLS))
    stream = _seconds(memory.view(np.uint64).max, 5)
    rates = {
        "stream_gb_per_s": len(memory) / stream / 1e9,
        "accumulate_ns_per_posting": 1e9 * scatter / postings,
        "revisit_ns_per_posting": 1e9 * again / postings,
        "column_ns_per_row": 1e9 * dense / rows,
        "scan_ns_per_row": 1e9 * scanned / rows,
    }
    rows_of_table = [[name, f"{value:.3f}"] for name, value in rates.items()]
    print(markdown_table(["rate of this machine", ""], rows_of_table), flush=True)
    return rates


def _seconds(work: Callable[[], object], repeats: int = 30) -> float:
    work()
    best = float("inf")
    for _ in range(repeats):
        begin = time.perf_counter()
        work()
        best = min(best, time.perf_counter() - begin)
    return best

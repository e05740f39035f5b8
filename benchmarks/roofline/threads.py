"""Two threads: queries side by side, and one query shared."""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np

from benchmarks.roofline.collection import Collection, microseconds, searching, summary
from benchmarks.roofline.rates import CALLS, POSTINGS, WINDOW, _accumulate_many

THREADS = 2
ROUNDS = 5


def measure_threads(collection: Collection) -> dict[str, Any]:
    """Throughput of two threads over one, for searches and for a loop that only scatters."""
    postings = collection.sample(10**9)
    queries = collection.queries
    search = searching(postings, 10)

    def search_all(part: int, parts: int) -> None:
        for query in queries[part::parts]:
            search(query)

    rng = np.random.default_rng(0)
    local_ids = np.stack(
        [np.sort(rng.choice(WINDOW, POSTINGS, replace=False)) for _ in range(CALLS)]
    ).astype(np.uint16)
    impacts = rng.integers(1, 256, local_ids.shape).astype(np.uint8)

    def scatter(part: int, parts: int) -> None:
        accumulator = np.zeros(WINDOW, dtype=np.int32)
        for _ in range(1000 // parts):
            _accumulate_many(accumulator, local_ids, impacts, CALLS)

    searches, control = [], []
    for _ in range(ROUNDS):
        searches.append(_speed_up(search_all))
        control.append(_speed_up(scatter))
    shared = {
        str(threads): summary(
            microseconds(searching(postings, 1000, threads=threads), queries[:300], 3)
        )
        for threads in (1, THREADS)
    }
    result = {
        "search_speed_up": float(np.median(searches)),
        "scatter_speed_up": float(np.median(control)),
        "share_of_control": float(np.median(searches) / np.median(control)),
        "one_query_k1000": shared,
    }
    print(f"\n{collection.name}: two threads: {result}", flush=True)
    return result


def _speed_up(work: Callable[[int, int], None]) -> float:
    work(0, 1)
    begin = time.perf_counter()
    work(0, 1)
    alone = time.perf_counter() - begin
    with ThreadPoolExecutor(THREADS) as pool:
        list(pool.map(lambda part: work(part, THREADS), range(THREADS)))
        begin = time.perf_counter()
        list(pool.map(lambda part: work(part, THREADS), range(THREADS)))
        return alone / (time.perf_counter() - begin)

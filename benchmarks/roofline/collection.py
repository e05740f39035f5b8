"""Vectors and questions of ``benchmarks.engine``, as the kernel takes them."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from indexer.format.postings import ImpactRows, Postings, build_postings
from kernels.cpu.search import search_postings
from retriever.query import QueryTerm, integer_query

Query = tuple[NDArray[np.int64], NDArray[np.int64]]


@dataclass(frozen=True)
class Collection:
    """Rows of impacts, the standard questions and the many of the tail, with integer weights."""

    name: str
    rows: ImpactRows
    queries: Sequence[Query]
    tail: Sequence[Query]

    def sample(self, count: int) -> Postings:
        """Postings of so many records, evenly spread."""
        total = len(self.rows.indptr) - 1
        if count >= total:
            return build_postings([self.rows])
        chosen = np.linspace(0, total - 1, count).astype(np.int64)
        sizes = np.diff(self.rows.indptr)[chosen]
        indptr = np.concatenate([[0], np.cumsum(sizes)])
        take = np.repeat(self.rows.indptr[chosen] - indptr[:-1], sizes) + np.arange(indptr[-1])
        dimensions, impacts = self.rows.dimensions[take], self.rows.impacts[take]
        return build_postings([ImpactRows(indptr, dimensions, impacts, self.rows.dimension_count)])


def load_collection(path: Path, queries: int) -> Collection:
    """Reads the arrays of ``benchmarks.engine.learned``."""
    with np.load(path) as arrays:
        size = int(max(arrays["dimensions"].max(), arrays["query_dimensions"].max())) + 1
        rows = ImpactRows(
            arrays["indptr"].astype(np.int64), arrays["dimensions"], arrays["impacts"], size
        )
        standard = _queries(arrays, "query")[:queries]
        return Collection(path.stem, rows, standard, _queries(arrays, "tail"))


def _queries(arrays: Any, prefix: str) -> list[Query]:
    starts = arrays[f"{prefix}_indptr"]
    dimensions, weights = arrays[f"{prefix}_dimensions"], arrays[f"{prefix}_weights"]
    result = []
    for first, last in pairwise(starts.tolist()):
        terms = [QueryTerm("", "", float(weight), 1.0, ()) for weight in weights[first:last]]
        if terms:
            result.append((dimensions[first:last].astype(np.int64), integer_query(terms).weights))
    return result


def searching(postings: Postings, k: int, **options: Any) -> Callable[[Query], object]:
    """``search_postings`` with everything but the query."""

    def search(query: Query) -> object:
        dimensions, weights = query
        return search_postings(postings, dimensions, weights, k, **options)

    return search


def microseconds(search: Callable[[Query], object], queries: Sequence[Query], passes: int) -> Any:
    """float64[queries] median over passes of each query's time."""
    times = np.empty((passes, len(queries)))
    for number in range(passes):
        for i, query in enumerate(queries):
            begin = time.perf_counter_ns()
            search(query)
            times[number, i] = time.perf_counter_ns() - begin
    return np.median(times, axis=0) / 1000


def summary(times: NDArray[np.float64]) -> dict[str, float]:
    """Mean and percentiles."""
    p50, p95, p99 = np.percentile(times, [50, 95, 99])
    return {"mean_us": float(times.mean()), "p50_us": p50, "p95_us": p95, "p99_us": p99}

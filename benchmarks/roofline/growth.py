"""Cost per query as the collection grows."""

from __future__ import annotations

from typing import Any

import numpy as np

from benchmarks.engine.statistics import growth_exponent
from benchmarks.reporting import markdown_table
from benchmarks.roofline.collection import Collection, Query, microseconds, searching, summary
from indexer.format.postings import Postings
from kernels.cpu.search import SearchWork, search_postings

SIZES = (100_000, 200_000, 400_000, 10**9)
RARE_DOC_FREQ = 100
RARE_TERMS = (1, 2, 5, 10)


def measure_growth(collection: Collection, passes: int) -> dict[str, Any]:
    """Time and work per query for several numbers of records, and the exponent of the growth.

    Work is ``SearchWork.postings``: postings added up, or what takes as long in columns and
    look-ups.
    """
    points = []
    for size in SIZES:
        postings = collection.sample(size)
        for k in (10, 100, 1000):
            points.append(_point(postings, collection, k, passes))
    exponents = {}
    for k in (10, 100, 1000):
        exponents[str(k)] = growth_exponent(
            {point["records"]: point["mean_us"] for point in points if point["k"] == k}
        )
    header = [
        "records",
        "k",
        "mean us",
        "p99",
        "p99/p50",
        "windows",
        "additions",
        "of all",
        "candidates",
        "ns/addition",
    ]
    print(f"\n{collection.name}: growth\n\n{markdown_table(header, map(_shown, points))}")
    print(f"\nexponent of time in N: {exponents}", flush=True)
    return {"points": points, "exponents": exponents}


def _point(postings: Postings, collection: Collection, k: int, passes: int) -> dict[str, Any]:
    def search(query: Query) -> object:
        return search_postings(postings, *query, k)

    work = SearchWork()
    for query in collection.queries:
        search_postings(postings, *query, k, work=work)
    times = microseconds(search, collection.queries, passes)
    count = len(collection.queries)
    lengths = np.diff(postings.posting_start)
    column = np.flatnonzero(postings.directory <= -2)
    lengths[column] = np.count_nonzero(postings.columns[-2 - postings.directory[column]], axis=1)
    everything = sum(int(lengths[dimensions].sum()) for dimensions, _ in collection.queries)
    return {
        "records": postings.row_count,
        "k": k,
        **summary(times),
        "windows": work.windows / count,
        "additions": work.postings / count,
        "candidates": work.candidates / count,
        "postings_of_terms": everything / count,
    }


def _shown(point: dict[str, Any]) -> list[str]:
    return [
        f"{point['records']:,}",
        str(point["k"]),
        f"{point['mean_us']:.0f}",
        f"{point['p99_us']:.0f}",
        f"{point['p99_us'] / point['p50_us']:.1f}",
        f"{point['windows']:.0f}",
        f"{point['additions']:,.0f}",
        f"{point['additions'] / point['postings_of_terms']:.2f}",
        f"{point['candidates']:,.0f}",
        f"{1000 * point['mean_us'] / point['additions']:.2f}",
    ]


def measure_rare(collection: Collection) -> list[dict[str, Any]]:
    """Queries of terms with at most 100 postings each, at two sizes."""
    rng = np.random.default_rng(0)
    results = []
    for size in (100_000, 10**9):
        postings = collection.sample(size)
        frequencies = np.diff(postings.posting_start)
        rare = np.flatnonzero((frequencies > RARE_DOC_FREQ // 2) & (frequencies <= RARE_DOC_FREQ))
        for terms in RARE_TERMS:
            if len(rare) < terms:
                continue
            queries = [
                (rng.choice(rare, terms, replace=False), np.full(terms, 1000)) for _ in range(500)
            ]
            times = microseconds(searching(postings, 10), queries, 3)
            results.append({"records": postings.row_count, "terms": terms, **summary(times)})
    header = ["records", "rare terms", "mean us", "p99"]
    rows = [
        [f"{r['records']:,}", str(r["terms"]), f"{r['mean_us']:.1f}", f"{r['p99_us']:.1f}"]
        for r in results
    ]
    print(f"\n{collection.name}: terms of {RARE_DOC_FREQ // 2} to {RARE_DOC_FREQ} postings\n")
    print(markdown_table(header, rows), flush=True)
    return results

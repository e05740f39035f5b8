"""Approximate search: what limits save and what they lose, against the exact hits."""

from __future__ import annotations

from typing import Any

import numpy as np

from benchmarks.reporting import markdown_table
from benchmarks.roofline.collection import Collection, microseconds, searching, summary
from kernels.cpu.search import EXACT, Approximation, SearchWork, search_postings

SETTINGS = {
    "exact": EXACT,
    **{f"{n} windows": Approximation(window_budget=n) for n in (4, 8, 16, 32)},
    **{f"{n:,} postings": Approximation(posting_budget=n) for n in (20_000, 50_000, 100_000)},
    **{f"clip {n}": Approximation(clip=n) for n in (32, 64, 128)},
}
BUDGET = 200_000


def measure_limits(collection: Collection, passes: int) -> list[dict[str, Any]]:
    """Time and recall per setting and k; a hit that ties with the last exact one counts."""
    postings = collection.sample(10**9)
    results = []
    for k in (10, 100, 1000):
        exact = [search_postings(postings, *query, k)[0] for query in collection.queries]
        for name, limit in SETTINGS.items():
            recalls = []
            for query, truth in zip(collection.queries, exact, strict=True):
                found = search_postings(postings, *query, k, approximation=limit)[0]
                if len(truth):
                    recalls.append(np.count_nonzero(found >= truth[-1]) / len(truth))
            limited = searching(postings, k, approximation=limit)
            times = microseconds(limited, collection.queries, passes)
            row = {"setting": name, "k": k, "recall": float(np.mean(recalls)), **summary(times)}
            results.append(row)
    rows = [
        [
            str(r["k"]),
            r["setting"],
            f"{r['recall']:.3f}",
            f"{r['mean_us']:.0f}",
            f"{r['p99_us']:.0f}",
        ]
        for r in results
    ]
    header = ["k", "setting", "recall", "mean us", "p99"]
    print(f"\n{collection.name}: limits\n\n{markdown_table(header, rows)}", flush=True)
    return results


def measure_budget_tail(collection: Collection) -> dict[str, Any]:
    """p99.9 over many queries under a posting budget, and the time that the budget predicts.

    The prediction is a line through the time of exact searches as a function of the postings
    that they touch, at the budget.
    """
    postings = collection.sample(10**9)
    limit = Approximation(posting_budget=BUDGET)
    result: dict[str, Any] = {"budget": BUDGET}
    for k in (10, 1000):
        touched = []
        for query in collection.queries:
            work = SearchWork()
            search_postings(postings, *query, k, work=work)
            touched.append(work.cost)
        times = microseconds(searching(postings, k), collection.queries, 3)
        slope, base = np.polyfit(touched, times, 1)
        predicted = float(base + slope * BUDGET)
        for name, approximation in (("exact", EXACT), ("budget", limit)):
            limited = searching(postings, k, approximation=approximation)
            tail = microseconds(limited, collection.tail, 3)
            result[f"k{k}_{name}"] = {
                "queries": len(tail),
                **summary(tail),
                "p99_9_us": float(np.percentile(tail, 99.9)),
                "largest_us": float(tail.max()),
            }
        result[f"k{k}_predicted_us"] = predicted
        result[f"k{k}_p99_9_over_prediction"] = result[f"k{k}_budget"]["p99_9_us"] / predicted
    print(f"\n{collection.name}: posting budget: {result}", flush=True)
    return result

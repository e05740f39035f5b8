"""Numbers of the table: medians over passes, tails over queries, paired ratios."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

RESAMPLES = 2_000


def per_query_medians(passes: Sequence[Sequence[int]]) -> NDArray[np.float64]:
    """Microseconds per query: the median over passes of nanoseconds."""
    return np.median(np.asarray(passes, dtype=np.float64), axis=0) / 1000


def latencies(times: NDArray[np.float64]) -> dict[str, float]:
    """Mean and percentiles over queries, in microseconds; p99.9 from 10,000 queries on."""
    shares = [50, 95, 99, *([99.9] if len(times) >= 10_000 else [])]
    tails = np.percentile(times, shares)
    names = [f"p{share:g}_us" for share in shares]
    return {"mean_us": float(times.mean()), **dict(zip(names, tails.tolist(), strict=True))}


def bootstrap_ratio(ours: ArrayLike, theirs: ArrayLike) -> tuple[float, float, float]:
    """Ratio of means and its 95 % interval over resampled queries, the same for both sides."""
    one, other = np.asarray(ours, dtype=np.float64), np.asarray(theirs, dtype=np.float64)
    rng = np.random.default_rng(0)
    ratios = np.empty(RESAMPLES)
    for number in range(RESAMPLES):
        picked = rng.integers(0, len(one), len(one))
        ratios[number] = one[picked].mean() / other[picked].mean()
    low, high = np.percentile(ratios, [2.5, 97.5])
    return float(one.mean() / other.mean()), float(low), float(high)


def growth_exponent(times: Mapping[int, float]) -> float:
    """``b`` of the fit ``time = a * N^b``: a line through the logarithms.

    Args:
        times: By number of records.

    >>> round(growth_exponent({100: 3.0, 200: 6.0, 400: 12.0}), 6)
    1.0
    """
    return float(np.polyfit(np.log(list(times)), np.log(list(times.values())), 1)[0])

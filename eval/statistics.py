"""Tests on paired differences, one difference per query."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

Differences = NDArray[np.float64]
"""float64[queries]: value of A minus value of B, one for each query."""

_CHUNK_BYTES = 1 << 25


def paired_t_test(differences: Differences) -> float:
    """Two-sided p-value of Student's paired t-test; 1 when all differences are 0.

    NaN for fewer than two queries, where the test is not defined.
    """
    from scipy.stats import t

    n = len(differences)
    if n < 2:
        return math.nan
    if not differences.any():
        return 1.0
    deviation = float(np.std(differences, ddof=1))
    if deviation <= 1e-12 * abs(float(differences[0])):  # all alike: the statistic is infinite
        return 0.0
    statistic = float(np.mean(differences)) / (deviation / math.sqrt(n))
    return float(2 * t.sf(abs(statistic), n - 1))


def randomisation_test(
    differences: Differences, permutations: int = 10_000, seed: int = 0
) -> float:
    """Two-sided p-value of Fisher's paired randomisation test of the mean difference.

    Under the null hypothesis the sign of every difference is a coin flip. All assignments of
    signs are enumerated where there are no more than ``permutations``; else that many are
    drawn, and p = (1 + those at least as extreme) / (1 + permutations), which is never 0
    (Smucker, Allan and Carterette, CIKM 2007).

    Args:
        differences: One per query.
        permutations: How many assignments of signs to draw.
        seed: Of the generator; equal seeds give equal p-values.
    """
    changed = differences[differences != 0]  # the sign of a 0 does not matter
    if not len(changed):
        return 1.0
    # Sums of the same numbers in another order may differ in their last bits.
    threshold = abs(float(changed.sum())) - 1e-12 * float(np.abs(changed).sum())
    if 2 ** len(changed) <= permutations:
        numbers = np.arange(2 ** len(changed))[:, None]
        signs = 1.0 - 2.0 * (numbers >> np.arange(len(changed)) & 1)
        return float(np.mean(np.abs(signs @ changed) >= threshold))
    generator = np.random.default_rng(seed)
    extreme = 0
    for count in _chunks(permutations, len(changed)):
        signs = 1.0 - 2.0 * generator.integers(0, 2, (count, len(changed)), dtype=np.int8)
        extreme += int(np.sum(np.abs(signs @ changed) >= threshold))
    return (1 + extreme) / (1 + permutations)


def bootstrap_interval(
    differences: Differences, confidence: float = 0.95, samples: int = 10_000, seed: int = 0
) -> tuple[float, float]:
    """Percentile bootstrap interval of the mean difference over queries.

    Args:
        differences: One per query, at least one.
        confidence: Probability that the interval covers.
        samples: How often the queries are drawn with replacement.
        seed: Of the generator; equal seeds give equal intervals.
    """
    generator = np.random.default_rng(seed)
    n = len(differences)
    means = [
        differences[generator.integers(0, n, (count, n))].mean(axis=1)
        for count in _chunks(samples, n)
    ]
    tail = 50 * (1 - confidence)
    low, high = np.percentile(np.concatenate(means), [tail, 100 - tail])
    return float(low), float(high)


def holm(p_values: Sequence[float]) -> list[float]:
    """P-values adjusted for their number by Holm's step-down procedure; NaN stays NaN.

    >>> holm([0.01, 0.04, 0.03])
    [0.03, 0.06, 0.06]
    """
    order = sorted(
        (i for i, p in enumerate(p_values) if not math.isnan(p)), key=lambda i: p_values[i]
    )
    adjusted = [math.nan] * len(p_values)
    largest = 0.0
    for position, i in enumerate(order):
        largest = max(largest, min(1.0, (len(order) - position) * p_values[i]))
        adjusted[i] = largest
    return adjusted


def _chunks(total: int, row_length: int) -> list[int]:
    """Splits ``total`` rows of ``row_length`` float64 so that a chunk stays small."""
    size = max(1, _CHUNK_BYTES // (8 * row_length))
    return [min(size, total - start) for start in range(0, total, size)]

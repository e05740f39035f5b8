"""Compares two systems query by query."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import ir_measures
import numpy as np

from eval.datasets.qrels import Qrels
from eval.errors import ComparisonError
from eval.measures import evaluate
from eval.per_query import PerQuery, is_per_query_file, read_per_query
from eval.results import Results
from eval.runs import read_run
from eval.statistics import bootstrap_interval, holm, paired_t_test, randomisation_test

NOTICEABLE = 0.002
"""A loss of NDCG that would be noticed: docs/default-model.md calls settings within this equal."""


@dataclass(frozen=True)
class Pair:
    """Per-query values of systems A and B on one collection."""

    collection: str
    a: PerQuery
    b: PerQuery


@dataclass(frozen=True)
class Comparison:
    """Difference of A and B in one measure on one collection.

    Attributes:
        difference: Mean of A minus mean of B.
        low: Lower end of the 95% bootstrap interval of the difference.
        high: Upper end.
        wins: Number of queries where A is better.
        t_test: Two-sided p-value of the paired t-test.
        randomisation: Two-sided p-value of the paired randomisation test.
        t_test_holm: Adjusted, by Holm, for all rows that were compared together.
        randomisation_holm: The same.
    """

    collection: str
    measure: str
    queries: int
    mean_a: float
    mean_b: float
    difference: float
    low: float
    high: float
    wins: int
    ties: int
    losses: int
    t_test: float
    randomisation: float
    t_test_holm: float = math.nan
    randomisation_holm: float = math.nan

    @property
    def is_gain(self) -> bool:
        """Whether A is better, and a loss that would be noticed is ruled out.

        Over a thousand queries the interval of a gain of some thousandths reaches below 0 more
        often than not: all of it above 0 would refuse most changes that help.
        """
        return self.difference > 0 and self.low >= -NOTICEABLE

    def as_json(self) -> dict[str, str | int | float | None]:
        """Fields for JSON, where a p-value that is not defined is ``None``."""
        return {
            name: None if isinstance(value, float) and math.isnan(value) else value
            for name, value in asdict(self).items()
        }


def compare(
    pairs: Sequence[Pair],
    measures: Sequence[str] | None = None,
    permutations: int = 10_000,
    seed: int = 0,
) -> list[Comparison]:
    """Compares A with B on each collection and measure.

    Args:
        pairs: One per collection.
        measures: Names; by default all that both sides have.
        permutations: Draws of the randomisation test and of the bootstrap.
        seed: Of both.

    Raises:
        ComparisonError: The two sides have different queries, or no measure in common.

    >>> better = {"q1": {"AP": 0.5}, "q2": {"AP": 0.7}}
    >>> worse = {"q1": {"AP": 0.25}, "q2": {"AP": 0.7}}
    >>> [row] = compare([Pair("c", better, worse)])
    >>> row.difference, row.wins, row.ties, row.losses
    (0.125, 1, 1, 0)
    """
    rows = []
    for pair in pairs:
        _check_queries(pair)
        for measure in _common_measures(pair, measures):
            rows.append(_compare_measure(pair, measure, permutations, seed))
    t_tests = holm([row.t_test for row in rows])
    randomisations = holm([row.randomisation for row in rows])
    return [
        replace(row, t_test_holm=t_test, randomisation_holm=randomisation)
        for row, t_test, randomisation in zip(rows, t_tests, randomisations, strict=True)
    ]


def load_per_query(
    path: Path, qrels: Qrels | None, measures: Sequence[ir_measures.Measure]
) -> PerQuery:
    """Per-query values from a per-query file, or from a run file and its qrels.

    Raises:
        ComparisonError: It is a run file and there are no qrels.
    """
    if is_per_query_file(path):
        return read_per_query(path)
    if qrels is None:
        raise ComparisonError(f"{path} is a run file; give the judgements with --qrels")
    return evaluate(qrels, read_run(path), measures).per_query


def pairs_of_results(results: Results, folder: Path, a: str, b: str) -> list[Pair]:
    """The pairs of two systems of a results file, on every collection that both have.

    Raises:
        ComparisonError: A system has no per-query file there, or they share no collection.
    """
    files: dict[str, dict[str, str]] = {}
    for result in results.results:
        if result.per_query_file is not None:
            files.setdefault(result.system, {})[result.collection] = result.per_query_file
    for name in (a, b):
        if name not in files:
            known = ", ".join(repr(system) for system in files) or "none"
            raise ComparisonError(f"there is no system {name!r} with figures; there are: {known}")
    shared = [collection for collection in files[a] if collection in files[b]]
    if not shared:
        raise ComparisonError(f"{a!r} and {b!r} have no collection in common")
    return [
        Pair(
            collection,
            read_per_query(folder / files[a][collection]),
            read_per_query(folder / files[b][collection]),
        )
        for collection in shared
    ]


def _compare_measure(pair: Pair, measure: str, permutations: int, seed: int) -> Comparison:
    a = np.array([values[measure] for values in pair.a.values()])
    b = np.array([pair.b[query_id][measure] for query_id in pair.a])
    differences = a - b
    low, high = bootstrap_interval(differences, samples=permutations, seed=seed)
    return Comparison(
        collection=pair.collection,
        measure=measure,
        queries=len(differences),
        mean_a=float(a.mean()),
        mean_b=float(b.mean()),
        difference=float(differences.mean()),
        low=low,
        high=high,
        wins=int(np.sum(differences > 0)),
        ties=int(np.sum(differences == 0)),
        losses=int(np.sum(differences < 0)),
        t_test=paired_t_test(differences),
        randomisation=randomisation_test(differences, permutations, seed),
    )


def _check_queries(pair: Pair) -> None:
    different = pair.a.keys() ^ pair.b.keys()
    if different:
        raise ComparisonError(
            f"{pair.collection}: {len(different)} queries are in one of the two only, such as "
            f"{sorted(different)[:3]}; evaluate both on the same judgements"
        )


def _common_measures(pair: Pair, measures: Sequence[str] | None) -> list[str]:
    in_a, in_b = next(iter(pair.a.values())), next(iter(pair.b.values()))
    if measures is None:
        common = [name for name in in_a if name in in_b]
        if not common:
            raise ComparisonError(f"{pair.collection}: no measure is in both")
        return common
    missing = [name for name in measures if name not in in_a or name not in in_b]
    if missing:
        raise ComparisonError(
            f"{pair.collection}: {', '.join(missing)} not in both; there are: "
            f"{', '.join(name for name in in_a if name in in_b)}"
        )
    return list(measures)

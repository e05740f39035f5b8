"""Paired tests against scipy and against values worked out by hand."""

from __future__ import annotations

import math
from itertools import product

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from eval.compare import Pair, compare
from eval.errors import ComparisonError
from eval.statistics import bootstrap_interval, holm, paired_t_test, randomisation_test

# Student (Biometrika, 1908): hours of sleep gained under two drugs, ten patients.
SLEEP_A = np.array([0.7, -1.6, -0.2, -1.2, -0.1, 3.4, 3.7, 0.8, 0.0, 2.0])
SLEEP_B = np.array([1.9, 0.8, 1.1, 0.1, -0.1, 4.4, 5.5, 1.6, 4.6, 3.4])


def large(seed: int = 3) -> np.ndarray:
    generator = np.random.default_rng(seed)
    differences = generator.normal(0.02, 0.2, 300)
    differences[generator.random(300) < 0.4] = 0
    return differences


def test_t_test_equals_scipy() -> None:
    assert paired_t_test(SLEEP_A - SLEEP_B) == pytest.approx(0.00283289, rel=1e-5)
    for differences in (SLEEP_A - SLEEP_B, large()):
        expected = stats.ttest_1samp(differences, 0).pvalue
        assert paired_t_test(differences) == pytest.approx(expected, rel=1e-9)


def test_randomisation_test_is_exact_for_few_queries() -> None:
    differences = SLEEP_A - SLEEP_B
    sums = [abs(np.dot(signs, differences)) for signs in product([1, -1], repeat=10)]
    by_hand = np.mean(np.array(sums) >= abs(differences.sum()) - 1e-9)
    assert randomisation_test(differences) == pytest.approx(by_hand)
    scipys = stats.permutation_test(
        (SLEEP_A, SLEEP_B), lambda a, b: np.mean(a - b), permutation_type="samples"
    )
    assert randomisation_test(differences) == pytest.approx(scipys.pvalue)


def test_randomisation_test_of_many_queries_is_near_scipys_and_repeats() -> None:
    differences = large()
    scipys = stats.permutation_test(
        (differences, np.zeros_like(differences)),
        lambda a, b, axis: np.mean(a - b, axis=axis),
        permutation_type="samples",
        vectorized=True,
        n_resamples=20_000,
        rng=np.random.default_rng(1),
    )
    p = randomisation_test(differences, 20_000)
    assert p == pytest.approx(scipys.pvalue, abs=0.015)
    assert p == randomisation_test(differences, 20_000)
    assert p != randomisation_test(differences, 20_000, seed=1)


def test_a_drawn_p_value_is_never_zero() -> None:
    assert randomisation_test(np.ones(200), 999) == pytest.approx(1 / 1000)


def test_bootstrap_interval_is_near_scipys_and_repeats() -> None:
    differences = large()
    scipys = stats.bootstrap(
        (differences,), np.mean, method="percentile", rng=np.random.default_rng(1)
    ).confidence_interval
    interval = bootstrap_interval(differences)
    assert interval == pytest.approx((scipys.low, scipys.high), abs=0.002)
    assert interval == bootstrap_interval(differences)
    wider = bootstrap_interval(differences, confidence=0.99)
    assert wider[0] < interval[0] < differences.mean() < interval[1] < wider[1]


def test_holm_by_hand() -> None:
    """The example of Holm's procedure with four hypotheses: 4, 3, 2 and 1 times the p-value."""
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([0.6, 0.5]) == [1.0, 1.0]
    assert holm([]) == []
    adjusted = holm([math.nan, 0.02, 0.01])
    assert math.isnan(adjusted[0])
    assert adjusted[1:] == pytest.approx([0.02, 0.02])


@given(st.lists(st.floats(0, 1), max_size=20))
def test_holm_keeps_the_order_and_never_lowers(p_values: list[float]) -> None:
    adjusted = holm(p_values)
    assert all(p <= a <= 1 for p, a in zip(p_values, adjusted, strict=True))
    order = np.argsort(p_values, kind="stable")
    assert np.all(np.diff(np.array(adjusted)[order]) >= 0)


def test_degenerate_differences() -> None:
    assert paired_t_test(np.zeros(5)) == 1.0
    assert randomisation_test(np.zeros(5)) == 1.0
    assert paired_t_test(np.full(5, 0.1)) == 0.0
    assert math.isnan(paired_t_test(np.array([0.3])))
    assert randomisation_test(np.array([0.3])) == 1.0
    assert bootstrap_interval(np.array([0.3])) == (0.3, 0.3)


def test_rows_of_a_comparison() -> None:
    def system(values: np.ndarray) -> dict[str, dict[str, float]]:
        return {f"q{i}": {"AP": float(v), "P@5": 0.5} for i, v in enumerate(values)}

    a, b = system(SLEEP_A), system(SLEEP_B)
    reordered = dict(reversed(b.items()))
    ap, precision = compare([Pair("sleep", a, reordered)])
    assert (ap.collection, ap.measure, ap.queries) == ("sleep", "AP", 10)
    assert (ap.wins, ap.ties, ap.losses) == (0, 1, 9)
    assert ap.mean_a == pytest.approx(0.75)
    assert ap.mean_b == pytest.approx(2.33)
    assert ap.difference == pytest.approx(-1.58)
    assert ap.low < -1.58 < ap.high < 0
    assert ap.t_test == pytest.approx(0.00283289, rel=1e-5)
    assert ap.t_test_holm == pytest.approx(2 * ap.t_test)
    assert (precision.t_test, precision.randomisation, precision.ties) == (1.0, 1.0, 10)
    [only] = compare([Pair("sleep", a, b)], ["AP"])
    assert only.t_test_holm == only.t_test


def test_what_cannot_be_compared_is_named() -> None:
    a = {"q1": {"AP": 0.5}, "q2": {"AP": 0.5}}
    with pytest.raises(ComparisonError, match=r"1 queries .* \['q2'\]"):
        compare([Pair("c", a, {"q1": {"AP": 0.5}})])
    with pytest.raises(ComparisonError, match="no measure is in both"):
        compare([Pair("c", a, {"q1": {"P@5": 0.5}, "q2": {"P@5": 0.5}})])
    with pytest.raises(ComparisonError, match="P@5 not in both; there are: AP"):
        compare([Pair("c", a, a)], ["P@5"])

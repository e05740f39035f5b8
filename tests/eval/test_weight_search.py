"""The search finds the peak of functions whose peak is known."""

from __future__ import annotations

import doctest
import importlib
import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from eval.weight_search import search_weights

QUARTER = 2**0.25


@settings(max_examples=60, deadline=None)
@given(st.floats(-11.5, 11.5), st.floats(0.01, 100), st.floats(0.01, 100))
def test_one_peak_is_found_wherever_it_lies(peak: float, first: float, second: float) -> None:
    best, trials = search_weights(
        {"a": first, "b": second}, lambda w: -abs(math.log2(w["b"] / w["a"]) - peak)
    )
    assert best.weights["a"] == first
    assert best.weights["b"] / first == pytest.approx(2**peak, rel=QUARTER - 1 + 0.01)
    assert best.value == max(trial.value for trial in trials)
    assert len({tuple(trial.weights.values()) for trial in trials}) == len(trials)


def test_three_parts_take_turns() -> None:
    target = {"b": 3.0, "c": 0.1}
    best, trials = search_weights(
        {"a": 1.0, "b": 1.0, "c": 1.0},
        # A ridge: the best weight of either depends on that of the other.
        lambda w: (
            -(math.log(w["b"] / target["b"]) ** 2)
            - math.log(w["c"] / target["c"]) ** 2
            - 0.5 * math.log(w["b"] / target["b"]) * math.log(w["c"] / target["c"])
        ),
    )
    for part, weight in target.items():
        assert best.weights[part] == pytest.approx(weight, rel=QUARTER - 1)
    assert len(trials) < 130


def test_nothing_better_leaves_the_present_weights() -> None:
    present = {"a": 0.3, "b": 0.123456}
    best, trials = search_weights(present, lambda w: 0.5)
    assert best.weights == present
    assert trials[0].weights == present


def test_of_equal_values_the_nearest_wins() -> None:
    best, _ = search_weights({"a": 1.0, "b": 0.1}, lambda w: float(1 <= w["b"] <= 16))
    assert best.weights["b"] == 1


def test_a_useless_part_drives_the_weight_out_of_the_first_grid() -> None:
    best, _ = search_weights({"a": 1.0, "b": 1.0}, lambda w: -w["b"])
    assert best.weights["b"] < 1 / 4096
    best, _ = search_weights({"a": 1.0, "b": 1.0}, lambda w: w["b"])
    assert best.weights["b"] > 4096


def test_a_part_of_another_unit_has_a_grid_of_its_own() -> None:
    best, trials = search_weights(
        {"a": 1.0, "b": 0.5, "vectors": 30.0},
        lambda w: -abs(math.log(w["b"] / 2)) - abs(math.log(w["vectors"] / 200)),
        units={"vectors": 30.0},
        largest={"vectors": 250.0},
    )
    assert best.weights["b"] == 2
    assert best.weights["vectors"] == pytest.approx(200, rel=QUARTER - 1)
    tried = {trial.weights["vectors"] for trial in trials}
    assert {0.938, 15.0, 60.0, 240.0} <= tried
    assert max(tried) <= 250


def test_equal_searches_make_equal_trials() -> None:
    def value(weights: dict[str, float]) -> float:
        return math.sin(weights["b"])

    assert search_weights({"a": 1, "b": 1}, value) == search_weights({"a": 1, "b": 1}, value)


@pytest.mark.parametrize("module", ["eval.tune", "eval.weight_search"])
def test_examples_run(module: str) -> None:
    results = doctest.testmod(importlib.import_module(module))
    assert results.attempted > 0
    assert results.failed == 0

"""Measures against values worked out by hand, and trec_eval's rules."""

from __future__ import annotations

from math import log2

import pytest
import pytrec_eval

from eval.errors import MeasureError
from eval.measures import DEFAULT_MEASURES, evaluate, parse_measures

QRELS = {
    "q1": {"d1": 2, "d2": 1, "d3": 0, "d9": 1},
    "q2": {"d1": 1},
    "missing": {"d4": 1},
    "nothing relevant": {"d1": 0},
}
RUN = {
    "q1": [("d3", 7.0), ("d1", 7.0), ("unjudged", 3.0), ("d2", 2.0)],
    "q2": [("d7", 1.0), ("d8", 0.5)],
    "nothing relevant": [("d1", 1.0)],
    "not judged": [("d1", 1.0)],
}
NDCG = (2 / log2(3) + 1 / log2(5)) / (2 / log2(2) + 1 / log2(3) + 1 / log2(4))
AP = (1 / 2 + 2 / 4) / 3


def test_values_by_hand() -> None:
    evaluation = evaluate(QRELS, RUN, parse_measures(DEFAULT_MEASURES))
    zeros = {"nDCG@10": 0.0, "R@100": 0.0, "RR@10": 0.0, "AP": 0.0}
    expected = {"nDCG@10": NDCG, "R@100": 2 / 3, "RR@10": 1 / 2, "AP": AP}
    assert evaluation.per_query["q1"] == pytest.approx(expected)
    assert evaluation.per_query["q2"] == zeros
    assert evaluation.per_query["missing"] == zeros
    assert list(evaluation.per_query) == list(QRELS)
    assert evaluation.means == pytest.approx({name: v / 4 for name, v in expected.items()})
    assert evaluation.missing == ("missing",)


def test_ties_keep_the_order_of_the_run() -> None:
    """trec_eval alone would put d3 before d1 or d1 before d3 by their ids."""
    measures = parse_measures(["RR", "RR@10", "nDCG@10"])
    for order, reciprocal_rank in ((["d1", "d3"], 1.0), (["d3", "d1"], 0.5)):
        run = {"q1": [(doc_id, 1.0) for doc_id in order]}
        evaluation = evaluate({"q1": {"d1": 1}}, run, measures)
        assert evaluation.means["RR"] == reciprocal_rank
        assert evaluation.means["RR@10"] == reciprocal_rank


def test_scores_beyond_32_bits_do_not_tie() -> None:
    run = {"q1": [("a", 1.0 + 1e-12), ("b", 1.0)]}
    assert evaluate({"q1": {"a": 1}}, run, parse_measures(["RR"])).means["RR"] == 1.0


def test_agrees_with_pytrec_eval_on_judged_queries() -> None:
    run = {query_id: RUN[query_id] for query_id in ("q1", "q2")}
    scores = {q: {d: 10.0 - i for i, (d, _) in enumerate(ranking)} for q, ranking in run.items()}
    names = {"nDCG@10": "ndcg_cut_10", "AP": "map", "P@5": "P_5", "R@5": "recall_5"}
    theirs = pytrec_eval.RelevanceEvaluator(QRELS, {"ndcg_cut", "map", "P", "recall"})
    expected = theirs.evaluate(scores)
    ours = evaluate(QRELS, run, parse_measures(names)).per_query
    for query_id in run:
        for name, their_name in names.items():
            assert ours[query_id][name] == pytest.approx(expected[query_id][their_name])


def test_run_without_any_judged_query() -> None:
    for run in ({}, {"q2": []}, {"other": [("d1", 1.0)]}):
        evaluation = evaluate(QRELS, run, parse_measures(["nDCG@10", "RR@10"]))
        assert set(evaluation.means.values()) == {0.0}
        assert evaluation.missing == tuple(QRELS)


def test_graded_threshold() -> None:
    evaluation = evaluate(QRELS, RUN, parse_measures(["AP(rel=2)", "P(rel=2)@2"]))
    assert evaluation.per_query["q1"] == {"AP(rel=2)": 0.5, "P(rel=2)@2": 0.5}


def test_names_of_measures() -> None:
    names = ["nDCG@10", "NDCG@10", "ndcg_cut_10", "map", "MRR@10", "P(rel=2)@5"]
    assert [str(measure) for measure in parse_measures(names)] == [
        "nDCG@10",
        "AP",
        "RR@10",
        "P(rel=2)@5",
    ]


@pytest.mark.parametrize("name", ["", "nDGC@10", "nDCG@ten", "nDCG@", "nDCG(depth=3)@10", "Rndcg"])
def test_unknown_measures_are_named(name: str) -> None:
    with pytest.raises(MeasureError, match="is not a measure; give names such as nDCG@10"):
        parse_measures([name])


def test_measures_that_nothing_installed_computes_are_named() -> None:
    with pytest.raises(MeasureError, match="alpha_nDCG@10"):
        evaluate(QRELS, RUN, parse_measures(["alpha_nDCG@10"]))

"""Effectiveness measures, computed by ir-measures (trec_eval's code through pytrec_eval)."""

from __future__ import annotations

import subprocess
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import ir_measures

from eval.datasets.qrels import Qrels
from eval.errors import MeasureError
from eval.runs import Run
from retriever.run import strictly_decreasing

DEFAULT_MEASURES = ("nDCG@10", "R@100", "RR@10", "AP")


@dataclass(frozen=True)
class Evaluation:
    """Measures of one run on one set of judgements.

    Attributes:
        means: Aggregate over all queries of the qrels, by name of the measure.
        per_query: ``per_query[query_id][measure]``, in the order of the qrels.
        missing: Queries of the qrels for which the run has nothing; they count as 0.
    """

    means: Mapping[str, float]
    per_query: Mapping[str, Mapping[str, float]]
    missing: tuple[str, ...]


def parse_measures(names: Iterable[str]) -> list[ir_measures.Measure]:
    """Measures by ir-measures' names (``nDCG@10``, ``P(rel=2)@5``) or trec_eval's.

    Raises:
        MeasureError: A name is unknown, or needs a cutoff.

    >>> [str(measure) for measure in parse_measures(["nDCG@10", "recip_rank", "MAP"])]
    ['nDCG@10', 'RR', 'AP']
    """
    measures: list[ir_measures.Measure] = []
    for name in names:
        for measure in _parse(name):
            if measure not in measures:
                measures.append(measure)
    return measures


def _parse(name: str) -> list[ir_measures.Measure]:
    try:
        measure = ir_measures.parse_measure(name)
        measure.validate_params()
        return [measure]
    except (NameError, ValueError, AssertionError):
        pass
    try:
        parsed = ir_measures.parse_trec_measure(name)
        return [m() if isinstance(m, type) else m for m in parsed]
    except (ValueError, KeyError, AssertionError):
        raise MeasureError(
            f"{name!r} is not a measure; give names such as nDCG@10, R@100, RR@10, P@5, AP, "
            "Success@1, P(rel=2)@5"
        ) from None


def evaluate(qrels: Qrels, run: Run, measures: Sequence[ir_measures.Measure]) -> Evaluation:
    """Evaluates a run in its own order.

    All queries of the qrels count: one that the run misses has the value 0. Queries of the run
    without judgements are left out. Scores serve as order only; see
    ``retriever.run.strictly_decreasing``.

    Raises:
        MeasureError: No installed package computes one of the measures.
        RunFormatError: A score is not finite.
    """
    judged_run = {}
    for query_id, ranking in run.items():
        if query_id in qrels and ranking:
            scores = strictly_decreasing([score for _, score in ranking])
            doc_ids = (doc_id for doc_id, _ in ranking)
            judged_run[query_id] = dict(zip(doc_ids, scores, strict=True))
    names = {measure: str(measure) for measure in measures}
    per_query = {
        query_id: {name: float(m.DEFAULT) for m, name in names.items()} for query_id in qrels
    }
    try:
        for value in ir_measures.iter_calc(list(measures), qrels, judged_run):
            per_query[value.query_id][names[value.measure]] = float(value.value)
    except (ValueError, AssertionError, RuntimeError, subprocess.SubprocessError) as error:
        raise MeasureError(f"cannot compute {', '.join(names.values())}: {error}") from error
    means = {}
    for measure, name in names.items():
        aggregator = measure.aggregator()
        for values in per_query.values():
            aggregator.add(values[name])
        means[name] = float(aggregator.result())
    missing = tuple(query_id for query_id in qrels if query_id not in judged_run)
    return Evaluation(means, per_query, missing)

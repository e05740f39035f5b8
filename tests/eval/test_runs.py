"""Run files: every tool must evaluate the order that was written."""

from __future__ import annotations

import gzip
import math
import tempfile
from pathlib import Path

import ir_measures
import numpy as np
import pytest
import pytrec_eval
from hypothesis import given, settings
from hypothesis import strategies as st

from eval.errors import RunFormatError
from eval.runs import read_run, without_identical_ids, write_run
from retriever.run import strictly_decreasing

finite = st.floats(-1e30, 1e30, allow_nan=False)
close = st.one_of(
    finite,
    st.sampled_from([0.0, 1.0, 1.0 + 1e-9, 1.0 - 1e-9, 12.345678901, 1e-45, -0.0]),
    st.integers(-3, 3).map(float),
)
ids = st.text(
    st.characters(codec="utf-8", exclude_categories=("Z", "C")), min_size=1, max_size=4
).filter(lambda text: text.split() == [text])
rankings = st.lists(st.tuples(ids, close), min_size=1, max_size=25, unique_by=lambda pair: pair[0])


def reciprocal_ranks(run: dict[str, float]) -> dict[str, float]:
    """By pytrec_eval, for each document as the only relevant one."""
    qrels = {doc_id: {doc_id: 1} for doc_id in run}
    evaluator = pytrec_eval.RelevanceEvaluator(qrels, {"recip_rank"})
    values = evaluator.evaluate(dict.fromkeys(run, run))
    return {doc_id: value["recip_rank"] for doc_id, value in values.items()}


@given(rankings)
@settings(max_examples=60, deadline=None)
def test_written_order_is_what_tools_evaluate(ranking: list[tuple[str, float]]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "x.run.gz"
        write_run(path, {"q": ranking}, "tag")
        with gzip.open(path, "rt", encoding="utf-8", newline="\n") as file:
            read = {scored.doc_id: scored.score for scored in ir_measures.read_trec_run(file)}
        again = read_run(path)
    order = [doc_id for doc_id, _ in ranking]
    # trec_eval's code, ties by id descending
    expected = {doc_id: pytest.approx(1 / rank) for rank, doc_id in enumerate(order, 1)}
    assert reciprocal_ranks(read) == expected
    # ir-measures' RR@k, ties by id ascending
    qrels = {doc_id: {doc_id: 1} for doc_id in order}
    measure = ir_measures.RR @ len(order)
    values = measure.iter_calc(qrels, dict.fromkeys(order, read))
    assert {value.query_id: value.value for value in values} == expected
    assert [doc_id for doc_id, _ in again["q"]] == order


@given(rankings)
@settings(max_examples=60, deadline=None)
def test_foreign_files_are_read_in_the_order_of_trec_eval(
    ranking: list[tuple[str, float]],
) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "foreign.run"
        lines = [f"q Q0 {doc_id} 1 {score!r} x\n" for doc_id, score in ranking]
        path.write_text("".join(lines), encoding="utf-8", newline="\n")
        order = [doc_id for doc_id, _ in read_run(path)["q"]]
    expected = {doc_id: pytest.approx(1 / rank) for rank, doc_id in enumerate(order, 1)}
    assert reciprocal_ranks(dict(ranking)) == expected


@given(st.lists(close, max_size=50))
def test_scores_decrease_in_32_bits_and_keep_what_already_did(scores: list[float]) -> None:
    adjusted = strictly_decreasing(scores)
    in_32_bits = np.array(adjusted, dtype=np.float32)
    assert np.all(np.diff(in_32_bits) < 0)
    assert in_32_bits.tolist() == adjusted
    rounded = np.array(scores, dtype=np.float32)
    if np.all(np.diff(rounded) < 0):
        assert adjusted == rounded.tolist()


def test_a_tie_moves_by_the_smallest_step() -> None:
    step = math.ldexp(1, -24)
    assert strictly_decreasing([1.0, 1.0, 1.0, 0.5]) == [1.0, 1 - step, 1 - 2 * step, 0.5]


@pytest.mark.parametrize(
    "scores", [[1.0, math.nan], [1.0, -math.inf], [math.inf, 1.0], [1e300, 1.0]]
)
def test_scores_that_no_file_can_carry_are_refused(scores: list[float]) -> None:
    with pytest.raises(RunFormatError, match="must be finite 32-bit floats"):
        strictly_decreasing(scores)


def test_format_of_a_run_file(tmp_path: Path) -> None:
    path = tmp_path / "a.run"
    write_run(path, {"q2": [("d1", 2.5), ("d2", 2.5)], "q1": []}, "my system")
    assert path.read_text() == "q2 Q0 d1 1 2.5 my_system\nq2 Q0 d2 2 2.49999976 my_system\n"


def test_equal_runs_give_equal_gzip_files(tmp_path: Path) -> None:
    for name in ("a.run.gz", "b.run.gz"):
        write_run(tmp_path / name, {"q": [("d", 1.0)]}, "x")
    assert (tmp_path / "a.run.gz").read_bytes() == (tmp_path / "b.run.gz").read_bytes()


@pytest.mark.parametrize(
    ("run", "message"),
    [
        ({"q": [("a b", 1.0)]}, "document id 'a b'"),
        ({"q": [("", 1.0)]}, "document id ''"),
        ({"q\u00a01": [("a", 1.0)]}, "query id"),
        ({"q": [("a", 1.0), ("a", 0.5)]}, "ranks the document 'a' twice"),
    ],
)
def test_ids_that_the_format_cannot_carry(tmp_path: Path, run: dict, message: str) -> None:
    with pytest.raises(RunFormatError, match=message):
        write_run(tmp_path / "x.run", run, "tag")


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("q Q0 d 1 0.5\n", "line 1: expected the six columns"),
        ("q Q0 d 1 high x\n", "line 1: the score must be a number"),
        ("q Q0 d 1 1 x\nq Q0 d 2 0.5 x\n", "twice"),
    ],
)
def test_bad_run_files_are_named_with_their_line(tmp_path: Path, line: str, message: str) -> None:
    path = tmp_path / "x.run"
    path.write_text(line)
    with pytest.raises(RunFormatError, match=message):
        read_run(path)


def test_identical_ids_are_removed_before_the_cut() -> None:
    run = {"1": [("2", 3.0), ("1", 2.0), ("3", 1.0)], "9": [("1", 1.0)]}
    kept, affected = without_identical_ids(run, 2)
    assert kept == {"1": [("2", 3.0), ("3", 1.0)], "9": [("1", 1.0)]}
    assert affected == ["1"]

"""The benchmark itself: what it takes for right, what engines read, and its statistics."""

import json
import subprocess
import sys
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.engine.across import Medians, across_table, ratios_across
from benchmarks.engine.child import ENGINES, Child, Engine, EngineError, build
from benchmarks.engine.comparison import Plan, compare
from benchmarks.engine.counts import count_terms
from benchmarks.engine.datasets import write_texts, write_vectors
from benchmarks.engine.oracle import Oracle, best
from benchmarks.engine.ppmi import expand, neighbours
from benchmarks.engine.preparation import word_tokenizer
from benchmarks.engine.statistics import bootstrap_ratio, latencies, per_query_medians
from encoders.query.analyzer import create_analyzer

WORDS = ["red", "apple", "green", "pear", "sour", "tree"]
QUESTIONS = {"standard": ["Red apples? A red apple!", "sour pear", "nothing"], "tail": ["tree"]}


@pytest.fixture
def vectors(tmp_path: Path) -> Path:
    """300 random records over six words."""
    rng = np.random.default_rng(3)
    dense = rng.integers(0, 256, (300, len(WORDS))) * (rng.random((300, len(WORDS))) < 0.4)
    indptr = np.concatenate([[0], np.cumsum((dense > 0).sum(axis=1))])
    dimensions = np.nonzero(dense)[1].astype(np.uint32)
    impacts = dense[dense > 0].astype(np.uint8)
    impacts[0] = 255
    ones = np.ones(len(impacts), dtype=np.float32)
    rows, counts = (indptr, dimensions, impacts), (indptr, dimensions, ones)
    write_vectors(tmp_path / "set", rows, counts, word_tokenizer(WORDS), QUESTIONS)
    return tmp_path / "set"


@given(st.lists(st.integers(0, 5), min_size=1, max_size=40), st.integers(1, 50))
def test_the_best_are_those_of_a_full_sort(scores, k):
    order = sorted((-score, row) for row, score in enumerate(scores) if score > 0)
    assert best(np.array(scores), k).tolist() == [row for _, row in order[:k]]


def test_rows_for_other_languages_hold_the_same_numbers(vectors):
    with np.load(vectors / "rows.npz") as arrays:
        indptr, dimensions, impacts = (arrays[n] for n in ("indptr", "dimensions", "impacts"))
    words = np.fromfile(vectors / "rows.bin", dtype="<u4")
    assert words[0] == len(indptr) - 1
    at = 1
    for begin, end in pairwise(indptr):
        size = int(end - begin)
        assert words[at] == size
        assert np.array_equal(words[at + 1 : at + 1 + size], dimensions[begin:end])
        values = words[at + 1 + size : at + 1 + 2 * size].view("<f4")
        assert np.array_equal(values, impacts[begin:end])
        at += 1 + 2 * size
    assert at == len(words)


def test_queries_are_what_the_tokenizer_makes_of_them(vectors):
    queries = json.loads((vectors / "standard.json").read_text())
    assert queries["tokens"] == [["red", "apple"], ["sour", "pear"], []]
    assert queries["dimensions"] == [[0, 1], [4, 3], []]


def test_ties_with_the_last_hit_are_right_but_another_order_is_not(vectors):
    oracle = Oracle(vectors, 300)
    queries = {"dimensions": [[0, 1]], "integers": [[3, 2]]}
    expected = best(oracle.scores([0, 1], [3, 2]), 10).tolist()
    agreement = oracle.compare(queries, 10, {"same": [expected], "turned": [expected[::-1]]})
    assert agreement["same"] == {"recall": 1.0, "same_order": 1.0}
    assert agreement["turned"] == {"recall": 1.0, "same_order": 0.0}


def test_winnow_runs_in_processes_of_its_own_and_is_exact(vectors, tmp_path):
    engines = [engine for engine in ENGINES if engine.name.startswith("winnow")]
    medians: Medians = {}
    plan = Plan(engines, ks=[10], queries=2, passes=1)
    result = compare(vectors, tmp_path, plan, medians=medians)
    assert json.loads(json.dumps(result)) == result
    assert {key[2]: len(times) for key, times in medians.items()} == {"kernel": 2, "whole": 2}
    assert result["missing"] == {}
    exact = [row for row in result["k"]["10"] if not row["setting"]]
    assert [(row["engine"], row["same_order"]) for row in exact] == [
        ("winnow-kernel", 1.0),
        ("winnow", 1.0),
    ]
    assert all(row["mean_us"] > 0 and row["per_second_all_cores"] > 0 for row in exact)


def test_vectors_are_compared_with_text_question_by_question():
    ours = {("10", "winnow", "whole"): np.array([1.0, 3.0])}
    theirs = {("10", "lucene", "whole"): np.array([4.0, 4.0])}
    found = ratios_across({"a": ours, "b": theirs}, {"a": "impacts", "b": "text"})
    assert [(row["vectors"], row["text"], row["engine"]) for row in found] == [("a", "b", "lucene")]
    assert found[0]["ratio"][0] == 0.5
    assert "0.500" in across_table(found)


def test_an_engine_that_is_not_installed_says_so(vectors, tmp_path):
    engine = Engine("absent", "bmp_engine.py", ("impacts",), "no_such_module")
    with pytest.raises(EngineError, match="no_such_module"):
        build(engine, tmp_path, {"folder": str(tmp_path / "absent")})
    with pytest.raises(EngineError, match="no_such_module"):
        Child(engine, tmp_path, {})


def test_text_is_counted_and_expanded(tmp_path):
    texts = [(str(n), f"red apple {'tree' if n % 3 else 'pear pear'}") for n in range(90)]
    texts += [(str(n), "sour green") for n in range(90, 900)]
    counts = count_terms(texts, create_analyzer("plain"), 5)
    assert sorted(counts.vocabulary) == ["apple", "green", "red", "sour", "tree"]
    near = neighbours(counts)
    number = counts.vocabulary.index
    assert number("apple") in near[0][number("red")]
    indptr, dimensions, weights = expand(counts, near, 1.0, np.arange(900))
    assert all(np.all(np.diff(row.astype(int)) > 0) for row in np.split(dimensions, indptr[1:-1]))
    assert weights.min() > 0
    # A record about red apples gets the tree that stands in others like it.
    assert number("tree") in dimensions[indptr[0] : indptr[1]]
    write_texts(tmp_path, [text for _, text in texts], create_analyzer("english"), QUESTIONS)
    description = json.loads((tmp_path / "description.json").read_text())
    assert (description["documents"], description["postings"]) == (900, 90 * 3 + 810 * 2)


def test_statistics_are_of_medians_over_passes():
    times = per_query_medians([[1000, 9000], [3000, 5000], [2000, 7000]])
    assert times.tolist() == [2.0, 7.0]
    assert latencies(times)["mean_us"] == 4.5
    ratio, low, high = bootstrap_ratio([1.0, 2.0, 3.0] * 30, [2.0, 4.0, 6.0] * 30)
    assert ratio == low == high == 0.5


@pytest.mark.parametrize("module", ["benchmarks.engine", "benchmarks.bm25_query_speed"])
def test_commands_describe_themselves(module):
    root = Path(__file__).parents[2]
    command = [sys.executable, "-m", module, "--help"]
    answer = subprocess.run(command, cwd=root, capture_output=True, text=True)
    assert answer.returncode == 0
    assert "--passes" in answer.stdout

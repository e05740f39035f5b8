"""The benchmark of exactness has cases of every kind, and a wrong answer ends it."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import pytest

from benchmarks.engine import exactness
from benchmarks.engine.datasets import write_vectors
from benchmarks.engine.exactness import KINDS, RealRows, check, main
from benchmarks.engine.preparation import word_tokenizer
from kernels.cpu.search import search_postings

CASES = 40 * 24
WORDS = [f"w{number}" for number in range(60)]
QUESTIONS = {"standard": ["w0 w1 w2", "w3", "w59 w7 w0 w21", "nothing"]}


@pytest.fixture
def work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """3,000 records over 60 words, and collections of few records."""
    rng = np.random.default_rng(3)
    present = rng.random((3_000, len(WORDS))) < rng.random(len(WORDS)) ** 3
    indptr = np.concatenate([[0], np.cumsum(present.sum(axis=1))])
    dimensions = np.nonzero(present)[1].astype(np.uint32)
    impacts = rng.integers(1, 256, len(dimensions)).astype(np.uint8)
    counts = np.ones(len(impacts), dtype=np.float32)
    rows, texts = (indptr, dimensions, impacts), (indptr, dimensions, counts)
    write_vectors(tmp_path / "flops07", rows, texts, word_tokenizer(WORDS), QUESTIONS)
    sizes = ((1, 1, 1, (6, 13)), (8, 2, 700, (6, 9)), (1, 2_000, 3_000, (6, 13)))
    monkeypatch.setattr(exactness, "SIZES", sizes)
    return tmp_path


def test_cases_of_every_kind_are_exact_and_the_same_for_a_seed(work):
    real = RealRows(work / "flops07")
    found = check(real, 1, CASES)
    assert found["cases"] == CASES
    assert found["kind"] == dict.fromkeys(sorted(KINDS), CASES // len(KINDS))
    assert found["rows"] == {"random": CASES // 2, "real": CASES // 2}
    assert found["one_document"] == {False: CASES - 96, True: 96}
    for name in ("several_windows", "tied_at_k", "threads"):
        assert min(found[name].values()) > CASES // 20, name
    assert set(found["order"]) == {"arrival", "bisected", "shuffled"}
    assert set(found["form"]) == set(exactness.FORM_NAMES)
    assert found["work"]["windows"] < found["windows"]
    assert check(real, 1, 96) == check(real, 1, 96) != check(real, 2, 96)


def test_the_command_stores_the_counts(work, monkeypatch):
    output = work / "results" / "exactness.json"
    command = ["exactness", "--work", work, "--cases", 50, "-o", output]
    monkeypatch.setattr(sys, "argv", list(map(str, command)))
    main()
    stored = json.loads(output.read_text())
    assert (stored["cases"], stored["seed"]) == (50, 0)
    assert stored["date"]


def test_a_wrong_order_of_equal_scores_ends_it_with_the_case(work, monkeypatch):
    def wrong(*arguments, **options):
        scores, rows = search_postings(*arguments, **options)
        order = np.lexsort((-rows, -scores))
        return scores[order], rows[order]

    monkeypatch.setattr(exactness, "search_postings", wrong)
    monkeypatch.setattr(sys, "argv", ["exactness", "--work", str(work), "--cases", "480"])
    with pytest.raises(SystemExit) as stop:
        main()
    assert isinstance(stop.value.code, str)  # printed, with status 1
    for part in (
        "case ",
        "of seed 0",
        "rows, windows of 2^",
        "terms={",
        "by brute force",
        "kernel",
    ):
        assert part in stop.value.code

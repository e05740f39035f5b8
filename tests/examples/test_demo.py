"""What `make demo` shows: three questions in words, answered from Python's documentation."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

MAKEFILE = Path(__file__).parents[2] / "Makefile"
PARTS = {"english-bm25", "english-bigrams-bm25", "splade", "rerank"}
EXPECTED = {
    "run another program and capture its output": ("subprocess.run", "subprocess.check_output"),
    "compare two texts and show the differences line by line": ("difflib.Differ",),
    "pick random elements from a list": ("random.sample", "random.choice"),
}


def indexer(*arguments: str) -> str:
    command = [sys.executable, "-m", "indexer", *arguments]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def index(python_documentation: Path, tmp_path_factory: pytest.TempPathFactory) -> str:
    path = str(tmp_path_factory.mktemp("demo") / "python.winnow")
    indexer("build", str(python_documentation), "-o", path)
    return path


def hits(index: str, question: str) -> list[dict[str, Any]]:
    answer = indexer("search", index, question, "-k", "5", "--explain", "--json")
    return [json.loads(line) for line in answer.splitlines()]


def test_makefile_asks_the_questions_tested_here() -> None:
    asked = re.findall(r'indexer search .* "(\w.*\w)"$', MAKEFILE.read_text("utf-8"), re.MULTILINE)
    assert asked == list(EXPECTED)


@pytest.mark.parametrize("question", EXPECTED)
def test_question_finds_what_answers_it(index: str, question: str) -> None:
    found = hits(index, question)
    assert set(EXPECTED[question]) <= {hit["doc_id"] for hit in found}
    assert [hit["rank"] for hit in found] == [1, 2, 3, 4, 5]
    for hit in found:
        shares = [term["contribution"] for term in hit["explanation"]]
        assert sum(shares) == pytest.approx(hit["score"])
        assert {term["part"] for term in hit["explanation"]} <= PARTS
    assert {term["part"] for term in found[0]["explanation"]} >= {
        "english-bm25",
        "splade",
        "rerank",
    }

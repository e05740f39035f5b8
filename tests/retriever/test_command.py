"""``indexer search``: what users and scripts see."""

from __future__ import annotations

import io
import itertools
import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from encoders.base import Document
from indexer.builder import build, delete_documents
from indexer.cli import main
from retriever.errors import QueryError
from retriever.query import SparseVector
from retriever.searcher import open_index

ROOT = Path(__file__).parents[2]
DOCUMENTS = [
    Document("run", "Run a program and wait for it", title="run(arguments, *, check=False)"),
    Document("a", "The program of the concert", title="a tale of programs"),
    Document("b", "Nothing of note", title="b"),
    *(Document(f"n{i}", "program " + "and so on " * i, metadata={"n": i}) for i in range(20)),
    *(Document(f"tie{i}", "equal words", metadata={"n": 100 + i}) for i in range(30)),
]


@dataclass(frozen=True)
class Answer:
    """What the command left behind."""

    code: int
    stdout: str
    stderr: str


Search = Callable[..., Answer]


@pytest.fixture(scope="module")
def index(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("search") / "index"
    build(DOCUMENTS, path, "english-bm25 + 0.5*plain-bm25")
    return path


@pytest.fixture
def search(index, monkeypatch, capsys) -> Search:
    """Runs ``indexer search INDEX ARGUMENTS`` in this process."""

    def run(*arguments: object, path: Path = index, stdin: bytes = b"") -> Answer:
        monkeypatch.setattr(sys, "argv", ["indexer", "search", str(path), *map(str, arguments)])
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(stdin), encoding="utf-8"))
        capsys.readouterr()
        with pytest.raises(SystemExit) as stop:
            main()
        return Answer(int(stop.value.code or 0), *capsys.readouterr())

    return run


def test_hits_for_people(search):
    answer = search("run", "a", "program", "-k", 2)
    assert answer.code == 0
    lines = answer.stdout.splitlines()
    # A title that goes on where the id ends does not repeat it.
    assert re.fullmatch(r"  1\. run  \d\.\d{3}  \(arguments, \*, check=False\)", lines[0])
    assert lines[1] == "     Run a program and wait for it"
    assert lines[2] == "     matched: run, a, program"
    assert re.fullmatch(r"1 to 2 of 22 matching documents, [\d.]+ ms\n", answer.stderr)
    assert re.search(r"^  \d\. a  [\d.]+  a tale of programs$", search("concert").stdout, re.M)
    assert re.search(r"^  1\. b  [\d.]+$", search("note").stdout, re.M)


@pytest.mark.parametrize(
    ("arguments", "summary"),
    [
        (["concert"], "1 matching document"),
        (["equal", "-k", "100"], "30 matching documents"),
        (["equal", "-k", "10"], "1 to 10 of 30 matching documents"),
        (["equal", "-k", "10", "--offset", "25"], "26 to 30 of 30 matching documents"),
        (["equal", "--offset", "40"], "none shown of 30 matching documents"),
        (["equal", "-k", "0"], "none shown of 30 matching documents"),
        (["zebra"], "no document matches"),
        ([""], "no document matches"),
        (["equal", "--filter", '{"field": "n", "lt": 100}'], "no document matches"),
        (["equal", "--filter", '{"field": "n", "eq": 105}'], "1 matching document"),
        (["equal", "--min-score", "1000"], "none shown of 30 matching documents"),
    ],
)
def test_the_number_of_matches_is_exact(search, arguments, summary):
    answer = search(*arguments)
    assert answer.code == 0
    assert re.fullmatch(rf"{summary}, [\d.]+ ms\n", answer.stderr)
    assert bool(answer.stdout) == bool(re.search(r"^\d", summary))


def test_explain(search):
    (shares,) = re.findall(r"matched: (.*)", search("concert", "--explain").stdout)
    assert re.fullmatch(
        r"concert [\d.]+ = [\d.]+ x [\d.]+ \(english-bm25\), "
        r"concert [\d.]+ = [\d.]+ x [\d.]+ \(plain-bm25\)",
        shares,
    )


def test_json_lines(search, index):
    answer = search("program", "-k", 3, "--json")
    assert answer.stderr == ""
    found = [json.loads(line) for line in answer.stdout.splitlines()]
    expected = open_index(index).search("program", 3).hits
    assert [(hit["doc_id"], hit["score"], hit["rank"]) for hit in found] == [
        (hit.doc_id, hit.score, hit.rank) for hit in expected
    ]
    assert all(hit["explanation"] is None for hit in found)
    (first,) = search("program", "-k", 1, "--json", "--explain").stdout.splitlines()
    terms = json.loads(first)["explanation"]
    assert sum(term["contribution"] for term in terms) == pytest.approx(expected[0].score)
    assert search("zebra", "--json").stdout == ""


def test_part_weights(search, index):
    options = ["--json", "--part-weight", "plain-bm25=0", "--part-weight", "english-bm25=2"]
    (line,) = search("concert", *options).stdout.splitlines()
    weights = {"plain-bm25": 0, "english-bm25": 2}
    (hit,) = open_index(index).search("concert", part_weights=weights).hits
    assert json.loads(line)["score"] == hit.score
    nothing = ["--part-weight", "plain-bm25=0", "--part-weight", "english-bm25=0"]
    assert search("concert", *nothing).stdout == ""


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        ([], 2, "give a query"),
        (["x", "--queries", "-"], 2, "give a query"),
        (["--queries", "-", "--json"], 2, "leave out --json"),
        (["x", "-k", "-1"], 2, "-k"),
        (["x", "-k", "ten"], 2, "-k"),
        (["x", "-k", "100000000"], 1, "k must lie between"),
        (["x", "--offset", "-1"], 2, "--offset"),
        (["x", "--threads", "0"], 2, "--threads"),
        (["x", "--filter", "{"], 2, "--filter is not JSON"),
        (["x", "--filter", "[" * 100_000], 2, "--filter is not JSON"),
        (["x", "--filter", "[]"], 1, "a filter is an object"),
        (["x", "--filter", '{"field": "none", "eq": 1}'], 1, "unknown field 'none'"),
        (["x", "--filter", '{"field": "n", "eq": "one"}'], 1, "of type integer"),
        (["x", "--min-score", "nan"], 1, "finite"),
        (["x", "--space", "none"], 1, "no space 'none'"),
        (["x", "--part-weight", "none=1"], 1, "no part 'none'"),
        (["x", "--part-weight", "0.5"], 2, "PART=NUMBER"),
        (["x", "--part-weight", "=0.5"], 2, "PART=NUMBER"),
        (["x", "--part-weight", "plain-bm25=much"], 2, "PART=NUMBER"),
        (["x", "--part-weight", "plain-bm25=-1"], 1, ">= 0"),
        (["x", "--part-weight", "plain-bm25=inf"], 1, "finite"),
        (["program", "--part-weight", "plain-bm25=1e308"], 1, "too large"),
        (["--queries", "none.tsv"], 2, "none.tsv"),
    ],
)
def test_wrong_arguments(search, arguments, code, message):
    answer = search(*arguments)
    assert answer.code == code
    assert answer.stdout == ""
    assert message in answer.stderr.splitlines()[-1]
    assert code == 2 or len(answer.stderr.splitlines()) == 1


def test_no_such_index(search, tmp_path):
    answer = search("x", path=tmp_path / "none")
    assert answer.code == 1
    assert re.fullmatch(r"Error: .*none: no index here .*indexer build.*\n", answer.stderr)


def run_of(answer: Answer) -> dict[str, list[tuple[str, int, np.float32]]]:
    run: dict[str, list[tuple[str, int, np.float32]]] = {}
    for line in answer.stdout.splitlines():
        query_id, constant, doc_id, rank, score, tag = line.split(" ")
        assert (constant, tag) == ("Q0", "winnow")
        run.setdefault(query_id, []).append((doc_id, int(rank), np.float32(score)))
    return run


@pytest.mark.parametrize("threads", [1, 4])
def test_a_run_keeps_our_order_in_every_tool(search, index, tmp_path, threads):
    queries = {"q1": "equal words", "2": "program", "none": "zebra", "é": "run a program"}
    content = "".join(f"{key}\t{text}\r\n" for key, text in queries.items())
    (tmp_path / "queries.tsv").write_bytes(b"\xef\xbb\xbf" + content.encode())
    options = ["--queries", tmp_path / "queries.tsv", "-k", 25, "--threads", threads]
    answer = search(*options)
    assert answer.code == 0
    run = run_of(answer)
    assert list(run) == ["q1", "2", "é"]
    assert search("--queries", "-", "-k", 25, stdin=content.encode()).stdout == answer.stdout
    for key, ranking in run.items():
        hits = open_index(index).search(queries[key], 25).hits
        assert [(doc_id, rank) for doc_id, rank, _ in ranking] == [(h.doc_id, h.rank) for h in hits]
        scores = [score for _, _, score in ranking]
        assert all(a > b for a, b in itertools.pairwise(scores))
        assert scores == pytest.approx([hit.score for hit in hits], rel=1e-5)


def test_queries_that_are_none(search, tmp_path):
    assert search("--queries", "-", stdin=b"").stdout == ""
    for content, message in {
        b"q1 no tab\n": "QUERY_ID<tab>QUERY",
        b"q 1\tprogram\n": "white space",
        b"\tprogram\n": "is empty",
        b"q1\t\xff\xfe\n": "not UTF-8",
    }.items():
        answer = search("--queries", "-", stdin=content)
        assert answer.code in (1, 2)
        assert answer.stdout == ""
        assert message in answer.stderr.splitlines()[-1]


def test_identifiers_that_a_run_cannot_carry(search, tmp_path):
    build(
        [Document("two words", "wheat"), Document("x\ny", "wheat")], tmp_path / "i", "english-bm25"
    )
    answer = search("--queries", "-", path=tmp_path / "i", stdin=b"q1\twheat\n")
    assert answer.code == 1
    assert "'two words'" in answer.stderr
    assert "'x\\ny'" in search("wheat", path=tmp_path / "i").stdout  # one line per hit
    delete_documents(tmp_path / "i", ["two words"])
    (line,) = search("wheat", "--json", path=tmp_path / "i").stdout.splitlines()
    assert json.loads(line)["doc_id"] == "x\ny"


def test_a_query_of_ten_megabytes(search):
    queries = b"long\t" + b"program run " * 900_000 + b"\nshort\tconcert\n"
    run = run_of(search("--queries", "-", "-k", 5, stdin=queries))
    assert len(run["long"]) == 5
    assert [doc_id for doc_id, _, _ in run["short"]] == ["a"]


def test_a_closed_pipe_is_no_failure(index, tmp_path):
    """As in ``indexer search ... | head -1``."""
    (tmp_path / "queries.tsv").write_text("".join(f"q{i}\tequal program\n" for i in range(500)))
    command = [sys.executable, "-m", "indexer", "search", index, "-k", "50"]
    process = subprocess.Popen(
        [*command, "--queries", tmp_path / "queries.tsv"],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    assert process.stdout is not None
    assert process.stdout.readline().startswith(b"q0 Q0 ")
    process.stdout.close()
    assert process.stderr is not None
    assert process.stderr.read() == b""
    process.stderr.close()
    assert process.wait(60) == 0


@pytest.mark.parametrize("value", [1e203, 1e308])
def test_weights_too_large_to_add_up_are_an_error(index, value):
    with pytest.raises(QueryError, match="too large"):
        open_index(index).search(SparseVector({"program": value}))


@pytest.mark.parametrize("value", [1e-300, 1e-190, 1e190])
def test_extreme_weights_give_finite_scores(index, value):
    for hit in open_index(index).search(SparseVector({"program": value, "run": value})).hits:
        assert 0 < hit.score < float("inf")

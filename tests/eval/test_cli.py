"""``python -m eval`` as users call it."""

from __future__ import annotations

import gzip
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import pytrec_eval

from encoders.base import Document
from eval.cli import main
from eval.results import read_results
from indexer.builder import build

CORPUS = {
    "d1": ("Subprocess", "Run another program and capture its output."),
    "d2": ("Sorting", "Sort a list of records by a key."),
    "d3": ("Sockets", "Open a network connection to another program."),
    "d4": ("Dates", "Parse a date, and format dates."),
    "q1": ("Same id as a query", "Capture the output of a program."),
}
QUERIES = {"q1": "capture output of a program", "q2": "sorts things", "q3": "zebra"}
QRELS = {"q1": {"d1": 2, "d3": 1}, "q2": {"d2": 1}, "q3": {"d4": 1}}


@pytest.fixture(scope="module")
def collection(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("data") / "library"
    (folder / "qrels").mkdir(parents=True)
    corpus = [{"_id": i, "title": title, "text": text} for i, (title, text) in CORPUS.items()]
    queries = [{"_id": i, "text": text} for i, text in QUERIES.items()]
    for name, records in (("corpus.jsonl", corpus), ("queries.jsonl", queries)):
        (folder / name).write_text("".join(json.dumps(record) + "\n" for record in records))
    lines = [f"{q}\t{d}\t{r}\n" for q, judged in QRELS.items() for d, r in judged.items()]
    (folder / "qrels" / "test.tsv").write_text("query-id\tcorpus-id\tscore\n" + "".join(lines))
    return folder


@pytest.fixture(scope="module")
def index(collection: Path) -> Path:
    path = collection.with_name("library.winnow")
    build(collection, path, "english-bm25")
    return path


def python_m_eval(*arguments: str | Path, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "eval", *map(str, arguments)],
        capture_output=True,
        text=True,
        cwd=Path(__file__).parents[2],
        env={**os.environ, **environment},
        timeout=200,
    )


@pytest.fixture
def call(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Callable[..., tuple[int, str, str]]:
    """The same without a process of its own: exit status, standard output and error."""

    def run_main(*arguments: str | Path) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["eval", *map(str, arguments)])
        with pytest.raises(SystemExit) as stopped:
            main()
        printed = capsys.readouterr()
        return int(stopped.value.code or 0), printed.out, printed.err

    return run_main


@pytest.fixture(scope="module")
def evaluated(
    collection: Path, index: Path, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, subprocess.CompletedProcess[str]]:
    output = tmp_path_factory.mktemp("results") / "out"
    done = python_m_eval(
        "run",
        *("--data", collection),
        *("--index", f"built={index}"),
        *("--encoder", "plain-bm25"),
        *("--peer", "bm25s"),
        *("-o", output),
        WINNOW_BM25S_PYTHON="/nowhere/python",
    )
    return output, done


def test_run_writes_what_it_prints(evaluated: tuple[Path, subprocess.CompletedProcess]) -> None:
    output, done = evaluated
    assert done.returncode == 0, done.stderr
    assert done.stdout == (output / "results.md").read_text()
    assert "| library | test | 3 |" in done.stdout
    assert "bm25s on library absent: bm25s: the interpreter '/nowhere/python'" in done.stdout
    assert "library: bm25s: absent" in done.stderr
    names = sorted(path.name for path in output.iterdir())
    assert names == [
        "library.built.per_query.tsv",
        "library.built.run.gz",
        "library.plain-bm25.per_query.tsv",
        "library.plain-bm25.run.gz",
        "results.json",
        "results.md",
    ]


def test_results_agree_with_trec_eval(evaluated: tuple[Path, subprocess.CompletedProcess]) -> None:
    output, _ = evaluated
    held = read_results(output)
    assert held.measures == ["nDCG@10", "R@100", "RR@10", "AP"]
    assert held.versions["winnow-search"]
    built, plain, absent = held.results
    assert (built.status, plain.status, absent.status) == ("ok", "ok", "absent")
    assert built.missing_queries == ["q3"]
    assert plain.missing_queries == ["q2", "q3"]  # without stemming
    assert built.identical_ids == 1  # the document q1
    assert built.build_seconds is None
    assert plain.build_seconds is not None
    for result in (built, plain):
        assert result.run_file is not None
        run: dict[str, dict[str, float]] = {}
        with gzip.open(output / result.run_file, "rt") as file:
            for line in file:
                query_id, _, doc_id, _, score, _ = line.split()
                run.setdefault(query_id, {})[doc_id] = float(score)
        assert "q1" not in run["q1"]
        evaluator = pytrec_eval.RelevanceEvaluator(QRELS, {"ndcg_cut_10", "map"})
        values = evaluator.evaluate(run).values()
        for ours, theirs in (("nDCG@10", "ndcg_cut_10"), ("AP", "map")):
            mean = sum(value[theirs] for value in values) / len(QRELS)
            assert result.measures[ours] == pytest.approx(mean, abs=1e-5)


def test_modules_of_the_command_line_are_light() -> None:
    """``--help`` must answer at once."""
    code = (
        "import sys, eval.cli; "
        "sys.exit(any(m in sys.modules for m in ('scipy', 'numba', 'ir_measures', 'pydantic')))"
    )
    subprocess.run([sys.executable, "-c", code], check=True, cwd=Path(__file__).parents[2])


def test_results_are_not_overwritten(
    evaluated: tuple[Path, subprocess.CompletedProcess], collection: Path, call: Callable
) -> None:
    output, _ = evaluated
    code, out, err = call("run", "--data", collection, "--encoder", "plain-bm25", "-o", output)
    assert (code, out) == (2, "")
    assert "add --overwrite" in err


def test_report_prints_the_same_tables(
    evaluated: tuple[Path, subprocess.CompletedProcess], call: Callable
) -> None:
    output, run = evaluated
    assert call("report", output) == (0, run.stdout, "")
    code, out, _ = call("report", output / "results.json", "--json")
    assert code == 0
    assert out == (output / "results.json").read_text()


def test_compare(
    evaluated: tuple[Path, subprocess.CompletedProcess], collection: Path, call: Callable
) -> None:
    output, _ = evaluated
    done = python_m_eval("compare", output, "--systems", "built", "plain-bm25", "--json")
    assert done.returncode == 0, done.stderr
    rows = json.loads(done.stdout)["comparisons"]
    assert [row["measure"] for row in rows] == ["nDCG@10", "R@100", "RR@10", "AP"]
    assert all(row["wins"] + row["ties"] + row["losses"] == row["queries"] == 3 for row in rows)
    recall = rows[1]
    assert recall["difference"] == pytest.approx(recall["mean_a"] - recall["mean_b"])
    assert (recall["wins"], recall["losses"]) == (1, 0)  # q2, which needs stemming

    files = {
        kind: [output / f"library.{system}.{kind}" for system in ("built", "plain-bm25")]
        for kind in ("run.gz", "per_query.tsv")
    }
    qrels = collection / "qrels" / "test.tsv"
    for arguments in ([*files["run.gz"], "--qrels", qrels], files["per_query.tsv"]):
        code, out, err = call("compare", *arguments, "--json")
        assert (code, err) == (0, "")
        assert json.loads(out)["comparisons"] == rows
    code, out, _ = call("compare", *files["run.gz"], "--qrels", qrels, "--measure", "P@1")
    assert code == 0
    assert "| library | P@1 | 3 |" in out
    code, _, err = call("compare", *files["run.gz"])
    assert code == 1
    assert "give the judgements with --qrels" in err


def test_json_output(collection: Path, index: Path, call: Callable) -> None:
    code, out, err = call(
        *("run", "--data", collection, "--index", index.parent / "{collection}.winnow"),
        *("--measure", "RR", "-k", "1", "--keep-identical-ids", "-q", "--json"),
    )
    assert (code, err) == (0, "")
    printed = json.loads(out)
    [result] = printed["results"]
    assert result["system"] == "index"
    assert result["settings"]["encoder"] == "1*english-bm25"
    assert set(result["measures"]) == {"RR"}
    assert (printed["k"], result["identical_ids"]) == (1, 0)


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["run", "--data", "/nowhere", "--peer", "bm25s"], 2, "does not exist"),
        (["run", "--data", "DATA"], 2, "give --index, --encoder or --peer"),
        (["run", "--data", "DATA", "--peer", "x"], 2, "'x' is not one of"),
        (["run", "--data", "DATA", "--encoder", "a b"], 1, "error: "),
        (["run", "--data", "DATA", "--peer", "bm25s", "--split", "dev"], 1, "one of: test"),
        (["run", "--data", "DATA", "--peer", "bm25s", "--measure", "x"], 1, "not a measure"),
        (["run", "--data", "DATA", "--data", "DATA", "--peer", "bm25s"], 2, "two collections"),
        (["run", "--data", "DATA", *["--encoder", "plain-bm25"] * 2], 2, "name them"),
        (["run", "--data", "DATA", "--index", "/nowhere"], 1, "/nowhere"),
        (["compare", "DATA/queries.jsonl"], 2, "two files"),
        (["compare", "DATA", "--systems", "a", "b"], 1, "results.json cannot be read"),
        (["report", "DATA"], 1, "results.json cannot be read"),
    ],
)
def test_mistakes_get_one_line(
    collection: Path, arguments: list[str], code: int, message: str, call: Callable
) -> None:
    filled = [argument.replace("DATA", str(collection)) for argument in arguments]
    stopped, out, err = call(*filled)
    assert stopped == code, err
    assert message in out + err


def test_an_index_of_another_collection_is_noticed(
    collection: Path, tmp_path: Path, call: Callable
) -> None:
    build([Document("other", "program output")], tmp_path / "other.winnow", "english-bm25")
    code, out, _ = call("run", "--data", collection, "--index", tmp_path / "other.winnow")
    assert code == 1
    assert "holds none of 4 relevant documents of library" in out


def test_static_vectors_of_indexes_and_encoders(
    collection: Path, vectors_directory: Path, tmp_path: Path, call: Callable
) -> None:
    index = tmp_path / "ranked.winnow"
    build(collection, index, "english-bm25", vectors=str(vectors_directory))

    def run(*arguments: object) -> dict:
        given = ("run", "--data", collection, "--measure", "RR", "-q", "--json", *arguments)
        code, out, err = call(*given)
        assert (code, err) == (0, "")
        [result] = json.loads(out)["results"]
        return result

    of_index = run("--index", index)
    assert of_index["settings"]["vectors"] == "3*vectors, first 8"
    assert "vectors" not in run("--index", index, "--rerank", 0)["settings"]
    encoder = ("--encoder", "english-bm25", "--vectors", vectors_directory)
    of_encoder = run(*encoder)
    assert of_encoder["measures"] == of_index["measures"]
    assert run(*encoder, "--rerank", 5)["settings"]["vectors"] == "5*vectors, first 8"
    assert "vectors" not in run("--encoder", "english-bm25")["settings"]
    code, out, err = call("run", "--data", collection, "--encoder", "bm25", "--rerank", 5)
    assert (code, out) == (2, "")
    assert "--vectors static" in err
    code, _, err = call("run", "--data", collection, "--index", index, "--rerank", "2e9")
    assert (code, "--rerank must be at most 1e+09" in err) == (2, True)
    for vectors in ("auto", tmp_path / "nothing"):
        code, _, err = call(
            *("run", "--data", collection, "--encoder", "bm25"),
            *("--rerank", 5, "--vectors", vectors),
        )
        assert code == 1
        assert "no static vectors" in err

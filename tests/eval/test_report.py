"""Tables, results files, and the description of the machine."""

from __future__ import annotations

import datetime
from pathlib import Path

import pytest

from eval.compare import Pair, compare, pairs_of_results
from eval.errors import ComparisonError, ResultsError
from eval.machine import describe_machine, package_versions
from eval.per_query import read_per_query, write_per_query
from eval.report import comparison_table, merge_results, results_table
from eval.results import Result, Results, read_results, write_results


def result(collection: str, system: str, value: float | None, **fields: object) -> Result:
    measures = {} if value is None else {"AP": value}
    return Result(
        collection=collection,
        split="test",
        system=system,
        queries=20,
        measures=measures,
        **fields,  # type: ignore[arg-type]
    )


def results(*several: Result) -> Results:
    return Results(
        created=datetime.datetime(2026, 1, 2, tzinfo=datetime.UTC),
        command="python -m eval run",
        k=1000,
        ignore_identical_ids=True,
        measures=["AP"],
        machine=describe_machine(),
        versions={"numpy": "2"},
        results=list(several),
    )


def test_table_of_several_collections() -> None:
    table = results_table(
        results(
            result("a", "ours", 0.5, build_seconds=1.0, search_seconds=0.1),
            result("a", "peer|x", 0.25),
            result("a", "gone", None, status="absent", reason="to install: pip install gone"),
            result("b", "ours", 0.25, missing_queries=["q1"], notes=["a note"]),
            result("b", "peer|x", 0.75, identical_ids=3, identical_ids_judged_relevant=2),
            result("b", "gone", None, status="failed", reason="out of memory"),
        )
    )
    lines = table.splitlines()
    assert "| collection | split | queries | ours | peer\\|x | gone |" in lines
    assert "| a | test | 20 | **0.50000** | 0.25000 | absent |" in lines
    assert "| b | test | 20 | 0.25000 | **0.75000** | failed |" in lines
    assert "| mean |  |  | 0.37500 | **0.50000** | – |" in lines
    assert "| a | ours | 1.0 | 5.00 |" in lines
    assert "- gone on a absent: to install: pip install gone" in lines
    assert "- gone on b failed: out of memory" in lines
    assert "- ours on b: 1 judged queries without any document count as 0: q1" in lines
    assert any(line.startswith("- b: 2 documents removed") for line in lines)
    assert "- ours: a note" in lines
    assert any(line.startswith("- Machine: ") for line in lines)


def test_results_file_round_trip(tmp_path: Path) -> None:
    written = results(result("a", "ours", 0.5, settings={"k1": 0.9, "b": None}))
    write_results(tmp_path / "results.json", written)
    assert read_results(tmp_path) == written
    assert read_results(tmp_path / "results.json") == written
    assert [path.name for path in tmp_path.iterdir()] == ["results.json"]


@pytest.mark.parametrize("content", ["", "{}", '{"format": 2}', "[1]"])
def test_other_files_are_no_results(tmp_path: Path, content: str) -> None:
    (tmp_path / "results.json").write_text(content)
    with pytest.raises(ResultsError, match="is not a results file"):
        read_results(tmp_path)
    with pytest.raises(ResultsError, match="cannot be read"):
        read_results(tmp_path / "nowhere.json")


def test_merging_results() -> None:
    one, two = results(result("a", "x", 0.5)), results(result("a", "y", 0.25))
    merged = merge_results([one, two])
    assert [r.system for r in merged.results] == ["x", "y"]
    assert "| a | test | 20 | **0.50000** | 0.25000 |" in results_table(merged)
    with pytest.raises(ResultsError, match="two of the files have 'x' on a"):
        merge_results([one, one])
    with pytest.raises(ResultsError, match="different k"):
        merge_results([one, two.model_copy(update={"k": 10})])
    with pytest.raises(ResultsError, match="versions"):
        merge_results([one, two.model_copy(update={"versions": {"numpy": "1"}})])


def test_pairs_of_a_results_folder(tmp_path: Path) -> None:
    for collection, system, value in (("a", "x", 0.5), ("a", "y", 0.25), ("b", "x", 1.0)):
        values = {"q1": {"AP": value}, "q2": {"AP": 0.1 + 0.2}}
        write_per_query(tmp_path / f"{collection}.{system}.tsv", values)
        assert read_per_query(tmp_path / f"{collection}.{system}.tsv") == values
    held = results(
        *(
            result(c, s, 0.5, per_query_file=f"{c}.{s}.tsv")
            for c, s in (("a", "x"), ("a", "y"), ("b", "x"))
        )
    )
    [pair] = pairs_of_results(held, tmp_path, "x", "y")
    assert (pair.collection, pair.a["q1"], pair.b["q1"]) == ("a", {"AP": 0.5}, {"AP": 0.25})
    with pytest.raises(ComparisonError, match="no system 'z' with figures; there are: 'x', 'y'"):
        pairs_of_results(held, tmp_path, "x", "z")


@pytest.mark.parametrize(
    "content", ["query_id\tAP\nq1\n", "query_id\tAP\nq1\tx\n", "query_id\tAP\nq\t1\nq\t1\n"]
)
def test_bad_per_query_files_are_named(tmp_path: Path, content: str) -> None:
    path = tmp_path / "x.tsv"
    path.write_text(content)
    with pytest.raises(ResultsError, match=r"x.tsv, line \d: expected a new query id"):
        read_per_query(path)


def test_table_of_a_comparison() -> None:
    a = {"q1": {"AP": 0.5}, "q2": {"AP": 0.75}}
    b = {"q1": {"AP": 0.25}, "q2": {"AP": 0.75}}
    table = comparison_table(compare([Pair("c", a, b)]), "ours", "theirs")
    assert "| c | AP | 2 | 0.62500 | 0.50000 | +0.12500 | [+0.00000, +0.25000] | 1/1/0 |" in table
    assert table.startswith("A: ours\n\nB: theirs\n")
    single = comparison_table(compare([Pair("c", {"q": {"AP": 1.0}}, {"q": {"AP": 0.5}})]), "", "")
    assert "| – (–) | 1.0000 (1.0000) |" in single


@pytest.mark.parametrize(
    ("flags", "expected"),
    [
        ("flags\t\t: fpu avx2 avx512f avx512bw", "avx512"),
        ("flags\t\t: fpu avx avx2", "avx2"),
        ("Features\t: fp asimd", "neon"),
    ],
)
def test_instruction_set(tmp_path: Path, flags: str, expected: str) -> None:
    cpuinfo = tmp_path / "cpuinfo"
    cpuinfo.write_text(f"processor\t: 0\nmodel name\t: A chip\n{flags}\n")
    machine = describe_machine(cpuinfo)
    assert (machine.cpu, machine.instruction_set) == ("A chip", expected)


def test_machine_without_cpuinfo_and_versions(tmp_path: Path) -> None:
    machine = describe_machine(tmp_path / "nowhere")
    assert machine.cores >= 1
    assert machine.instruction_set
    assert {"numpy", "ir-measures"} <= package_versions().keys()

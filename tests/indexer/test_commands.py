"""``indexer add, delete, configure, inspect, verify, doctor``: what users see.

Standard output is data, standard error is progress and one line per error; exit codes are 0, 1
(could not), 2 (asked wrongly) and 130 (interrupted).
"""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path

import click
import pytest

from encoders.base import Document
from indexer.builder import build
from indexer.cli import cli
from indexer.format.manifest import read_manifest
from indexer.settings import BuildSettings
from indexer.verification import verify
from retriever.searcher import open_index


def write_jsonl(path: Path, rows: list[dict]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def rows(count: int, prefix: str = "d", **more: object) -> list[dict]:
    return [{"id": f"{prefix}{i}", "text": f"wheat number {i}", **more} for i in range(count)]


@pytest.fixture
def corpus(tmp_path) -> Path:
    """Ten records, two of which cannot be indexed."""
    good = rows(8, year=1999)
    return write_jsonl(
        tmp_path / "corpus.jsonl", [*good, {"id": "d0", "text": "again"}, {"text": "no id"}]
    )


@pytest.fixture
def index(tmp_path, indexer) -> Path:
    source = write_jsonl(tmp_path / "source.jsonl", rows(8, year=1999))
    assert (
        indexer("build", "--analyzer", "english", source, "-o", tmp_path / "index", "-q").code == 0
    )
    return tmp_path / "index"


def hits(index: Path, query: str = "wheat", **options: object) -> list[str]:
    return [hit.doc_id for hit in open_index(index).search(query, 100, **options).hits]


class TestAdd:
    def test_new_documents_and_duplicates(self, indexer, index, tmp_path):
        more = write_jsonl(tmp_path / "more.jsonl", [*rows(3), *rows(2, "new")])
        answer = indexer("add", index, more, "-q")
        assert answer.code == 0
        assert "generation 2" in answer.stdout
        assert "3 x repeated id" in answer.stdout
        assert hits(index)[-2:] == ["new0", "new1"]
        lines = (tmp_path / "index.rejects.jsonl").read_text().splitlines()
        assert all("--replace" in json.loads(line)["reason"] for line in lines)
        answer = indexer("add", index, more, "-q", "--strict")
        assert answer.code == 1
        assert read_manifest(index).generation == 2

    def test_replacing(self, indexer, index, tmp_path):
        changed = [{"id": "d1", "text": "barley"}, {"id": "d9", "text": "barley"}]
        source = write_jsonl(tmp_path / "more.jsonl", changed)
        report = json.loads(indexer("add", index, source, "--replace", "--json").stdout)
        assert (report["documents"], report["replaced"]) == (2, 1)
        assert hits(index, "barley") == ["d1", "d9"]
        assert "d1" not in hits(index, "wheat")

    def test_values_get_the_types_of_the_index(self, indexer, tmp_path):
        """A field that looks like a number this time stays what it was."""
        (tmp_path / "first.csv").write_text("id,text,code,price\n1,wheat,A7,1.5\n")
        (tmp_path / "second.csv").write_text("id,text,code,price\n2,wheat,007,2\n")
        assert (
            indexer(
                "build", "--analyzer", "english", tmp_path / "first.csv", "-o", tmp_path / "i", "-q"
            ).code
            == 0
        )
        report = json.loads(
            indexer("add", tmp_path / "i", tmp_path / "second.csv", "--json").stdout
        )
        assert report["rejected"] == {}
        assert open_index(tmp_path / "i").document("2").metadata == {"code": "007", "price": 2.0}
        (tmp_path / "third.csv").write_text("id,text,code,price\n3,wheat,x,cheap\n")
        report = json.loads(
            indexer("add", tmp_path / "i", tmp_path / "third.csv", "--json", "-q").stdout
        )
        assert report["rejected"] == {"wrong type": 1}

    def test_nothing_to_add_to(self, indexer, corpus, tmp_path):
        answer = indexer("add", tmp_path / "none", corpus, "-q")
        assert answer.code == 1
        assert "no index here" in answer.error
        assert not (tmp_path / "none").exists()
        assert indexer("add", tmp_path / "none").code == 2


class TestDelete:
    def test_ids(self, indexer, index):
        answer = indexer("delete", index, "d1", "d2", "d2", "nobody")
        assert answer.code == 0
        assert answer.stdout == f"{index}: generation 2, 2 deleted, 1 not in the index\n"
        assert hits(index) == ["d0", "d3", "d4", "d5", "d6", "d7"]

    def test_unknown_ids_change_nothing(self, indexer, index):
        answer = indexer("delete", index, "nobody", "d1 ")
        assert answer.code == 1
        assert answer.stdout == f"{index}: generation 1, 0 deleted, 2 not in the index\n"

    @pytest.mark.parametrize("ending", ["\n", "\r\n"])
    def test_ids_from_a_file(self, indexer, index, tmp_path, ending):
        (tmp_path / "ids").write_bytes(f"\ufeffd1{ending}{ending}d3{ending}d5".encode())
        assert indexer("delete", index, "d7", "--from", tmp_path / "ids").code == 0
        assert hits(index) == ["d0", "d2", "d4", "d6"]
        assert indexer("delete", index, "--from", "-", stdin=b"d0\nd2\n").code == 0
        assert hits(index) == ["d4", "d6"]

    def test_wrong_usage(self, indexer, index, tmp_path):
        assert indexer("delete", index).code == 2
        assert indexer("delete", index, "--from", tmp_path / "none").code == 2
        (tmp_path / "latin").write_bytes(b"d1\n\xe9t\xe9\n")
        answer = indexer("delete", index, "--from", tmp_path / "latin")
        assert answer.code == 2
        assert "not UTF-8" in answer.error
        assert indexer("delete", tmp_path / "none", "d1").code == 1
        assert read_manifest(index).generation == 1


class TestConfigure:
    @pytest.fixture
    def parts(self, indexer, corpus, tmp_path) -> Path:
        encoder = ["--encoder", "english-bm25 + 0.5*plain-bm25"]
        assert indexer("build", corpus, "-o", tmp_path / "parts", "-q", *encoder).code == 0
        return tmp_path / "parts"

    def test_weight(self, indexer, parts):
        score = open_index(parts).search("wheat").hits[0].score
        answer = indexer("configure", parts, "--part", "plain-bm25", "--weight", "2.5")
        assert answer.code == 0
        assert answer.stdout == "part plain-bm25: weight 2.5, query table corpus-idf\n"
        assert read_manifest(parts).generation == 2
        assert open_index(parts).search("wheat").hits[0].score > score
        assert verify(parts).problems == ()

    @pytest.mark.parametrize(
        ("options", "code", "message"),
        [
            ([], 2, "nothing to change"),
            (["--weight", "2"], 1, "choose among 'english-bm25', 'plain-bm25'"),
            (["--weight", "2", "--part", "none"], 1, "no part 'none'"),
            (["--weight", "2", "--space", "none"], 1, "no space 'none'"),
            (["--weight", "0", "--part", "plain-bm25"], 1, "above 0"),
            (["--weight", "nan", "--part", "plain-bm25"], 1, "above 0"),
            (["--weight", "inf", "--part", "plain-bm25"], 1, "above 0"),
            (["--weight", "heavy", "--part", "plain-bm25"], 2, "--weight"),
            (["--query-table", "published", "--part", "plain-bm25"], 1, "published"),
            (["--query-table", "none.json", "--part", "plain-bm25"], 1, "open vocabulary"),
        ],
    )
    def test_wrong_values(self, indexer, parts, options, code, message):
        answer = indexer("configure", parts, *options)
        assert answer.code == code
        assert message in answer.error
        assert read_manifest(parts).generation == 1

    @pytest.mark.torch
    def test_query_tables(self, indexer, corpus, tmp_path, write_router: Callable, tokens):
        checkpoint = write_router(tmp_path / "checkpoint")
        index = tmp_path / "i"
        encoder = ["--encoder", f"splade:{checkpoint}"]
        assert indexer("build", corpus, "-o", index, "-q", *encoder).code == 0
        word = "index"
        write_jsonl(tmp_path / "more.jsonl", [{"id": "x", "text": word}])
        assert indexer("add", index, tmp_path / "more.jsonl", "-q").code == 0

        def weight() -> float:
            terms = open_index(index)._snapshot.space(None).terms(word)
            return terms[0].weight

        published = weight()
        assert indexer("configure", index, "--query-table", "corpus-idf").code == 0
        assert weight() != pytest.approx(published)
        assert indexer("configure", index, "--query-table", "published").code == 0
        assert weight() == pytest.approx(published)
        table = tmp_path / "idf.json"
        for value in (7.25, 3.5):
            table.write_text(json.dumps(dict.fromkeys(tokens, value)))
            assert indexer("configure", index, "--query-table", table).code == 0
            assert weight() == pytest.approx(value)
            assert verify(index).problems == ()
        tables = [path.name for path in (index / "query").iterdir() if ".table." in path.name]
        assert len(tables) == 1  # those that nothing refers to are gone
        table.write_text('{"no such token": 1}')
        answer = indexer("configure", index, "--query-table", table)
        assert answer.code == 1
        assert "no such token" in answer.error
        assert indexer("configure", index, "--query-table", tmp_path / "none.json").code == 1
        assert weight() == pytest.approx(3.5)


class TestInspect:
    def test_text(self, indexer, index):
        indexer("delete", index, "d1")
        answer = indexer("inspect", index)
        assert answer.code == 0
        assert answer.stderr == ""
        for part in (
            "generation 2",
            "7 documents, 7 passages",
            "part english-bm25: weight 1",
            "fields year: integer",
            "8 documents, 1 deleted",
            "stored texts",
            "all files",
        ):
            assert part in answer.stdout
        purposes = re.findall(r"^    (\S.*?) {2,}[\d.]+ k?B ", answer.stdout, re.MULTILINE)
        assert {"default: posting lists", "default: bounds", "document ids"} < set(purposes)
        postings = re.search(r"default: (\d+), ([\d.]+) per passage", answer.stdout)
        assert postings
        assert int(postings[1]) == sum(
            space.postings.posting_count
            for segment in open_index(index)._snapshot.segments
            for space in segment.spaces.values()
        )
        assert "0.00 MB" not in answer.stdout

    def test_json(self, indexer, index):
        manifest = json.loads(indexer("inspect", index, "--json").stdout)
        assert manifest == read_manifest(index).model_dump(mode="json")

    @pytest.mark.parametrize("command", ["inspect", "verify"])
    def test_no_index(self, indexer, tmp_path, corpus, command):
        for place in (tmp_path, tmp_path / "none", corpus):
            answer = indexer(command, place)
            assert answer.code == 1
            assert answer.stdout == ""
            assert re.fullmatch(r"Error: .*: no index here .*\n", answer.stderr)

    def test_verify(self, indexer, index):
        answer = indexer("verify", index)
        assert answer.code == 0
        assert re.fullmatch(
            r".*: generation 1, \d+ files, [\d.]+ kB: all as written\n", answer.stdout
        )


def test_doctor(indexer):
    answer = indexer("doctor")
    lines = answer.stdout.splitlines()
    assert all(line.startswith(("ok   ", "FAIL ")) for line in lines)
    assert answer.code == any(line.startswith("FAIL") for line in lines)
    for word in (
        "python 3.",
        "processor: ",
        "numba ",
        "torch: ",
        "compiled kernels",
        "default model: ",
        "static vectors: ",
    ):
        assert word in answer.stdout


def test_doctor_names_a_package_that_owns_one_of_our_names(indexer, monkeypatch):
    owners = {"kernels": ["kernels", "winnow-search"], "api": ["winnow-search"]}
    monkeypatch.setattr("indexer.diagnosis.packages_distributions", lambda: owners)
    answer = indexer("doctor")
    assert answer.code == 1
    (line,) = (line for line in answer.stdout.splitlines() if line.startswith("FAIL"))
    assert line.startswith("FAIL the package name 'kernels' is also owned by kernels:")


@pytest.mark.parametrize(
    ("place", "name", "problem"),
    [
        ("SHIPPED_MODEL", "default model", " is not an exported encoder"),
        ("SHIPPED_VECTORS", "static vectors", ": no static vectors"),
    ],
)
def test_doctor_finds_what_is_damaged(indexer, monkeypatch, tmp_path, place, name, problem):
    monkeypatch.setattr(f"encoders.shipped.{place}", tmp_path)
    answer = indexer("doctor")
    assert answer.code == 1
    (line,) = (line for line in answer.stdout.splitlines() if name in line)
    assert line.startswith(f"FAIL {name}: {tmp_path}{problem}")


def test_doctor_looks_at_the_axes_for_dense_vectors(indexer, monkeypatch, tmp_path):
    from encoders.shipped import SHIPPED_VECTORS
    from encoders.static_config import DENSE_NAME

    copy = Path(shutil.copytree(SHIPPED_VECTORS, tmp_path / "vectors"))
    monkeypatch.setattr("encoders.shipped.SHIPPED_VECTORS", copy)
    assert indexer("doctor").code == 0
    content = bytearray((copy / DENSE_NAME).read_bytes())
    content[-7] ^= 1
    (copy / DENSE_NAME).write_bytes(content)
    answer = indexer("doctor")
    assert answer.code == 1
    assert f"FAIL static vectors: {copy / DENSE_NAME} is not the file" in answer.stdout


class TestFailures:
    """What goes wrong in ways that nobody foresaw is still one line."""

    @pytest.fixture(autouse=True)
    def _failing_command(self, monkeypatch):
        @click.command()
        @click.argument("kind")
        def fail(kind: str) -> None:
            errors: dict[str, BaseException] = {
                "key": KeyError("some\nkey"),
                "disk": OSError(28, "No space left on device", "index/file"),
                "memory": MemoryError(),
                "interrupt": KeyboardInterrupt(),
                "pipe": BrokenPipeError(32, "Broken pipe"),
            }
            raise errors[kind]

        monkeypatch.setitem(cli.commands, "fail", fail)
        monkeypatch.setattr(type(cli), "get_command", lambda self, _, name: self.commands.get(name))

    @pytest.mark.parametrize(
        ("kind", "code", "line"),
        [
            ("key", 1, r"Error: unexpected KeyError: .* Set WINNOW_DEBUG=1 .*"),
            ("disk", 1, r"Error: index/file: No space left on device"),
            ("memory", 1, r"Error: out of memory; .*--memory.*"),
            ("interrupt", 130, r"interrupted"),
        ],
    )
    def test_one_line(self, indexer, kind, code, line, monkeypatch):
        monkeypatch.delenv("WINNOW_DEBUG", raising=False)
        answer = indexer("fail", kind)
        assert answer.code == code
        assert answer.stdout == ""
        assert re.fullmatch(line, answer.stderr.strip())

    def test_debugging_shows_where(self, indexer, monkeypatch):
        monkeypatch.setenv("WINNOW_DEBUG", "1")
        with pytest.raises(KeyError):
            indexer("fail", "key")


def test_a_build_of_several_segments_tells_of_merging(tmp_path: Path) -> None:
    documents = [Document(str(number), f"text {number}") for number in range(2100)]
    for most, told in ((1000, True), (5000, False)):
        settings = BuildSettings(segment_rows=most)
        output = tmp_path / f"{most}.winnow"
        report = build(documents, output, encoder="plain-bm25", settings=settings)
        assert report.segments == (3 if told else 1)
        assert (f"indexer merge {output}" in report.render()) == told

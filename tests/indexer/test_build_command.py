"""``indexer build``: what users see.

Standard output is data, standard error is progress and one line per error; exit codes are 0, 1
(could not), 2 (asked wrongly) and 130 (interrupted).
"""

from __future__ import annotations

import gzip
import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import click
import pytest

from indexer.commands.building import parse_bytes
from indexer.format.manifest import read_manifest
from indexer.verification import verify
from retriever.searcher import open_index

ROOT = Path(__file__).parents[2]
ENVIRONMENT = {**os.environ, "PYTHONPATH": str(ROOT)}
COMMAND = [sys.executable, "-m", "indexer"]
BUILD = ("build", "--analyzer", "english")


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
    assert indexer(*BUILD, source, "-o", tmp_path / "index", "-q").code == 0
    return tmp_path / "index"


def hits(index: Path, query: str = "wheat", **options: object) -> list[str]:
    return [hit.doc_id for hit in open_index(index).search(query, 100, **options).hits]


class TestBuild:
    def test_needs_no_option(self, corpus, indexer):
        answer = indexer("build", corpus)
        assert answer.code == 0
        index = corpus.with_name("corpus.jsonl.winnow")
        assert len(hits(index)) == 8
        assert answer.stdout.startswith(f"{index}: generation 1 in ")
        assert "8 documents, 8 passages" in answer.stdout
        assert "2 records rejected" in answer.stdout
        assert "JSON lines" in answer.stderr  # what was found out, with a sample
        assert "d0 | wheat number 0" in answer.stderr

    def test_the_default_place_is_beside_the_corpus(self, corpus, indexer, monkeypatch):
        folder = corpus.with_name("folder")
        folder.mkdir()
        corpus.rename(folder / "corpus.jsonl")
        monkeypatch.chdir(folder)
        assert indexer(*BUILD, ".", "-q").code == 0
        assert indexer(*BUILD, "../folder/", "-q", "--overwrite").code == 0
        assert hits(folder.with_name("folder.winnow"))
        assert indexer(*BUILD, "/", "-q").code == 2

    def test_json(self, corpus, indexer, tmp_path):
        answer = indexer(*BUILD, corpus, "-o", tmp_path / "i", "--json")
        report = json.loads(answer.stdout)
        assert report["documents"] == 8
        assert report["rejected"] == {"repeated id": 1, "no id": 1}
        assert answer.stderr  # the sample
        answer = indexer(*BUILD, corpus, "-o", tmp_path / "j", "--json", "--quiet")
        assert answer.stderr == ""

    def test_rejects_are_listed(self, corpus, indexer, tmp_path):
        assert indexer(*BUILD, corpus, "-o", tmp_path / "i", "-q").code == 0
        lines = (tmp_path / "i.rejects.jsonl").read_text().splitlines()
        assert [json.loads(line)["line"] for line in lines] == [9, 10]
        elsewhere = tmp_path / "elsewhere.jsonl"
        assert indexer(*BUILD, corpus, "-o", tmp_path / "j", "--rejects", elsewhere).code == 0
        assert elsewhere.read_text().splitlines() == lines
        assert not (tmp_path / "j.rejects.jsonl").exists()
        answer = indexer(*BUILD, corpus, "-o", tmp_path / "k", "-q", "--rejects", "none/x.jsonl")
        assert answer.code == 1
        assert "the rejects file cannot be written" in answer.stderr

    def test_strict_stops_and_leaves_nothing(self, corpus, indexer, tmp_path):
        answer = indexer(*BUILD, corpus, "-o", tmp_path / "new" / "index", "--strict", "-q")
        assert answer.code == 1
        assert answer.stdout == ""
        assert re.fullmatch(r"Error: .*corpus\.jsonl:9: repeated id: .*\n", answer.stderr)
        assert [path.name for path in tmp_path.iterdir()] == ["corpus.jsonl"]

    def test_schema(self, indexer, tmp_path):
        source = write_jsonl(tmp_path / "c.jsonl", rows(3, year="1999"))
        schema = tmp_path / "schema.json"
        schema.write_text('{"year": "integer"}')
        assert indexer(*BUILD, source, "-o", tmp_path / "i", "--schema", schema, "-q").code == 0
        assert read_manifest(tmp_path / "i").fields == {"year": "integer"}
        schema.write_text('{"year": "number"}')
        answer = indexer(*BUILD, source, "-o", tmp_path / "j", "--schema", schema, "-q")
        assert answer.code == 1
        assert "unknown field type" in answer.error
        assert indexer(*BUILD, source, "-o", tmp_path / "j", "--schema", "none.json").code == 1

    def test_fields_are_mapped(self, indexer, tmp_path):
        record = {"key": "k1", "head": "Oats", "body": "wheat", "more": "rye", "id": 5}
        source = write_jsonl(tmp_path / "c.jsonl", [record])
        mapping = ["--id-field", "key", "--title-field", "head"]
        mapping += ["--text-field", "body", "--text-field", "more"]
        assert indexer(*BUILD, source, "-o", tmp_path / "i", "-q", *mapping).code == 0
        document = open_index(tmp_path / "i").document("k1")
        assert (document.title, document.text) == ("Oats", "wheat\nrye")
        assert document.metadata == {"id": 5}
        answer = indexer(*BUILD, source, "-o", tmp_path / "j", "-q", "--id-field", "none")
        assert answer.code == 1
        assert "'none'" in answer.error

    def test_generated_ids(self, indexer, tmp_path):
        source = write_jsonl(tmp_path / "c.jsonl", [{"text": "wheat"}, {"text": "wheat"}])
        options = ["-o", tmp_path / "i", "-q", "--generate-ids"]
        assert indexer(*BUILD, source, *options).code == 0
        assert hits(tmp_path / "i") == ["c.jsonl:1", "c.jsonl:2"]

    def test_passages(self, indexer, tmp_path):
        text = "One sentence of seven words stands here. " * 50
        source = write_jsonl(tmp_path / "c.jsonl", [{"id": "long", "text": text}])
        counts = {}
        for name, options in {
            "split": ["--passage-tokens", 30],
            "whole": ["--no-split"],
            "both": ["--no-split", "--passage-tokens", 30],
        }.items():
            assert indexer(*BUILD, source, "-o", tmp_path / name, "-q", *options).code == 0
            counts[name] = read_manifest(tmp_path / name).row_count
        assert counts["split"] > 10
        assert counts["whole"] == counts["both"] == 1
        assert indexer(*BUILD, source, "-o", tmp_path / "x", "--passage-tokens", 3).code == 2

    def test_little_memory_makes_several_segments(self, indexer, tmp_path):
        words = [f"word{i}" for i in range(60)]
        records = [{"id": str(i), "text": " ".join(words[i % 7 :])} for i in range(3500)]
        source = write_jsonl(tmp_path / "c.jsonl", records)
        indexes = {"1MiB": tmp_path / "several", "1GB": tmp_path / "one"}
        for memory, index in indexes.items():
            assert indexer(*BUILD, source, "-o", index, "--memory", memory, "-q").code == 0
        counts = [len(read_manifest(index).segments) for index in indexes.values()]
        assert counts[0] > 2
        assert counts[1] == 1
        assert hits(tmp_path / "one", "word3 word59") == hits(tmp_path / "several", "word3 word59")

    @pytest.mark.parametrize("memory", ["10KB", "inf", "nan", "-1GB", "many", "", "1 parsec"])
    def test_no_memory(self, corpus, indexer, memory, tmp_path):
        answer = indexer(*BUILD, corpus, "-o", tmp_path / "i", "--memory", memory)
        assert answer.code == 2
        assert "--memory" in answer.error
        assert not (tmp_path / "i").exists()

    def test_spaces(self, indexer, corpus, tmp_path):
        spaces = ["--encoder", "words=english-bm25:k1=1.2,b=0.75", "--encoder", "exact=plain-bm25"]
        assert indexer("build", corpus, "-o", tmp_path / "i", "-q", *spaces).code == 0
        manifest = read_manifest(tmp_path / "i")
        assert manifest.spaces.keys() == {"words", "exact"}
        assert manifest.default_space == "words"
        assert manifest.spaces["words"].parts[0].encoder.parameters["k1"] == 1.2
        assert hits(tmp_path / "i", "numbers", space="words")
        assert not hits(tmp_path / "i", "numbers", space="exact")

    @pytest.mark.parametrize(
        ("options", "code", "message"),
        [
            (["--encoder", "english-bm26"], 1, "Did you mean 'english-bm25'?"),
            (["--encoder", "english-bm25 +"], 1, "expected the name of an encoder"),
            (["--encoder", "0*english-bm25"], 1, "above 0"),
            (["--encoder", "english-bm25:k1=-1"], 1, "k1"),
            (["--encoder", "splade:none"], 1, "none"),
            (["--encoder", "a=plain-bm25", "--encoder", "a=plain-bm25"], 2, "'a'"),
            (["--encoder", "é=plain-bm25"], 1, "letters, digits"),
            (["--encoder", "-=plain-bm25"], 1, "expected the name of an encoder"),
            (["--encoder", "plain-bm25", "--analyzer", "plain"], 2, "one of them"),
            (["--analyzer", "klingon"], 1, "klingon-bm25"),
            (["--format", "docx"], 1, "docx"),
            (["--no-such-option"], 2, "--no-such-option"),
        ],
    )
    def test_wrong_options(self, indexer, corpus, tmp_path, options, code, message):
        answer = indexer("build", corpus, "-o", tmp_path / "i", "-q", *options)
        assert answer.code == code
        assert message in answer.error
        assert answer.stdout == ""
        assert code == 2 or len(answer.stderr.splitlines()) == 1
        assert not (tmp_path / "i").exists()

    def test_analyzer(self, indexer, corpus, tmp_path):
        options = ["-o", tmp_path / "i", "-q", "--analyzer", "plain"]
        assert indexer("build", corpus, *options).code == 0
        assert read_manifest(tmp_path / "i").spaces["default"].parts[0].name == "plain-bm25"

    def test_an_index_is_not_overwritten_unasked(self, indexer, corpus, index):
        before = read_manifest(index)
        answer = indexer(*BUILD, corpus, "-o", index, "-q")
        assert answer.code == 1
        assert "--overwrite" in answer.error
        assert read_manifest(index) == before
        assert indexer(*BUILD, corpus, "-o", index, "-q", "--overwrite").code == 0
        assert read_manifest(index).generation == 2

    def test_other_files_are_never_overwritten(self, indexer, corpus, tmp_path):
        folder = tmp_path / "precious"
        folder.mkdir()
        (folder / "thesis.tex").write_text("years of work")
        for place in (folder, folder / "thesis.tex"):
            answer = indexer(*BUILD, corpus, "-o", place, "-q", "--overwrite")
            assert answer.code == 1
            assert "with -o" in answer.error
        assert (folder / "thesis.tex").read_text() == "years of work"
        assert len(list(folder.iterdir())) == 1

    @pytest.mark.parametrize(
        ("place", "reason"),
        [
            ("corpus.jsonl/index", "cannot write an index here (Not a directory)"),
            ("/proc/index", "cannot write an index here"),
            ("x" * 300, "File name too long"),
        ],
    )
    def test_places_where_nothing_can_be_written(self, indexer, corpus, tmp_path, place, reason):
        answer = indexer(*BUILD, corpus, "-o", tmp_path / place, "-q")
        assert answer.code == 1
        assert reason in answer.error
        assert len(answer.stderr.splitlines()) == 1

    @pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
    def test_a_read_only_folder(self, indexer, corpus, index, tmp_path):
        (tmp_path / "locked").mkdir(mode=0o500)
        answer = indexer(*BUILD, corpus, "-o", tmp_path / "locked" / "index", "-q")
        assert answer.code == 1
        assert "cannot write an index here" in answer.error
        index.chmod(0o500)
        assert indexer("delete", index, "d1").code == 1
        assert hits(index)

    def test_missing_folders_are_made(self, indexer, corpus, tmp_path):
        assert indexer(*BUILD, corpus, "-o", tmp_path / "a" / "b" / "index", "-q").code == 0
        assert len(hits(tmp_path / "a" / "b" / "index")) == 8

    def test_standard_input(self, indexer, corpus, tmp_path):
        content = corpus.read_bytes()
        assert indexer(*BUILD, "-", stdin=content).code == 2
        for name, data in {"plain": content, "packed": gzip.compress(content)}.items():
            answer = indexer(*BUILD, "-", "-o", tmp_path / name, "-q", stdin=data)
            assert answer.code == 0, answer.stderr
            assert len(hits(tmp_path / name)) == 8
        answer = indexer(*BUILD, "-", "-o", tmp_path / "none", "-q", stdin=b"")
        assert answer.code == 0
        assert "warning: no document was indexed" in answer.stdout
        assert indexer("add", tmp_path / "none", corpus, "-q").code == 0
        assert len(hits(tmp_path / "none")) == 8

    def test_no_such_corpus(self, indexer, tmp_path):
        answer = indexer(*BUILD, tmp_path / "none.jsonl")
        assert answer.code == 1
        (line,) = answer.stderr.splitlines()
        assert line.startswith(f"Error: {tmp_path / 'none.jsonl'}: no such file or folder.")
        assert list(tmp_path.iterdir()) == []


def test_an_interrupted_build_breaks_nothing(index, tmp_path):
    """Ctrl-C while documents are read: exit code 130, the old generation, and no litter."""
    before = sorted(path for path in index.rglob("*"))
    command = [*COMMAND, *BUILD, "-", "-o", str(index), "--overwrite", "--format", "jsonl"]
    process = subprocess.Popen(
        command,
        env=ENVIRONMENT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    assert process.stdin is not None
    records = "".join(json.dumps(row) + "\n" for row in rows(5000))
    process.stdin.write(records.encode())
    process.stdin.flush()
    segments = index / "segments"
    deadline = time.monotonic() + 60
    while len(list(segments.iterdir())) < 2 and time.monotonic() < deadline:
        time.sleep(0.02)
    process.send_signal(signal.SIGINT)
    output, errors = process.communicate()
    assert process.returncode == 130, errors.decode()
    assert output == b""
    assert errors.decode().splitlines()[-1] == "interrupted"
    assert b"Traceback" not in errors
    assert sorted(path for path in index.rglob("*")) == before
    assert verify(index).problems == ()
    assert len(hits(index)) == 8


def test_sizes():
    assert parse_bytes("1048576") == parse_bytes("1MiB") == parse_bytes(" 1MiB ") == 1 << 20
    assert parse_bytes("2gb") == parse_bytes("2G") == parse_bytes("2000 MB") == 2 * 10**9
    with pytest.raises(click.BadParameter):
        parse_bytes("GB")

from __future__ import annotations

import gzip
import io
import json
import lzma
import os
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from indexer.corpus.options import CorpusFormat
from indexer.corpus.reader import CorpusOptions, open_corpus
from indexer.errors import CorpusError


def record(doc_id: str) -> str:
    return json.dumps({"_id": doc_id, "title": "T", "text": "x"}) + "\n"


def populate(folder: Path, *kinds: str) -> None:
    """Files of some kinds, each document named after its kind."""
    folder.mkdir(exist_ok=True)
    if "beir" in kinds:
        (folder / "corpus.jsonl").write_text(record("beir"))
        (folder / "queries.jsonl").write_text(record("query"))
        (folder / "qrels").mkdir()
        (folder / "qrels/test.tsv").write_text("query-id\tcorpus-id\tscore\nquery\tbeir\t1\n")
    if "jsonl" in kinds:
        (folder / "a.ndjson").write_text(record("jsonl"))
    if "parquet" in kinds:
        table = pa.table({"_id": ["parquet"], "text": ["x"]})
        pq.write_table(table, folder / "p.parquet")
    if "csv" in kinds:
        (folder / "t.csv").write_text("_id,text\ncsv,x\n")
    if "text" in kinds:
        (folder / "readme.md").write_text("x")


@pytest.mark.parametrize("first", range(5))
def test_precedence(read: Any, tmp_path: Path, first: int) -> None:
    kinds = ("beir", "jsonl", "parquet", "csv", "text")[first:]
    populate(tmp_path, *kinds)
    result = read(tmp_path)
    assert result.ids == ["readme.md" if kinds[0] == "text" else kinds[0]]
    description = result.corpus.description
    assert description.kind == CorpusFormat(kinds[0])
    names = {name for names in description.passed_over.values() for name in names}
    everything = {p.relative_to(tmp_path).as_posix() for p in tmp_path.rglob("*") if p.is_file()}
    assert names | set(description.files) == everything
    assert all(name in description.render() for name in everything)


@pytest.mark.parametrize("kind", ["jsonl", "parquet", "csv", "text"])
def test_format_overrides_precedence(read: Any, tmp_path: Path, kind: str) -> None:
    populate(tmp_path, "beir", "jsonl", "parquet", "csv", "text")
    ids = read(tmp_path, format=kind).ids
    expected = {"text": ["readme.md"], "jsonl": ["jsonl", "beir"]}
    assert ids == expected.get(kind, [kind])


def test_nested_collections_never_give_queries(read: Any, tmp_path: Path) -> None:
    populate(tmp_path / "one", "beir", "text")
    populate(tmp_path / "two", "beir")
    (tmp_path / "two/corpus.jsonl").write_text(record("other"))
    assert read(tmp_path).ids == ["beir", "other"]


def test_queries_without_corpus_are_not_documents(read: Any, tmp_path: Path) -> None:
    populate(tmp_path, "beir", "jsonl")
    (tmp_path / "corpus.jsonl").unlink()
    assert read(tmp_path).ids == ["jsonl"]


def test_hidden_files_indexes_and_twins_are_skipped(read: Any, tmp_path: Path) -> None:
    populate(tmp_path, "jsonl")
    populate(tmp_path / "old.winnow", "jsonl")
    populate(tmp_path / ".git", "jsonl")
    populate(tmp_path / "named", "parquet")
    (tmp_path / "named/manifest.json").write_text('{"format": "winnow-index"}')
    (tmp_path / ".hidden.jsonl").write_text(record("hidden"))
    (tmp_path / "old.winnow.rejects.jsonl").write_text(record("rejected"))
    populate(tmp_path / "old.winnow.encoding", "jsonl")
    (tmp_path / "old.winnow.encoding/build.json").write_text("{}")
    (tmp_path / "a.ndjson.gz").write_bytes(b"never opened")
    result = read(tmp_path)
    assert result.ids == ["jsonl"]
    assert result.rejects == []
    shown = result.corpus.description.render()
    words_of_each = ("old.winnow/", "named/", ".hidden.jsonl", "uncompressed", "rejects of a build")
    for words in (*words_of_each, "a Winnow index", "old.winnow.encoding/"):
        assert words in shown


def test_links(read: Any, tmp_path: Path) -> None:
    populate(tmp_path / "corpus", "jsonl")
    populate(tmp_path / "elsewhere", "jsonl")
    (tmp_path / "elsewhere/a.ndjson").write_text(record("linked"))
    (tmp_path / "corpus/link").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "corpus/loop").symlink_to(tmp_path / "corpus")
    (tmp_path / "corpus/broken.jsonl").symlink_to(tmp_path / "absent")
    os.mkfifo(tmp_path / "corpus/pipe.jsonl")
    result = read(tmp_path / "corpus")
    assert result.ids == ["jsonl", "linked"]
    passed_over = result.corpus.description.passed_over
    assert passed_over["not a regular file"] == ("broken.jsonl", "pipe.jsonl")
    assert passed_over["a link to a folder read already"] == ("loop",)


def test_nothing_to_read_is_a_named_error(tmp_path: Path) -> None:
    with pytest.raises(CorpusError, match="no such file or folder"):
        open_corpus(tmp_path / "absent")
    with pytest.raises(CorpusError, match=r"found: nothing.*\.parquet"):
        open_corpus(tmp_path)
    (tmp_path / "a.pdf").write_text("x")
    with pytest.raises(CorpusError, match=r"found: a\.pdf"):
        open_corpus(tmp_path)
    with pytest.raises(CorpusError, match="format cannot be told"):
        open_corpus(tmp_path / "a.pdf")
    with pytest.raises(CorpusError, match="no csv files"):
        open_corpus(tmp_path, CorpusOptions(format="csv"))
    with pytest.raises(CorpusError, match=r"unknown corpus format 'doc'\. Known: beir"):
        open_corpus(tmp_path, CorpusOptions(format="doc"))


def test_file_without_telling_name(read: Any, tmp_path: Path) -> None:
    (tmp_path / "collection").write_text(record("a"))
    (tmp_path / "table.dat").write_text('"docno";"text"\n1;x\n')
    assert read(tmp_path / "collection").ids == ["a"]
    assert read(tmp_path / "table.dat").ids == ["1"]
    (tmp_path / "prose").write_text("x")
    assert read(tmp_path / "prose", format="text").ids == ["prose"]


def parquet_bytes() -> bytes:
    buffer = io.BytesIO()
    pq.write_table(pa.table({"id": ["1"], "text": ["x"]}), buffer)
    return buffer.getvalue()


@pytest.mark.parametrize(
    ("content", "options"),
    [
        (b'{"id": 1, "text": "x"}', {}),
        (b'\n[{"id": 1,\n "text": "x"}]', {}),
        (b'{\n"id": 1,\n "text": "x"}', {}),
        (b"id,text\n1,x\n", {}),
        (b"id;text\n1;x\n", {}),
        (b"id\ttext\n1\tx\n", {}),
        (b"a|b\n1|x\n", {"format": "csv", "generate_ids": True}),
        ("\ufeffid\ttext\n1\tx\n".encode("utf-16-le"), {}),
        (parquet_bytes(), {}),
        (gzip.compress(b'{"id": 1, "text": "x"}'), {}),
        (lzma.compress(parquet_bytes()), {}),
    ],
)
def test_standard_input(
    read: Any, monkeypatch: pytest.MonkeyPatch, content: bytes, options: dict[str, Any]
) -> None:
    stdin = io.BytesIO(content)
    monkeypatch.setattr(sys, "stdin", SimpleNamespace(buffer=stdin))
    result = read("-", **options)
    assert result.ids == ["-:2" if options else "1"]
    assert result.corpus.bytes_total is None
    assert result.corpus.bytes_read == len(content)
    assert not stdin.closed


def test_standard_input_of_unknown_format(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", SimpleNamespace(buffer=io.BytesIO(b"Just, some prose.")))
    with pytest.raises(CorpusError, match=r"-: the format cannot be told.*--format"):
        open_corpus("-")


def test_a_corpus_is_read_once(tmp_path: Path) -> None:
    populate(tmp_path, "jsonl")
    corpus = open_corpus(tmp_path)
    assert len(list(corpus)) == 1
    with pytest.raises(CorpusError, match="read once"):
        iter(corpus)

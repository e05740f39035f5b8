from __future__ import annotations

import datetime
import decimal
import gzip
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.feather as feather
import pyarrow.parquet as pq
import pytest

TABLE = {
    "id": ["a", "b", "c"],
    "title": ["A", None, "C"],
    "text": ["x", "y", None],
    "year": pa.array([1999, None, 2001], pa.int16()),
    "price": [decimal.Decimal("1.50"), None, decimal.Decimal("2.00")],
    "score": pa.array([0.5, float("nan"), None]),
    "day": [datetime.date(2024, 5, 1), None, None],
    "tags": [["p", "q"], [], None],
    "by": [{"name": "N", "age": 3}, None, {"name": None, "age": 4}],
    "kind": pa.array(["k", "k", "l"]).dictionary_encode(),
    "vector": [[0.5, 1.0], None, None],
    "image": [b"\x89PNG", None, None],
}


def write(path: Path, table: pa.Table) -> Path:
    kind = path.name.partition(".")[2].removesuffix(".gz")
    if kind == "parquet":
        pq.write_table(table, path, row_group_size=2)
    elif kind == "feather":
        feather.write_feather(table, str(path))
    else:
        opened = pa.ipc.new_stream if kind == "ipc" else pa.ipc.new_file
        with opened(str(path), table.schema) as writer:
            writer.write_table(table, max_chunksize=2)
    if path.suffix == ".gz":
        path.write_bytes(gzip.compress(path.read_bytes()))
    return path


@pytest.mark.parametrize(
    "name", ["t.parquet", "t.arrow", "t.feather", "t.ipc", "t.parquet.gz", "t.arrow.gz"]
)
def test_types_and_values(read: Any, tmp_path: Path, name: str) -> None:
    path = write(tmp_path / name, pa.table(TABLE))
    result = read(path)
    first, second, third = result.documents
    assert first.metadata == {
        "year": 1999,
        "price": 1.5,
        "score": 0.5,
        "day": datetime.datetime(2024, 5, 1, tzinfo=datetime.UTC),
        "tags": ("p", "q"),
        "by.name": "N",
        "by.age": 3,
        "kind": "k",
    }
    assert second.metadata == {"tags": (), "kind": "k"}
    assert (third.title, third.text) == ("C", "")
    assert [record.line for record in result.records] == [1, 2, 3]
    assert result.corpus.bytes_read == result.corpus.bytes_total == path.stat().st_size
    shown = result.corpus.description.render()
    assert "image (binary)" in shown
    assert "vector (list" in shown


def test_binary_text_is_decoded(read: Any, tmp_path: Path) -> None:
    table = pa.table({"id": [b"1", b"2"], "text": [b"x", b"\xff"]})
    result = read(write(tmp_path / "t.parquet", table))
    assert [(d.doc_id, d.text) for d in result.documents] == [("1", "x")]
    assert "bad encoding: not utf-8 at byte 0 (0xff)" in result.reasons[0]


def test_string_column_that_is_not_utf8(read: Any, tmp_path: Path) -> None:
    bad = pa.array([b"x", b"\xff", b"z"]).view(pa.string())
    result = read(write(tmp_path / "t.arrow", pa.table({"id": ["1", "2", "3"], "text": bad})))
    assert result.ids == ["1", "3"]
    assert "bad encoding" in result.reasons[0]
    assert result.rejects[0]["line"] == 2


def test_timestamps_become_utc(read: Any, tmp_path: Path) -> None:
    berlin = pa.array([1_700_000_000_123_456_789], pa.timestamp("ns", "Europe/Berlin"))
    naive = pa.array([1_700_000_000], pa.timestamp("s"))
    table = pa.table({"id": ["1"], "text": ["x"], "a": berlin, "b": naive})
    metadata = read(write(tmp_path / "t.parquet", table)).documents[0].metadata
    second = datetime.datetime.fromtimestamp(1_700_000_000, datetime.UTC)
    assert metadata["a"] == second.replace(microsecond=123_456)
    assert metadata["a"].utcoffset() == datetime.timedelta(0)
    assert metadata["b"] == second


def test_identifiers(read: Any, tmp_path: Path) -> None:
    numbers = write(tmp_path / "n.parquet", pa.table({"id": [1, None], "text": ["x", "y"]}))
    result = read(numbers)
    assert result.ids == ["1"]
    assert "no id" in result.reasons[0]
    floats = write(tmp_path / "f.parquet", pa.table({"id": [1.0], "text": ["x"]}))
    assert "wrong type" in read(floats).reasons[0]


@pytest.mark.parametrize("name", ["t.parquet", "t.arrow"])
def test_damaged_file_is_one_reject(read: Any, tmp_path: Path, name: str) -> None:
    path = write(tmp_path / name, pa.table(TABLE))
    for content in (path.read_bytes()[:-40], b"", b"rubbish" * 50):
        path.write_bytes(content)
        result = read(path)
        assert result.ids == []
        assert "damaged file" in result.reasons[0]


def test_large_rows_are_rejected(read: Any, tmp_path: Path) -> None:
    table = pa.table({"id": ["1", "2"], "text": ["x" * 101, "y"]})
    result = read(write(tmp_path / "t.parquet", table), max_record_bytes=100)
    assert result.ids == ["2"]
    assert "too large" in result.reasons[0]

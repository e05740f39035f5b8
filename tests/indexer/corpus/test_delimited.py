from __future__ import annotations

import csv
import io
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from indexer.corpus.delimited import read_delimited
from indexer.corpus.records import RawRecord


def write(tmp_path: Path, content: str | bytes, name: str = "c.csv") -> Path:
    path = tmp_path / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def test_quoted_line_breaks_and_line_numbers(read: Any, tmp_path: Path) -> None:
    path = write(tmp_path, 'id,title,text\r\n1,"A ""b""","x\r\ny, z"\r\n\r\n2,,\r\n')
    result = read(path)
    first, second = result.documents
    assert (first.title, first.text) == ('A "b"', "x\r\ny, z")
    assert (second.title, second.text) == ("", "")
    assert [record.line for record in result.records] == [2, 5]
    assert result.corpus.counts.without_text == 1


@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
def test_delimiter_is_found_in_the_header(read: Any, tmp_path: Path, delimiter: str) -> None:
    content = f'id{delimiter}"a,b;c"{delimiter}text\n1{delimiter}y{delimiter}x, y; z\n'
    if delimiter in ",;":
        content = content.replace("x, y; z", '"x, y; z"')
    (document,) = read(write(tmp_path, content)).documents
    assert document.text == "x, y; z"
    assert document.metadata == {"a,b;c": "y"}


def test_huge_field(read: Any, tmp_path: Path) -> None:
    path = write(tmp_path, "id,text\n1," + "word " * 400_000 + "\n2,x\n")
    assert [len(document.text) for document in read(path).documents] == [2_000_000, 1]


@pytest.mark.parametrize(
    ("record", "reason"),
    [
        (b"2,a,b", "3 cells, the header has 2"),
        (b"2", "1 cells, the header has 2"),
        (b",a", "no id: the field 'id' is empty"),
        (b"2,caf\xe9", "not utf-8 at byte 5 (0xe9)"),
        (b"2," + b"x" * 300, "too large"),
        (b'2,"' + b"xy\n" * 100 + b'"', "too large"),
        (b"1,again", "repeated id: '1'"),
        (b"2,a\rb", "new-line character"),
    ],
)
def test_bad_record_is_rejected(read: Any, tmp_path: Path, record: bytes, reason: str) -> None:
    path = write(tmp_path, b"id,text\n1,x\n" + record + b"\n3,y\n")
    result = read(path, max_record_bytes=200)
    assert result.ids == ["1", "3"]
    assert reason in result.reasons[0]
    assert result.rejects[0]["line"] == 3


def test_quote_that_never_closes_is_one_reject(read: Any, tmp_path: Path) -> None:
    result = read(write(tmp_path, 'id,text\n1,x\n2,"open\n3,y\n4,z\n'))
    assert result.ids == ["1"]
    (reject,) = result.rejects
    assert reject["line"] == 3
    assert "a quote never closes; lines up to 5" in reject["reason"]


def test_missing_quote_that_a_later_one_closes_says_so(read: Any, tmp_path: Path) -> None:
    result = read(write(tmp_path, 'id,text\n1,"open\n2,y\n3,"z",\n4,w\n'))
    assert result.ids == ["4"]
    assert "is a quote missing?" in result.reasons[0]


def test_tsv_with_stray_quotes(read: Any, tmp_path: Path) -> None:
    path = write(tmp_path, 'docno\ttext\n1\t"Hello" he said\n2\t5" pipe, "open\n', "c.tsv")
    result = read(path)
    assert [document.text for document in result.documents] == [
        '"Hello" he said',
        '5" pipe, "open',
    ]


def test_tsv_with_proper_quotes(read: Any, tmp_path: Path) -> None:
    path = write(tmp_path, 'docno\ttext\n1\t"a\tb ""c"""\n2\tx\n', "c.tsv")
    assert read(path).documents[0].text == 'a\tb "c"'


@pytest.mark.parametrize(("stray", "quoted"), [(False, 1), (True, 0)])
def test_long_tsv_decides_by_its_beginning(
    read: Any, tmp_path: Path, stray: bool, quoted: int
) -> None:
    rows = [f'{n}\t"a\nb"' for n in range(30_000)]
    if stray:
        rows = ['x\t"inches', *(f"{n}\tab" for n in range(30_000))]
    path = write(tmp_path, "id\ttext\n" + "\n".join(rows), "c.tsv")
    result = read(path)
    assert len(result.ids) == len(rows)
    assert result.rejects == []
    assert result.documents[0].text == ("a\nb" if quoted else '"inches')


def test_types_are_inferred_from_cells(read: Any, tmp_path: Path) -> None:
    path = write(
        tmp_path,
        "id,text,year,price,open,day,zip,none\n"
        "1,x,1999,3.50,true,2024-05-01,01234,\n"
        "2,y,,4,FALSE,,00001,\n",
    )
    result = read(path)
    assert {name: str(kind) for name, kind in result.corpus.types.items()} == {
        "year": "integer",
        "price": "float",
        "open": "boolean",
        "day": "date",
        "zip": "keyword",
    }
    assert result.documents[1].metadata == {"price": 4.0, "open": False, "zip": "00001"}


def test_header_faults(read: Any, tmp_path: Path) -> None:
    result = read(write(tmp_path, "id,text,text\n1,x,y\n"))
    assert result.ids == []
    assert "the header names 'text' twice" in result.reasons[0]
    assert read(write(tmp_path, ",id,text\n0,7,x\n")).documents[0].metadata == {"column_1": 0}


def test_utf16_spreadsheet(read: Any, tmp_path: Path) -> None:
    path = write(tmp_path, "id\ttext\r\n1\tGrüße\r\n".encode("utf-16"), "c.tsv")
    assert read(path).documents[0].text == "Grüße"


cells = st.text(st.characters(blacklist_categories=["Cs"]), max_size=8)


@given(st.lists(st.tuples(cells, cells), max_size=8))
def test_what_csv_writes_is_read(rows: list[tuple[str, str]]) -> None:
    buffer = io.StringIO()
    csv.writer(buffer).writerows([("a", "b"), *rows])
    stream = io.BufferedReader(io.BytesIO(buffer.getvalue().encode()))  # type: ignore[type-var]
    items = list(read_delimited(stream, "f", 1 << 20))
    assert all(isinstance(item, RawRecord) for item in items)
    assert [item.fields for item in items] == [  # type: ignore[union-attr]
        {"a": one or None, "b": other or None} for one, other in rows
    ]


@given(st.binary(max_size=200) | st.text('",;\n\r\tax', max_size=80).map(str.encode))
def test_any_bytes_give_records_and_rejects(content: bytes) -> None:
    for tabs in (False, True):
        stream = io.BufferedReader(io.BytesIO(content))  # type: ignore[type-var]
        list(read_delimited(stream, "f", 60, tabs=tabs))

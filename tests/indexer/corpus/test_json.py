from __future__ import annotations

import io
import json
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from indexer.corpus.jsonl import read_json
from indexer.corpus.records import RawRecord, Reject


def write(tmp_path: Path, content: str | bytes, name: str = "c.jsonl") -> Path:
    path = tmp_path / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


GOOD = '{"id": "good", "text": "x"}\n'


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        (b'{"id": "1", "text": "cut', "cannot be parsed: not JSON"),
        (b"[1, 2]", "cannot be parsed: an array, not a JSON object"),
        (b'"words"', "cannot be parsed: a string"),
        (b"null", "cannot be parsed: null"),
        (b'{"text": "x"}', "no id: the field 'id' is missing"),
        (b'{"id": "", "text": "x"}', "no id: the field 'id' is empty"),
        (b'{"id": "  ", "text": "x"}', "no id: the field 'id' is empty"),
        (b'{"id": null, "text": "x"}', "no id: the field 'id' is empty"),
        (b'{"id": true, "text": "x"}', "wrong type: the identifier 'id'"),
        (b'{"id": 1.5, "text": "x"}', "wrong type: the identifier 'id'"),
        (b'{"id": ["a"], "text": "x"}', "wrong type: the identifier 'id'"),
        (b'{"id": {"$oid": "a"}, "text": "x"}', "wrong type: the identifier 'id'"),
        (b'{"id": "good", "text": "x"}', "repeated id: 'good'"),
        (b'{"id": "1", "text": "caf\xe9"}', "bad encoding: not utf-8 at byte 24 (0xe9)"),
        (b'{"id": "\\ud800", "text": "x"}', "bad encoding: half of a surrogate pair (U+D800)"),
        (b'{"id": "1", "a": [{"\\uDFFF": 1}]}', "bad encoding: half of a surrogate pair"),
        (b'{"id": "1", "text": {"en": "x"}}', "wrong type: field 'text': expected text"),
        (b'{"id": "1", "text": true}', "wrong type: field 'text': expected text"),
        (b'{"id": "1", "score": NaN}', "cannot be parsed: not JSON: NaN"),
        (b'{"id": "1", "score": -Infinity}', "cannot be parsed: not JSON: -Infinity"),
        (b'{"id": "1", "score": 1e999}', "wrong type: field 'score': inf"),
        (b'{"id": "1", "a": ' + b"[" * 100_000 + b"]" * 100_000 + b"}", "nested too deeply"),
        (b'{"id": "1", "a": ' + b'{"a":' * 990 + b"1" + b"}" * 991, "nested too deeply"),
        (b'{"id": "1", "n": ' + b"9" * 5000 + b"}", "cannot be parsed: not JSON"),
        (b'{"id": "1", "a.b": 1, "a": {"b": 2}}', "two values for the field 'a.b'"),
    ],
)
def test_bad_record_is_rejected_alone(read: Any, tmp_path: Path, line: bytes, reason: str) -> None:
    last = b'{"id": "last", "text": "y"}'
    path = write(tmp_path, GOOD.encode() + b"\n" + line + b"\r\n" + last)
    result = read(path)
    assert result.ids == ["good", "last"]
    (reject,) = result.rejects
    assert reason in reject["reason"]
    assert reject["file"] == str(path)
    assert reject["line"] == 3


def test_record_knows_its_place(read: Any, tmp_path: Path) -> None:
    path = write(tmp_path, "\n" + GOOD + "  \n" + GOOD.replace("good", "b"))
    result = read(path)
    assert [(record.file, record.line) for record in result.records] == [
        (str(path), 2),
        (str(path), 4),
    ]


def test_numbers_are_identifiers_and_text(read: Any, tmp_path: Path) -> None:
    result = read(write(tmp_path, '{"id": 7, "title": 1984, "text": ["One.", null, "Two."]}'))
    (document,) = result.documents
    assert (document.doc_id, document.title, document.text) == ("7", "1984", "One.\nTwo.")


def test_control_characters_are_kept(read: Any, tmp_path: Path) -> None:
    result = read(write(tmp_path, '{"id": "1", "text": "a\\u0000b\tc\\u0007"}'))
    assert result.documents[0].text == "a\0b\tc\a"


def test_paired_surrogate_escapes_are_a_character(read: Any, tmp_path: Path) -> None:
    result = read(write(tmp_path, '{"id": "1", "text": "\\ud83d\\ude00 \\\\ud800"}'))
    assert result.documents[0].text == "\N{GRINNING FACE} \\ud800"


def test_empty_texts_are_kept_and_counted(read: Any, tmp_path: Path) -> None:
    lines = [
        {"id": "1", "title": "T", "text": ""},
        {"id": "2", "title": "T", "text": None},
        {"id": "3", "title": "T", "text": " \n"},
        {"id": "4", "title": "", "text": ""},
        {"id": "5", "title": " "},
        {"id": "6", "text": "x"},
    ]
    result = read(write(tmp_path, "\n".join(map(json.dumps, lines))))
    assert len(result.ids) == 6
    assert result.corpus.counts.title_only == 3
    assert result.corpus.counts.without_text == 2


def test_long_line_is_rejected_without_being_held(read: Any, tmp_path: Path) -> None:
    exact = json.dumps({"id": "e", "text": "x" * 77})
    long = json.dumps({"id": "l", "text": "x" * 5_000_000})
    assert len(exact) == 100
    path = write(tmp_path, f"{exact}\n{long}\n{GOOD}")
    result = read(path, max_record_bytes=100)
    assert result.ids == ["e", "good"]
    assert "bytes or more, the limit is 100" in result.reasons[0]
    assert 50 < len(result.rejects[0]["excerpt"]) <= 200


@pytest.mark.parametrize("name", ["c.json", "c.jsonl"])
def test_array_of_objects(read: Any, tmp_path: Path, name: str) -> None:
    records = [{"id": f"{n}", "text": 'a "}],[{" \\', "tags": ["x", "y"]} for n in range(50)]
    result = read(write(tmp_path, "\n " + json.dumps(records, indent=2), name))
    assert result.ids == [f"{n}" for n in range(50)]
    assert result.documents[0].text == 'a "}],[{" \\'
    assert [record.line for record in result.records][:2] == [3, 11]


def test_bad_element_of_an_array_is_rejected_alone(read: Any, tmp_path: Path) -> None:
    content = b"""[{"id": "1", "text": "x"},
        {"id": "2", text: [nope]},
        17,
        {"id": "3", "text": "\xff"},
        {"id": "4", "text": "%s"},
        {"id": "5", "text": "x"} ]  rest""" % (b"y" * 5000)
    result = read(write(tmp_path, content, "c.json"), max_record_bytes=1000)
    assert result.ids == ["1", "5"]
    assert [reject["line"] for reject in result.rejects] == [2, 3, 4, 5, 6]
    kinds = ["not JSON", "a number, not", "bad encoding", "too large", "goes on after its end"]
    for reason, kind in zip(result.reasons, kinds, strict=True):
        assert kind in reason


@pytest.mark.parametrize("tail", ['{"id": "2", "text": "x', '{"id": "2"},', "", '"', "[[["])
def test_array_cut_short_keeps_what_stands_before(read: Any, tmp_path: Path, tail: str) -> None:
    result = read(write(tmp_path, '[{"id": "1", "text": "x"},\n' + tail, "c.json"))
    assert result.ids[0] == "1"
    assert "ends here without closing" in result.reasons[-1]
    assert result.rejects[-1]["line"] == 2


def test_pretty_objects_and_lines_in_a_json_file(read: Any, tmp_path: Path) -> None:
    records = [{"id": f"{n}", "text": "x", "more": {"a": 1}} for n in range(3)]
    pretty = "\n".join(json.dumps(record, indent=2) for record in records)
    lines = "\n".join(map(json.dumps, records))
    assert read(write(tmp_path, pretty, "a.json")).ids == ["0", "1", "2"]
    assert read(write(tmp_path, lines, "b.json")).ids == ["0", "1", "2"]
    assert read(write(tmp_path, lines.split("\n")[0], "c.json")).ids == ["0"]


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-16-be", "utf-32"])
def test_byte_order_marks(read: Any, tmp_path: Path, encoding: str) -> None:
    text = ("\ufeff" if encoding == "utf-16-be" else "") + '{"id": "é", "text": "Grüße 😀"}\n' * 2
    result = read(write(tmp_path, text.encode(encoding)))
    assert result.ids == ["é"]
    assert result.documents[0].text == "Grüße 😀"
    assert "repeated id" in result.reasons[0]


def test_utf16_cut_within_a_character(read: Any, tmp_path: Path) -> None:
    content = (GOOD + '{"id": "b"}').encode("utf-16")[:-1]
    result = read(write(tmp_path, content))
    assert result.ids == ["good"]
    assert "bad encoding" in result.reasons[0]


@pytest.mark.parametrize("content", ["", "\n \n", "[]", "[ ]\n"])
def test_empty_file_has_no_documents(read: Any, tmp_path: Path, content: str) -> None:
    result = read(write(tmp_path, content))
    assert result.ids == []
    assert result.rejects == []
    assert "none found" in result.corpus.description.render()


json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)
objects = st.dictionaries(st.text(), json_values, max_size=4)


@given(st.lists(objects, max_size=6), st.sampled_from([None, 2]), st.integers(1, 40))
def test_arrays_and_lines_read_alike(
    records: list[dict[str, Any]], indent: int | None, chunk: int
) -> None:
    expected = json.loads(json.dumps(records, ensure_ascii=False))
    array = json.dumps(records, indent=indent, ensure_ascii=False).encode()
    lines = b"".join(json.dumps(record).encode() + b"\n" for record in records)
    for content in (array, lines):
        items = list(read_json(small_reads(content, chunk), "f", 1 << 20))
        assert [item.fields for item in items if isinstance(item, RawRecord)] == expected
        assert len(items) == len(expected)


@settings(max_examples=300)
@given(st.binary(max_size=200) | st.text('[]{}",:\\1a\n ', max_size=60).map(str.encode))
def test_any_bytes_give_records_and_rejects(content: bytes) -> None:
    for pretty in (False, True):
        stream = io.BufferedReader(io.BytesIO(content))  # type: ignore[type-var]
        for item in read_json(stream, "f", 50, pretty=pretty):
            assert isinstance(item, RawRecord | Reject)


class SmallReads(io.RawIOBase):
    def __init__(self, content: bytes, size: int) -> None:
        self._rest = io.BytesIO(content)
        self._size = size

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        data = self._rest.read(min(len(buffer), self._size))
        buffer[: len(data)] = data
        return len(data)


def small_reads(content: bytes, size: int) -> io.BufferedReader:
    """A stream that yields few bytes at a time, to cut tokens at every place."""
    return io.BufferedReader(SmallReads(content, size), max(size, 2))


def test_recursion_limit_is_left_alone() -> None:
    before = sys.getrecursionlimit()
    list(read_json(small_reads(b"[" * 50_000, 4096), "f", 1 << 20))
    assert sys.getrecursionlimit() == before

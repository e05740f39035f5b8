from __future__ import annotations

import datetime
import json
import math
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from indexer.corpus.field_types import FieldTypeError, convert, infer_types
from indexer.corpus.mapping import flatten
from indexer.corpus.options import CorpusOptions, FieldMapping
from indexer.corpus.reader import open_corpus
from indexer.corpus.records import FieldType
from indexer.errors import CorpusError

UTC = datetime.UTC


def write(tmp_path: Path, *records: dict[str, Any]) -> Path:
    path = tmp_path / "c.jsonl"
    path.write_text("".join(json.dumps(record) + "\n" for record in records))
    return path


@pytest.mark.parametrize(
    ("record", "expected"),
    [
        ({"_id": "1", "title": "a", "text": "b"}, ("_id", "title", ("text",))),
        ({"id": "1", "contents": "b"}, ("id", "", ("contents",))),
        ({"DocNo": "1", "Headline": "h", "Body": "b"}, ("DocNo", "Headline", ("Body",))),
        ({"pid": 1, "passage": "b", "year": 1}, ("pid", "", ("passage",))),
        ({"_id": "1", "id": "x", "text": "b", "abstract": "c"}, ("_id", "", ("text",))),
        ({"id": "1", "metadata": {"title": "t"}, "page_content": "b"}, None),
        ({"id": "1", "question": "Why?", "answer": "because " * 9}, ("id", "", ("answer",))),
        ({"id": "1", "name": "short"}, ("id", "", ())),
        ({"name": "short"}, (None, "", ())),
    ],
)
def test_inferred_mapping(
    tmp_path: Path, record: dict[str, Any], expected: tuple[Any, ...] | None
) -> None:
    mapping = open_corpus(write(tmp_path, record)).description.mapping
    assert mapping == FieldMapping(*(expected or ("id", "title", ("page_content",))))


def test_the_field_that_most_records_have_wins(read: Any, tmp_path: Path) -> None:
    path = write(
        tmp_path, {"_id": "odd", "id": "1", "body": "x"}, *({"id": f"{n}"} for n in (2, 3))
    )
    assert read(path).ids == ["1", "2", "3"]


def test_explicit_mapping(read: Any, tmp_path: Path) -> None:
    record = {"id": "no", "key": 7, "name": "N", "a": {"b": "one"}, "c": ["two", "three"]}
    mapping = FieldMapping(doc_id="key", title="name", text=("a.b", "c"))
    (document,) = read(write(tmp_path, record), mapping=mapping).documents
    assert (document.doc_id, document.title, document.text) == ("7", "N", "one\ntwo\nthree")
    assert document.metadata == {"id": "no"}
    (document,) = read(
        write(tmp_path, {"id": 1, "title": "T", "text": "x"}),
        mapping=FieldMapping(title="", text=()),
    ).documents
    assert (document.title, document.text) == ("", "")
    assert document.metadata == {"title": "T", "text": "x"}


def test_mapping_to_an_absent_field_is_a_named_error(tmp_path: Path) -> None:
    path = write(tmp_path, {"id": "1", "text": "x"})
    options = CorpusOptions(mapping=FieldMapping(text="body"))
    with pytest.raises(CorpusError, match=r"'body' is in none of the first 1 records.*id, text"):
        open_corpus(path, options)


def test_identifiers_can_be_generated(read: Any, tmp_path: Path) -> None:
    path = write(tmp_path, {"text": "x"}, {"text": "y"})
    assert read(tmp_path, generate_ids=True).ids == ["c.jsonl:1", "c.jsonl:2"]
    result = read(path)
    assert result.ids == []
    assert all(reason.startswith("no id: no field") for reason in result.reasons)
    # A corpus with some identifiers is meant to have them.
    path = write(tmp_path, {"text": "x"}, {"id": "1", "text": "y"})
    assert read(path, generate_ids=True).ids == ["1"]


def test_known_identifiers_are_rejected(read: Any, tmp_path: Path) -> None:
    path = write(tmp_path, {"id": "a", "text": "x"}, {"id": "b"}, {"id": "b", "text": "y"})
    result = read(path, known_ids={"a"})
    assert result.ids == ["b"]
    assert [reject["doc_id"] for reject in result.rejects] == ["a", "b"]
    assert "in the index" in result.reasons[0]
    assert "in the corpus" in result.reasons[1]


def test_metadata_object_is_lifted_unless_names_collide(read: Any, tmp_path: Path) -> None:
    path = write(tmp_path, {"_id": "1", "text": "x", "metadata": {"year": 1, "a": {"b": 2}}})
    assert read(path).documents[0].metadata == {"year": 1, "a.b": 2}
    path = write(
        tmp_path,
        {"_id": "1", "text": "x", "year": 3, "metadata": {"year": 1}},
        {"_id": "2", "text": "x", "metadata": {"other": 1}},
    )
    assert [document.metadata for document in read(path).documents] == [
        {"year": 3, "metadata.year": 1},
        {"metadata.other": 1},
    ]


def test_value_that_breaks_an_inferred_type(read: Any, tmp_path: Path) -> None:
    records = [{"id": n, "year": n, "text": "x"} for n in range(5)]
    records += [{"id": "f", "year": 1.5}, {"id": "g", "year": 7.0}, {"id": "h", "year": "8"}]
    path = write(tmp_path, *records)
    result = read(path, sample_size=5)
    assert result.ids == ["0", "1", "2", "3", "4", "g", "h"]
    assert [document.metadata["year"] for document in result.documents[-2:]] == [7, 8]
    (reject,) = result.rejects
    assert reject["doc_id"] == "f"
    assert "field 'year': expected integer, got float 1.5" in reject["reason"]
    assert "schema file" in reject["reason"]
    assert len(read(path, types={"year": "float"}, sample_size=5).ids) == 8
    assert len(read(path).ids) == 8


def test_field_seen_late_takes_the_type_of_its_first_value(read: Any, tmp_path: Path) -> None:
    path = write(tmp_path, {"id": 1}, {"id": 2, "n": 1}, {"id": 3, "n": "x"})
    result = read(path, sample_size=1)
    assert result.ids == ["1", "2"]
    assert result.corpus.description.types == {}
    assert result.corpus.types == {"n": FieldType.INTEGER}


def test_schema_file(read: Any, tmp_path: Path) -> None:
    path = write(tmp_path, {"id": 1, "zip": "01234", "day": "2024-05-01T12:00", "tag": "t"})
    schema = tmp_path / "schema.json"
    schema.write_text('{"zip": "integer", "tag": "keywords", "day": "keyword"}')
    result = read(path, schema_file=schema, types={"zip": FieldType.KEYWORD})
    assert result.documents[0].metadata == {
        "zip": "01234",
        "day": "2024-05-01T12:00",
        "tag": ("t",),
    }
    result = read(path, schema_file=schema)
    assert "the type was declared" in result.reasons[0]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ('{"a": "int"}', "unknown field type: 'int'.*keyword, integer"),
        ('{"a": 1}', "a schema file is a JSON object"),
        ("[1]", "a schema file is a JSON object"),
        ("{", "cannot be read"),
        ('{"text": "integer"}', "'text' has a declared type"),
    ],
)
def test_bad_schema_file(tmp_path: Path, content: str, message: str) -> None:
    path = write(tmp_path, {"id": "1", "text": "x"})
    schema = tmp_path / "schema.json"
    schema.write_text(content)
    with pytest.raises(CorpusError, match=message):
        open_corpus(path, CorpusOptions(schema_file=schema))
    with pytest.raises(CorpusError, match="cannot be read"):
        open_corpus(path, CorpusOptions(schema_file=tmp_path / "absent"))


@pytest.mark.parametrize("options", [{"sample_size": 0}, {"max_record_bytes": -1}])
def test_bad_options(options: dict[str, int]) -> None:
    with pytest.raises(CorpusError, match="must be at least 1"):
        CorpusOptions(**options)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("values", "kind"),
    [
        ([1, 2], FieldType.INTEGER),
        ([1, 2.5], FieldType.FLOAT),
        ([True, None], FieldType.BOOLEAN),
        ([True, 1], FieldType.KEYWORD),
        ([2**63], FieldType.KEYWORD),
        (["2024-05-01", "", "2024-05-01T10:00:00.5Z"], FieldType.DATE),
        (["2024-05-01", "soon"], FieldType.KEYWORD),
        (["2024-13-01"], FieldType.KEYWORD),
        (["1999"], FieldType.KEYWORD),
        ([["a"], "b"], FieldType.KEYWORDS),
        ([[]], FieldType.KEYWORDS),
        ([""], FieldType.KEYWORD),
    ],
)
def test_inferred_types(values: list[Any], kind: FieldType) -> None:
    assert infer_types([{"f": value} for value in values], parse_text=False) == {"f": kind}


@pytest.mark.parametrize(
    ("value", "kind", "expected"),
    [
        (3, "float", 3.0),
        (3.0, "integer", 3),
        ("-3", "integer", -3),
        ("1e3", "float", 1000.0),
        (3, "keyword", "3"),
        (False, "keyword", "false"),
        ("True", "boolean", True),
        ("2024-05-01", "date", datetime.datetime(2024, 5, 1, tzinfo=UTC)),
        ("2024-05-01T01:00+02:00", "date", datetime.datetime(2024, 4, 30, 23, tzinfo=UTC)),
        ("a", "keywords", ("a",)),
        (["a", None, 1], "keywords", ("a", "1")),
        ("", "integer", None),
        ("", "keyword", ""),
    ],
)
def test_lossless_conversions(value: Any, kind: str, expected: Any) -> None:
    converted = convert(value, FieldType(kind))
    assert converted == expected
    assert type(converted) is type(expected)


@pytest.mark.parametrize(
    ("value", "kind"),
    [
        (3.5, "integer"),
        (True, "integer"),
        ("007", "integer"),
        ("3.0", "integer"),
        (2**63, "integer"),
        (2**53 + 1, "float"),
        ("nan", "float"),
        (math.inf, "float"),
        (math.nan, "keyword"),
        ("yes", "boolean"),
        (1, "boolean"),
        ("May 2024", "date"),
        (2024, "date"),
        ("0001-01-01T00:00+10:00", "date"),
        (["a"], "keyword"),
        ([["a"]], "keywords"),
        ({"a": 1}, "keyword"),
    ],
)
def test_lossy_conversions_are_refused(value: Any, kind: str) -> None:
    with pytest.raises(FieldTypeError):
        convert(value, FieldType(kind))


scalars = st.none() | st.booleans() | st.integers(-(2**63), 2**63 - 1) | st.text(max_size=5)
values = scalars | st.lists(scalars, max_size=3) | st.floats(allow_nan=False, allow_infinity=False)


@given(st.lists(st.dictionaries(st.sampled_from("ab"), values), max_size=6), st.booleans())
def test_inferred_types_hold_their_sample(sample: list[dict[str, Any]], parse_text: bool) -> None:
    types = infer_types(sample, parse_text=parse_text)
    for fields in sample:
        for name, value in fields.items():
            if value is not None and not (types[name] == "float" and isinstance(value, int)):
                convert(value, types[name])


@given(st.recursive(values, lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner)))
def test_flat_records_hold_no_objects(value: Any) -> None:
    try:
        flat = flatten({"f": value})
    except ValueError:
        return
    for part in flat.values():
        assert not isinstance(part, dict)
        assert not isinstance(part, list) or not any(isinstance(p, (dict, list)) for p in part)


def test_description_is_printed_whole(tmp_path: Path) -> None:
    path = write(
        tmp_path,
        {"id": "1", "title": "A\x1b[31m title", "text": "word " * 100, "year": 1999},
        *({"id": f"{n}", "text": "x"} for n in range(2, 9)),
    )
    shown = open_corpus(path).description.render()
    lines = shown.splitlines()
    assert "\x1b" not in shown
    assert f"corpus       {path}: JSON lines" in lines
    assert "identifier   id" in lines
    assert "title        title" in lines
    assert "text         text" in lines
    assert "metadata     year (integer)" in lines
    assert [line.split()[1] for line in lines if line.startswith("sample")] == ["1", "2", "3"]
    assert max(map(len, lines)) < 250

"""Documents given from Python: what an index stores, and what it rejects with a reason."""

from __future__ import annotations

import datetime
from pathlib import Path

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from encoders.base import Document
from indexer.builder import add_documents, build, build_index, delete_documents
from indexer.corpus.records import CorpusRecord, RejectLog, RejectReason
from indexer.errors import IndexerError, NothingIndexedError
from indexer.fields import MAX_FIELDS
from indexer.format.documents import DocumentStore, DocumentWriter
from indexer.merge import merge_segments
from indexer.spaces import create_spaces
from retriever.errors import QueryError
from retriever.searcher import Searcher, open_index

MAY_DAY = datetime.date(2024, 5, 1)
BEFORE_TIME = datetime.datetime(1, 1, 1, tzinfo=datetime.timezone(datetime.timedelta(hours=14)))
ODD_IDS = ["two\nlines", "a\ttab", "nul\0", "ünïcödé", "日本語", " ", "-", "..", "~row", "a" * 5000]


def rejected(index: Path, documents: list[Document]) -> RejectLog:
    rejects = RejectLog()
    records = (CorpusRecord(document, "-", None) for document in documents)
    build_index(records, index, create_spaces({"default": "plain-bm25"}), rejects=rejects)
    return rejects


def stored(searcher: Searcher, doc_id: str) -> dict[str, object]:
    return dict(searcher.document(doc_id).metadata)


def test_any_identifier_is_kept(tmp_path):
    build(
        [Document(doc_id, f"wheat {i}") for i, doc_id in enumerate(ODD_IDS)],
        tmp_path / "i",
        "english-bm25",
    )
    searcher = open_index(tmp_path / "i")
    assert [hit.doc_id for hit in searcher.search("wheat", 20).hits] == ODD_IDS
    for i, doc_id in enumerate(ODD_IDS):
        assert searcher.document(doc_id).text == f"wheat {i}"
        assert delete_documents(tmp_path / "i", [doc_id]).deleted == 1


@settings(max_examples=15, deadline=None)
@given(
    documents=st.lists(
        st.builds(
            Document,
            doc_id=st.text(min_size=1, max_size=8),
            text=st.text(max_size=30),
            title=st.text(max_size=8),
            metadata=st.dictionaries(
                st.sampled_from(["~row", "a", "b", ""]),
                st.none() | st.text(max_size=3) | st.integers() | st.floats() | st.booleans(),
                max_size=3,
            ),
        ),
        max_size=6,
    ),
)
@example(documents=[Document("0", "", metadata={"a": 1 << 63})])
def test_a_document_is_stored_or_rejected(tmp_path_factory, documents):
    index = tmp_path_factory.mktemp("any") / "index"
    try:
        report = build(documents, index, "english-bm25")
    except NothingIndexedError:
        assert documents
        documents = [*documents, Document("one that is fine", "wheat")]
        report = build(documents, index, "english-bm25")
        assert report.documents == 1
    assert report.documents + report.rejected_count == len(documents)
    searcher = open_index(index)
    assert searcher.description().document_count == report.documents
    kept = 0
    for document in {document.doc_id: document for document in reversed(documents)}.values():
        if (found := searcher._snapshot.locate(document.doc_id)) is not None:
            kept += 1
            store = searcher._snapshot.segments[found[0]].documents
            assert store.title(found[1]) in {d.title for d in documents}
            searcher.search(store.text(found[1]), explain=True, highlight=True)
    assert kept == report.documents


def test_fields_of_any_name(tmp_path):
    """Also of names that might serve inside."""
    metadata = {"~row": 1, "title": "x", "doc_id": "y", "": "z", "a.b": True, "ü\n": 2.5}
    build(
        [Document("a", "wheat", metadata=metadata), Document("b", "wheat")],
        tmp_path / "i",
        "english-bm25",
    )
    searcher = open_index(tmp_path / "i")
    assert stored(searcher, "a") == metadata
    assert stored(searcher, "b") == {}
    for name, value in metadata.items():
        hits = searcher.search("wheat", filter={"field": name, "eq": value}).hits
        assert [hit.doc_id for hit in hits] == ["a"]


def test_columns_come_and_go_between_batches(tmp_path):
    writer = DocumentWriter(tmp_path)
    fields = {"n": "integer", "late": "keywords"}
    writer.add([Document(f"a{i}", str(i), metadata={"n": i}) for i in range(3000)], fields)
    writer.add([Document("b", "b"), Document("c", "c", metadata={"late": ("x", "y")})], fields)
    writer.close()
    store = DocumentStore(tmp_path, 3002)
    assert store.metadata(2999) == {"n": 2999}
    assert store.metadata(3000) == {}
    assert store.metadata(3001) == {"late": ("x", "y")}
    assert [store.text(number) for number in (0, 1023, 1024, 3001)] == ["0", "1023", "1024", "c"]


@pytest.mark.parametrize(
    ("document", "reason"),
    [
        (Document("x", "wheat", metadata={"n": "text"}), RejectReason.WRONG_TYPE),
        (Document("x", "wheat", metadata={"n": 1.5}), RejectReason.WRONG_TYPE),
        (Document("x", "wheat", metadata={"n": True}), RejectReason.WRONG_TYPE),
        (Document("x", "wheat", metadata={"n": 2**63}), RejectReason.WRONG_TYPE),
        (Document("x", "wheat", metadata={"new": {"a": 1}}), RejectReason.WRONG_TYPE),
        (Document("x", "wheat", metadata={"new": (1, 2)}), RejectReason.WRONG_TYPE),
        (Document("x", "wheat", metadata={"new": np.arange(3)}), RejectReason.WRONG_TYPE),
        (Document("x", "wheat", metadata={"new": MAY_DAY}), RejectReason.WRONG_TYPE),
        (Document("x", "wheat", metadata={"new": BEFORE_TIME}), RejectReason.WRONG_TYPE),
        (Document("x", "wheat", metadata={"new": "\ud800"}), RejectReason.ENCODING),
        (Document("x", "wheat", metadata={"\ud800": "new"}), RejectReason.ENCODING),
        (Document("x", "half \udc80 a pair"), RejectReason.ENCODING),
        (Document("x", "wheat", title="\ud800"), RejectReason.ENCODING),
        (Document("\ud800", "wheat"), RejectReason.ENCODING),
    ],
)
def test_what_cannot_be_stored_is_rejected_with_a_reason(tmp_path, document, reason):
    good = Document("a", "wheat", metadata={"n": 7})
    rejects = rejected(tmp_path / "i", [good, document, Document("z", "wheat")])
    assert rejects.counts == {reason: 1}
    searcher = open_index(tmp_path / "i")
    assert [hit.doc_id for hit in searcher.search("wheat").hits] == ["a", "z"]
    assert searcher.description().fields == {"n": "integer"}


def test_values_that_fit_are_converted(tmp_path):
    first = Document("a", "wheat", metadata={"price": 1.5, "tags": ("x",)})
    second = Document("b", "wheat", metadata={"price": 2, "tags": "y"})
    assert rejected(tmp_path / "i", [first, second]).total == 0
    searcher = open_index(tmp_path / "i")
    assert stored(searcher, "b") == {"price": 2.0, "tags": ("y",)}


def test_numbers_of_numpy_and_fields_without_a_value(tmp_path):
    values = {"n": np.int64(3), "x": np.float32(0.5), "yes": np.bool_(True), "none": None}
    plain = Document("b", "wheat", metadata={"n": 4, "none": "here"})
    assert rejected(tmp_path / "i", [Document("a", "wheat", metadata=values), plain]).total == 0
    searcher = open_index(tmp_path / "i")
    assert stored(searcher, "a") == {"n": 3, "x": 0.5, "yes": True}
    assert stored(searcher, "b") == {"n": 4, "none": "here"}


def test_documents_go_where_records_go(tmp_path):
    index = str(tmp_path / "i")
    odd = Document("odd", "wheat", metadata={"n": "x"})
    report = build([Document("a", "wheat", metadata={"n": 1}), odd], index, "plain-bm25")
    assert "odd" not in [hit.doc_id for hit in open_index(index).search("wheat").hits]
    assert any("field 'n' holds integer values" in warning for warning in report.warnings)
    report = add_documents(index, [Document("b", "wheat"), Document("b", "again"), odd])
    assert report.documents == 1
    assert report.rejected == {"repeated id": 1, "wrong type": 1}
    assert delete_documents(index, ["a"]).deleted == 1
    with pytest.raises(TypeError, match="list of ids"):
        delete_documents(index, "b")
    for wrong in ("text", {"doc_id": "a"}, Document(1, "number"), Document("c", None)):
        with pytest.raises(TypeError, match="Document"):
            build([wrong], tmp_path / "j", "plain-bm25")
    with open_index(index) as searcher, pytest.raises(QueryError, match="list of queries"):
        searcher.search_batch("wheat")


def test_a_rejected_replacement_leaves_the_old_document(tmp_path):
    index = tmp_path / "i"
    build([Document("a", "old wheat", metadata={"year": 2000})], index, "plain-bm25")
    for metadata in ({"year": "two thousand"}, {"year": 2**70}, {"new": "\ud800"}):
        report = add_documents(index, [Document("a", "wheat", metadata=metadata)], replace=True)
        assert (report.documents, report.replaced, sum(report.rejected.values())) == (0, 0, 1)
    assert open_index(index).document("a").text == "old wheat"


def test_a_build_that_rejects_all_leaves_what_is_there(tmp_path):
    index = tmp_path / "i"
    build([Document("a", "wheat")], index, "plain-bm25")
    bad = Document("b", "wheat", metadata={"new": (1, 2)})
    with pytest.raises(NothingIndexedError, match="all 1 records were rejected"):
        build([bad], index, "plain-bm25", overwrite=True)
    assert open_index(index).document("a").text == "wheat"
    with pytest.raises(NothingIndexedError):
        build([bad], tmp_path / "new", "plain-bm25")
    assert not (tmp_path / "new").exists()
    with pytest.raises(NothingIndexedError) as learned:
        build([bad], tmp_path / "new", "english-bm25 + 0.5*splade")
    assert "\n" not in str(learned.value)
    assert [path.name for path in tmp_path.iterdir()] == ["i"]  # nothing to resume
    build([Document("c", "wheat")], tmp_path / "new", "english-bm25 + 0.5*splade")


@pytest.mark.parametrize("encoder", ["plain-bm25", "wordpiece-bm25", "english-bm25 + 0.5*splade"])
def test_an_empty_index_is_searched(tmp_path, encoder):
    build([], tmp_path / "empty", encoder)
    build([Document("a", "wheat")], tmp_path / "emptied", encoder)
    delete_documents(tmp_path / "emptied", ["a"])
    merge_segments(tmp_path / "emptied")
    for name in ("empty", "emptied"):
        searcher = open_index(tmp_path / name)
        assert searcher.search("wheat").hits == ()
        searcher.warm_up()
    add_documents(tmp_path / "emptied", [Document("b", "wheat")])
    assert [hit.doc_id for hit in open_index(tmp_path / "emptied").search("wheat").hits] == ["b"]


def test_too_many_fields_are_refused(tmp_path):
    documents = [Document(f"d{i}", "wheat", metadata={f"f{i}": i}) for i in range(MAX_FIELDS + 3)]
    rejects = rejected(tmp_path / "i", documents)
    assert rejects.counts == {RejectReason.TOO_LARGE: 3}
    assert len(open_index(tmp_path / "i").description().fields) == MAX_FIELDS
    fields = {f"f{i}": "integer" for i in range(100_000)}
    with pytest.raises(IndexerError, match="100,000 metadata fields"):
        build_index([], tmp_path / "j", create_spaces({"default": "plain-bm25"}), fields=fields)


def test_a_large_document(tmp_path):
    """Ten megabytes: split, searched and shown whole."""
    text = "The quick brown fox jumps over the lazy dog. " * 230_000 + "needle"
    report = build(
        [Document("big", text), Document("small", "a needle")], tmp_path / "i", "english-bm25"
    )
    assert report.split_documents == 1
    searcher = open_index(tmp_path / "i")
    hits = {hit.doc_id: hit for hit in searcher.search("needle", highlight=True).hits}
    assert hits.keys() == {"big", "small"}
    start, end = hits["big"].passage
    assert text[start:end].endswith("needle")
    assert end - start < 5000
    assert hits["big"].snippets[-1].text.endswith("needle")
    assert searcher.document("big").text == text


@pytest.mark.parametrize("count", [0, 1])
def test_tiny_collections(tmp_path, count):
    documents = [Document("only", "wheat and rye", metadata={"n": 1})][:count]
    spaces = {"default": "english-bm25 + plain-bm25", "pieces": "wordpiece-bm25"}
    build(documents, tmp_path / "i", spaces)
    searcher = open_index(tmp_path / "i")
    for space in spaces:
        for query in ("wheat", "", "unknown", "the"):
            results = searcher.search(query, 50, space=space, explain=True, highlight=True)
            expected = ["only"] if count and query == "wheat" else []
            assert [hit.doc_id for hit in results.hits] == expected
            assert (results.total.value, results.total.relation) == (len(expected), "eq")


def test_documents_without_text(tmp_path):
    documents = [Document("a"), Document("b", title="wheat"), Document("c", "  \n ")]
    report = build(documents, tmp_path / "i", "english-bm25")
    assert (report.documents, report.title_only, report.without_text) == (3, 1, 2)
    searcher = open_index(tmp_path / "i")
    assert [hit.doc_id for hit in searcher.search("wheat").hits] == ["b"]
    assert searcher.document("c").text == "  \n "

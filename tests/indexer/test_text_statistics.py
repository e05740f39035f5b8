"""Document frequencies and lengths are those of the text, whatever an encoder makes of it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest

from encoders.base import Document, EncoderSpec, QuerySide, SparseRows
from encoders.expression import PartExpression
from encoders.query.analyzer import create_analyzer
from indexer.builder import add_documents, build_index, delete_documents
from indexer.corpus.records import CorpusRecord
from indexer.format.manifest import read_manifest
from indexer.format.segment import Segment
from indexer.merge import merge_segments
from indexer.settings import BuildSettings
from indexer.spaces import SpacePart
from retriever.searcher import open_index

TEXTS = ("apple pear", "apple apple fig", "apple quince", "quince", "")
TEXT = {"apple": 3, "pear": 1, "fig": 1, "quince": 2}


class Expanding:
    """An open vocabulary: every text also gets 'fruit', and 'apple' gets no weight."""

    def __init__(self) -> None:
        self.spec = EncoderSpec("expanding", "expanding", "open", "binary")
        self._analyzer = create_analyzer("plain")

    def count_tokens(self, documents: Sequence[Document]) -> SparseRows:
        return self._analyzer.count_batch([document.full_text() for document in documents])

    def encode_documents(self, documents: Sequence[Document]) -> SparseRows:
        terms = ["fruit", "fig", "pear", "quince"]
        words = [{*document.text.split(), "fruit"} for document in documents]
        return SparseRows.from_rows(
            ({number: 1.0 for number, term in enumerate(terms) if term in row} for row in words),
            terms,
        )

    def query_side(self) -> QuerySide:
        return QuerySide("plain")


def records(texts: Sequence[str], prefix: str) -> list[CorpusRecord]:
    return [CorpusRecord(Document(f"{prefix}{i}", t), "-", None) for i, t in enumerate(texts)]


def statistics(index: Path) -> tuple[dict[str, int], int]:
    """Document frequency per term and the tokens of the text, over all segments."""
    manifest = read_manifest(index)
    doc_freq: dict[str, int] = {}
    for entry in manifest.segments:
        part = Segment(index, entry, manifest.spaces).spaces["default"].parts["expanding"]
        assert part.terms is not None
        for term, count in zip(part.terms, part.doc_freq.tolist(), strict=True):
            doc_freq[term] = doc_freq.get(term, 0) + count
    return doc_freq, sum(entry.token_counts["default.expanding"] for entry in manifest.segments)


@pytest.fixture
def index(tmp_path, monkeypatch) -> Path:
    """Several batches in several segments."""
    part = SpacePart(PartExpression(1.0, "expanding", None, "expanding"), Expanding())
    monkeypatch.setattr("indexer.builder.reopen_spaces", lambda _: {"default": (part,)})
    monkeypatch.setattr("indexer.generation.BATCH_DOCUMENTS", 2)
    settings = BuildSettings(segment_rows=4)
    build_index(records(TEXTS, "d"), tmp_path / "i", {"default": (part,)}, settings=settings)
    assert len(read_manifest(tmp_path / "i").segments) == 2
    return tmp_path / "i"


def test_expansions_and_pruning_do_not_count(index):
    assert statistics(index) == ({**TEXT, "fruit": 0}, 8)


def test_additions_deletions_and_merges_keep_them(index):
    add_documents(index, records(["apple kiwi"], "new"))
    assert statistics(index) == ({**TEXT, "apple": 4, "kiwi": 1, "fruit": 0}, 10)
    delete_documents(index, ["d1", "new0"])
    expected = {"apple": 2, "pear": 1, "fig": 0, "quince": 2}
    assert statistics(index) == ({**expected, "kiwi": 0, "fruit": 0}, 5)
    merge_segments(index)
    doc_freq, tokens = statistics(index)
    assert {term: count for term, count in doc_freq.items() if count} == {
        term: count for term, count in expected.items() if count
    }
    assert tokens == 5


def test_a_term_without_postings_finds_nothing(index):
    searcher = open_index(index)
    assert searcher.search("apple").hits == ()
    assert {hit.doc_id for hit in searcher.search("apple quince").hits} == {"d2", "d3"}

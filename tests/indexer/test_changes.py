"""After adding, replacing and deleting, an index equals a fresh build of what is left."""

from __future__ import annotations

import tempfile
from collections import Counter
from collections.abc import Callable, Iterable
from pathlib import Path

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from encoders.base import CorpusStatistics, Document
from encoders.bm25 import BM25Encoder
from indexer import generation
from indexer.builder import add_documents, build, build_index, delete_documents
from indexer.corpus.records import CorpusRecord, RejectLog, RejectReason
from indexer.format.manifest import read_manifest
from indexer.format.segment import Segment
from indexer.merge import merge_segments
from indexer.settings import BuildSettings
from indexer.spaces import SpacePart, reopen_spaces
from indexer.verification import verify
from retriever.searcher import open_index

WORDS = ("wheat", "rye", "oats", "barley", "the", "millers", "milling")
IDS = ("a", "b", "c", "d", "e", "f", "g\n\t", "h\0é")
SPACES = {"first": "english-bm25", "second": "plain-bm25 + 0.3*english-bm25"}
SPLIT = BuildSettings(passage_tokens=16)
QUERIES = ("wheat", "rye oats", "the millers milling barley wheat", "barley unknown")

texts = st.lists(st.sampled_from(WORDS), max_size=60).map(
    lambda words: ". ".join(" ".join(words[i : i + 7]) for i in range(0, len(words), 7))
)
documents = st.builds(
    Document,
    doc_id=st.sampled_from(IDS),
    text=texts,
    title=st.sampled_from(["", "Oats and rye"]),
    metadata=st.fixed_dictionaries({}, optional={"year": st.integers(1990, 1995)}),
)
batches = st.lists(documents, min_size=1, max_size=5, unique_by=lambda d: d.doc_id)


class PinnedBM25(BM25Encoder):
    """A BM25 encoder that keeps the average length it has."""

    def fit(self, statistics: CorpusStatistics) -> PinnedBM25:
        return self


def records(batch: Iterable[Document]) -> list[CorpusRecord]:
    return [CorpusRecord(document, "-", None) for document in batch]


def fresh_build(index: Path, output: Path, survivors: Iterable[Document]) -> Path:
    """A build under the specs, scales and settings of another index."""
    manifest = read_manifest(index)
    scales = {
        f"{space}.{part.name}": part.scale
        for space, entry in manifest.spaces.items()
        for part in entry.parts
    }
    spaces = {}
    for name, parts in reopen_spaces(manifest.spaces).items():
        encoders = [PinnedBM25(part.encoder.settings) for part in parts]
        spaces[name] = tuple(
            SpacePart(part.expression, encoder)
            for part, encoder in zip(parts, encoders, strict=True)
        )
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(generation, "choose_scales", lambda *_: scales)
        build_index(
            records(survivors),
            output,
            spaces,
            settings=BuildSettings.model_validate(manifest.settings),
            fields=manifest.fields,
        )
    return output


def text_statistics(index: Path) -> dict[str, tuple[Counter[str], int]]:
    """Document frequency of each term that any text has, and number of tokens, per part."""
    manifest = read_manifest(index)
    found: dict[str, tuple[Counter[str], int]] = {}
    for space, entry in manifest.spaces.items():
        for part in entry.parts:
            key = f"{space}.{part.name}"
            frequencies: Counter[str] = Counter()
            for segment_entry in manifest.segments:
                segment = Segment(index, segment_entry, manifest.spaces)
                view = segment.spaces[space].parts[part.name]
                terms = view.terms if view.terms is not None else map(str, range(view.size))
                frequencies.update(dict(zip(terms, view.doc_freq.tolist(), strict=True)))
            tokens = sum(segment.token_counts[key] for segment in manifest.segments)
            found[key] = (+frequencies, tokens)
    return found


def assert_same_answers(index: Path, fresh: Path) -> None:
    one, other = open_index(index), open_index(fresh)
    for space in SPACES:
        for query in QUERIES:
            for options in ({}, {"filter": {"field": "year", "gte": 1992}}, {"min_score": 0.4}):
                if "filter" in options and "year" not in one.description().fields:
                    continue
                for k in (2, 1000):
                    left, right = (s.search(query, k, space=space, **options) for s in (one, other))
                    assert [(hit.doc_id, hit.score) for hit in left.hits] == [
                        (hit.doc_id, hit.score) for hit in right.hits
                    ]
                    assert left.total == right.total


class Changes(RuleBasedStateMachine):
    """Random additions, replacements and deletions, beside a dictionary that does the same."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = tempfile.TemporaryDirectory()
        self.index = Path(self.folder.name) / "index"
        self.survivors: dict[str, Document] = {}

    @initialize(batch=st.lists(documents, max_size=6, unique_by=lambda d: d.doc_id))
    def build(self, batch: list[Document]) -> None:
        build(batch, self.index, SPACES, settings=SPLIT)
        self.survivors = {document.doc_id: document for document in batch}

    @rule(batch=batches)
    def add(self, batch: list[Document]) -> None:
        rejects = RejectLog()
        report = add_documents(self.index, records(batch), rejects=rejects)
        new = [document for document in batch if document.doc_id not in self.survivors]
        assert report.documents == len(new)
        assert rejects.counts[RejectReason.REPEATED_ID] == len(batch) - len(new)
        self.survivors |= {document.doc_id: document for document in new}

    @rule(batch=batches)
    def replace(self, batch: list[Document]) -> None:
        report = add_documents(self.index, records(batch), replace=True)
        old = [d.doc_id for d in batch if self.survivors.pop(d.doc_id, None)]
        assert report.replaced == len(old)
        assert report.documents == len(batch)
        self.survivors |= {document.doc_id: document for document in batch}

    @rule(doc_ids=st.lists(st.sampled_from([*IDS, "nobody"]), max_size=5))
    def delete(self, doc_ids: list[str]) -> None:
        before = read_manifest(self.index).generation
        report = delete_documents(self.index, doc_ids)
        known = {doc_id for doc_id in doc_ids if self.survivors.pop(doc_id, None)}
        assert report.deleted == len(known)
        assert report.unknown == len(set(doc_ids) - known)
        assert report.generation == before + bool(known)

    @rule(order=st.sampled_from(["arrival", "bisected"]), segments=st.integers(1, 2))
    def merge(self, order: str, segments: int) -> None:
        before = read_manifest(self.index)
        report = merge_segments(self.index, order=order, segments=segments)
        after = read_manifest(self.index)
        assert len(after.segments) == report.segments <= max(segments, 1)
        assert report.generation == after.generation
        changed = report.merged_segments or before.settings["order"] != order
        assert report.generation == before.generation + bool(changed)
        assert after.settings["order"] == order

    @invariant()
    def holds_the_survivors(self) -> None:
        if self.index.exists():
            assert read_manifest(self.index).document_count == len(self.survivors)

    def compare_with_a_fresh_build(self) -> None:
        survivors = self.survivors.values()
        fresh = fresh_build(self.index, self.index.with_name("fresh"), survivors)
        assert text_statistics(self.index) == text_statistics(fresh)
        one, other = read_manifest(self.index), read_manifest(fresh)
        assert one.document_count == other.document_count == len(self.survivors)
        assert one.row_count == other.row_count
        assert_same_answers(self.index, fresh)
        searcher = open_index(self.index)
        for document in survivors:
            stored = searcher.document(document.doc_id)
            assert (stored.text, stored.title) == (document.text, document.title)
            assert stored.metadata == document.metadata

    def teardown(self) -> None:
        try:
            if self.index.exists():
                assert verify(self.index).problems == ()
                self.compare_with_a_fresh_build()
        finally:
            self.folder.cleanup()


TestChanges = Changes.TestCase
TestChanges.settings = settings(max_examples=8, stateful_step_count=6, deadline=None)


def test_statistics_are_those_of_the_first_documents(tmp_path):
    """An index that was built empty gets its average length when documents come."""
    batch = [Document(f"d{i}", "wheat " * (5 + i)) for i in range(9)]
    build([], tmp_path / "empty", "english-bm25")
    assert open_index(tmp_path / "empty").search("wheat").hits == ()
    add_documents(tmp_path / "empty", records(batch))
    build(batch, tmp_path / "full", "english-bm25")
    parts = [
        read_manifest(tmp_path / name).spaces["default"].parts[0] for name in ("empty", "full")
    ]
    assert parts[0] == parts[1]
    assert parts[0].encoder.parameters["average_length"] == 9
    hits = [open_index(tmp_path / name).search("wheat", 20).hits for name in ("empty", "full")]
    assert hits[0] == hits[1]
    add_documents(tmp_path / "empty", records([Document("long", "wheat " * 300)]))
    kept = read_manifest(tmp_path / "empty").spaces["default"].parts[0]
    assert kept.encoder.parameters["average_length"] == 9


def test_everything_may_be_deleted(tmp_path):
    build([Document("a", "wheat"), Document("b", "rye")], tmp_path / "index", "english-bm25")
    delete_documents(tmp_path / "index", ["a", "b"])
    searcher = open_index(tmp_path / "index")
    assert searcher.search("wheat", count_total=True).total.value == 0
    add_documents(tmp_path / "index", records([Document("a", "wheat again")]))
    assert searcher.refresh()
    assert [hit.doc_id for hit in searcher.search("wheat").hits] == ["a"]


@pytest.mark.torch
def test_a_part_of_learned_weights_keeps_the_statistics_of_the_text(
    tmp_path, write_router: Callable[..., Path]
):
    checkpoint = write_router(tmp_path / "checkpoint")
    spaces = {"default": f"english-bm25 + splade:{checkpoint}"}
    words = ["red", "planet", "weather", "sparse", "index", "mars", "venus", "[MASK]", "überall"]
    batch = [Document(f"d{i}", " ".join(words[: i % 9 + 1]) * (i + 1)) for i in range(20)]
    build(batch[:12], tmp_path / "index", spaces)
    delete_documents(tmp_path / "index", ["d3", "d4", "d11"])
    changed = Document("d0", "venus venus index")
    add_documents(tmp_path / "index", records([*batch[12:], changed]), replace=True)
    survivors = [d for d in batch if d.doc_id not in ("d0", "d3", "d4", "d11")]
    build([*survivors, changed], tmp_path / "fresh", spaces)
    assert text_statistics(tmp_path / "index") == text_statistics(tmp_path / "fresh")

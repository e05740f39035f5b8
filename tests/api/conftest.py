"""A small searcher in memory and a small index on disk, and applications around them."""

from __future__ import annotations

import copy
import datetime
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient

from api.app import create_app
from api.settings import ServeSettings
from encoders.base import Document
from indexer.builder import build
from kernels.cpu.search import EXACT, Approximation
from retriever.errors import (
    DocumentNotFoundError,
    FilterError,
    NoVectorsError,
    QueryError,
    UnknownPartError,
    UnknownSpaceError,
)
from retriever.query import SparseVector
from retriever.results import Hit, Results, Snippet, StoredDocument, TermContribution, Total

DOCUMENTS = [
    StoredDocument(
        "d1",
        "Apples",
        "A red apple. " * 40,
        {"year": 2020, "tags": ("fruit", "red"), "weight": math.nan},
    ),
    StoredDocument(
        "/docs//pear.txt",
        "Pears",
        "A green pear beside an apple",
        {"year": 2021, "added": datetime.datetime(2024, 5, 31, tzinfo=datetime.UTC)},
    ),
    StoredDocument("empty", "Only an apple title", "", {}),
    StoredDocument("ünï/✓?#", "Plum", "A plum", {}),
]


TOPICS = ("wing", "boundary layer", "heat transfer", "shock wave", "nozzle", "turbulent flow")


class MemorySearcher:
    """Counts words: a small, honest searcher with the interface of the real one."""

    def __init__(self, documents: Sequence[StoredDocument] = DOCUMENTS) -> None:
        self.stored = {document.doc_id: document for document in documents}
        self.generation = 1
        self.refreshes = 0
        self.before_search: Callable[[], None] = lambda: None
        self.before_document: Callable[[], None] = lambda: None

    def search(
        self,
        query: str | SparseVector,
        k: int = 10,
        *,
        space: str | None = None,
        part_weights: Mapping[str, float] | None = None,
        filter: Mapping[str, Any] | None = None,  # noqa: A002
        offset: int = 0,
        min_score: float | None = None,
        explain: bool = False,
        highlight: bool = False,
        count_total: bool = False,
        rerank: float | None = None,
        approximation: Approximation = EXACT,
    ) -> Results:
        self.before_search()
        if space not in (None, "default"):
            raise UnknownSpaceError(f"the index has no space {space!r}.")
        if set(part_weights or ()) - {"words"}:
            raise UnknownPartError("the space has no such part.")
        if isinstance(query, SparseVector) and query.indices is not None:
            raise QueryError("the space has no fixed vocabulary.")
        if rerank:
            raise NoVectorsError("the index has no static vectors.")
        _check_filter(filter)
        factor = (part_weights or {}).get("words", 1.0)
        words = query.weights if isinstance(query, SparseVector) else _count(query)
        weights = {word: weight * factor for word, weight in words.items()}
        scored = []
        for document in self.stored.values():
            counts = _count(f"{document.title} {document.text}")
            terms = {word: weights[word] * counts.get(word, 0) for word in weights}
            score = sum(terms.values())
            if score > 0 and score >= (min_score or 0) and _passes(document, filter):
                scored.append((document, score, terms))
        scored.sort(key=lambda entry: -entry[1])
        hits = tuple(
            Hit(
                document.doc_id,
                score,
                offset + rank,
                (0, len(document.text)),
                tuple(
                    TermContribution(word, "words", weights[word], share, share, word)
                    for word, share in terms.items()
                )
                if explain
                else None,
                (Snippet("title", document.title, ((0, 1),)),) if highlight else None,
            )
            for rank, (document, score, terms) in enumerate(scored[offset : offset + k], start=1)
        )
        total = Total(len(scored), "eq" if count_total else "gte")
        return Results(hits, total, 0.25, approximation.is_exact)

    def search_batch(
        self,
        queries: Sequence[str | SparseVector],
        k: int = 10,
        *,
        threads: int = 1,
        **options: Any,
    ) -> list[Results]:
        return [self.search(query, k, **options) for query in queries]

    def document(self, doc_id: str) -> StoredDocument:
        self.before_document()
        if doc_id not in self.stored:
            raise DocumentNotFoundError(f"/secret/place holds no {doc_id}")
        return self.stored[doc_id]

    def pinned(self) -> MemorySearcher:
        pinned = copy.copy(self)
        pinned.stored = dict(self.stored)
        return pinned

    def description(self) -> Any:
        part = SimpleNamespace(
            name="words",
            weight=1.0,
            encoder="splade:/secret/models/tiny",
            vocabulary="open",
            query_table="idf",
        )
        return SimpleNamespace(
            name="on-disk",
            path="/secret/place",
            format_version="0.1",
            generation=self.generation,
            created_at="2024-05-31T00:00:00Z",
            document_count=len(self.stored),
            passage_count=len(self.stored),
            segment_count=1,
            size_bytes=1000,
            default_space="default",
            spaces={"default": SimpleNamespace(parts=[part])},
            rerank=None,
            fields={"year": "integer", "tags": "keywords", "added": "date", "weight": "float"},
        )

    def warm_up(self) -> None:
        """There is no kernel."""

    def refresh(self) -> bool:
        self.refreshes += 1
        return False


def _count(text: str) -> dict[str, float]:
    words = text.lower().replace(".", " ").split()
    return {word: float(words.count(word)) for word in words}


def _passes(document: StoredDocument, condition: Mapping[str, Any] | None) -> bool:
    if condition is None:
        return True
    value = document.metadata.get(condition["field"])
    return isinstance(value, int) and value >= condition["gte"]


def _check_filter(condition: Mapping[str, Any] | None) -> None:
    if condition is None:
        return
    if set(condition) != {"field", "gte"} or not isinstance(condition["gte"], int):
        raise FilterError("a filter is {'field': NAME, 'gte': NUMBER} here.")
    if not isinstance(condition["field"], str):
        raise FilterError("a field has a name.")


@pytest.fixture
def searcher() -> MemorySearcher:
    return MemorySearcher()


@pytest.fixture
def make_app(searcher: MemorySearcher) -> Callable[..., Flask]:
    """Makes an app that serves ``searcher`` as ``fruit``, with settings given as keywords."""

    def make(**settings: Any) -> Flask:
        app = create_app({"fruit": searcher}, ServeSettings(**settings))
        app.extensions["winnow"].warm_up.wait(10)
        return app

    return make


@pytest.fixture
def client(make_app: Callable[..., Flask]) -> Iterator[FlaskClient]:
    with make_app().test_client() as client:
        yield client


@pytest.fixture(scope="session")
def index(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An index of 61 reports on disk, with metadata ``year`` and ``lab``."""
    path = tmp_path_factory.mktemp("indexes") / "reports.winnow"
    reports = [
        Document(
            f"report/{number}",
            f"Measurements of {TOPICS[number % 6]} and {TOPICS[number * 5 % 6]} at speed.",
            f"Report {number} on {TOPICS[number % 6]}",
            {"year": 1950 + number % 20, "lab": "east" if number % 2 else "west"},
        )
        for number in range(60)
    ]
    build(
        [*reports, Document("title only", "", "A zeppelin", {"year": 1900})], path, "english-bm25"
    )
    return path


@pytest.fixture(scope="session")
def topics() -> tuple[str, ...]:
    """What the reports of ``index`` are about."""
    return TOPICS

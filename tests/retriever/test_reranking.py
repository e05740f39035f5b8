"""The first documents are ranked again by score and cosine, the same in any layout."""

from __future__ import annotations

import random

import numpy as np
import pytest

from encoders.base import Document
from encoders.static_vectors import StaticVectors
from indexer.builder import add_documents, build, build_index, delete_documents
from indexer.corpus.records import CorpusRecord
from indexer.merge import merge_segments
from indexer.settings import BuildSettings
from indexer.spaces import create_spaces
from kernels.cpu.search import Approximation
from kernels.cpu.vectors import VECTOR_STEP
from retriever.errors import NoVectorsError, QueryError
from retriever.query import SparseVector
from retriever.reranking import RERANK
from retriever.searcher import Searcher, open_index

WORDS = [
    "wheat",
    "chaff",
    "sieve",
    "grain",
    "mill",
    "bread",
    "oven",
    "crust",
    "crumb",
    "rye",
    "barley",
    "oat",
    "husk",
    "straw",
]
QUERIES = ["wheat chaff", "bread crust and rye bread", "mill", "straw wheat oat husk", "grain zzz"]
DEPTH = 8


def documents(count: int = 60) -> list[Document]:
    rng = random.Random(3)
    weights = [1 / (i + 1) for i in range(len(WORDS))]
    return [
        Document(
            f"d{number}",
            " ".join(rng.choices(WORDS, weights, k=rng.randrange(1, 12))),
            metadata={"even": number % 2 == 0},
        )
        for number in range(count)
    ]


@pytest.fixture(scope="module")
def index(vectors_directory, tmp_path_factory):
    path = tmp_path_factory.mktemp("reranking") / "index"
    build(documents(), path, "english-bm25", vectors=str(vectors_directory))
    return path


@pytest.fixture
def searcher(index) -> Searcher:
    return open_index(index)


def shown(searcher: Searcher, query: str, k: int = 60, **options) -> list[tuple[str, float]]:
    return [(hit.doc_id, hit.score) for hit in searcher.search(query, k, **options).hits]


@pytest.mark.parametrize("query", QUERIES)
def test_cosines_are_added_to_the_first_scores(searcher, query, vectors_directory):
    vectors = StaticVectors.read(vectors_directory)
    table, tokenizer = vectors.table, vectors.tokenizer
    counts = np.unique(tokenizer.ids(query), return_counts=True)
    asked = (table.query_weight[counts[0]] * (1 + np.log(counts[1]))) @ table.vectors[counts[0]]
    asked /= np.linalg.norm(asked)
    texts = {document.doc_id: document for document in documents()}
    before = shown(searcher, query, rerank=0)
    assert len(before) > DEPTH
    expected = {}
    for place, (doc_id, score) in enumerate(before):
        [vector] = vectors.document_vectors([texts[doc_id]]).astype(float) * VECTOR_STEP
        expected[doc_id] = score + (3.0 * max(0, vector @ asked) if place < DEPTH else 0)
    after = shown(searcher, query)
    assert [doc_id for doc_id, _ in after] == sorted(expected, key=lambda d: -expected[d])
    assert dict(after) == pytest.approx(expected, rel=1e-5)
    assert after[DEPTH:] == before[DEPTH:]
    assert after[:DEPTH] != before[:DEPTH]


@pytest.mark.parametrize("query", QUERIES)
def test_ids_alone_and_pages_and_batches_are_the_same(searcher, query):
    whole = shown(searcher, query)
    ids, scores = searcher.rank(query, 60)
    assert ids == [doc_id for doc_id, _ in whole]
    np.testing.assert_allclose(scores, [score for _, score in whole], rtol=2e-6)
    for k in (1, 3, DEPTH, DEPTH + 1, 20):
        assert searcher.rank(query, k)[0] == ids[:k]
        assert shown(searcher, query, k) == whole[:k]
        assert shown(searcher, query, k, offset=5) == whole[5 : 5 + k]
        assert shown(searcher, query, k, threads=2) == whole[:k]
    [results] = searcher.search_batch([query], 4, rerank=7.0)
    assert [hit.doc_id for hit in results.hits] == searcher.rank(query, 4, rerank=7.0)[0]
    assert searcher.search(query, 0).hits == ()


def test_scores_never_rise(searcher):
    for query in QUERIES:
        for weight in (0.1, 3, 1e6, 1e9):
            for part in (1e-290, 1e-100, 1e-9, 1, 1e9):
                options = {"rerank": weight, "part_weights": {"english-bm25": part}}
                hits = shown(searcher, query, **options)
                scores = np.array([score for _, score in hits])
                assert (np.diff(scores) <= 1e-6 * scores[:-1]).all()
                ids, totals = searcher.rank(query, 60, **options)
                assert ids == [doc_id for doc_id, _ in hits]
                np.testing.assert_allclose(
                    totals, scores, rtol=2e-6, atol=1e-6 * scores.max(initial=0)
                )


def test_a_weight_of_its_own_decides(searcher, index):
    query = QUERIES[1]
    assert shown(searcher, query, rerank=3.0) == shown(searcher, query)
    assert shown(searcher, query, rerank=np.float32(3)) == shown(searcher, query)
    assert shown(searcher, query, rerank=50.0) != shown(searcher, query)


@pytest.mark.parametrize("query", QUERIES)
def test_explanations_add_up(searcher, query):
    results = searcher.search(query, 20, explain=True, highlight=True)
    for place, hit in enumerate(results.hits):
        parts = {share.part for share in hit.explanation}
        assert sum(share.contribution for share in hit.explanation) == pytest.approx(hit.score)
        assert place < DEPTH or RERANK not in parts
        for share in hit.explanation:
            product = share.query_weight * share.document_weight
            assert share.contribution == pytest.approx(product)
            if share.part == RERANK and share.term in WORDS:
                assert share.word == share.term or not share.in_text
    assert RERANK in {share.part for hit in results.hits for share in hit.explanation}
    plain = searcher.search(query, 20, explain=True, rerank=0)
    assert RERANK not in {share.part for hit in plain.hits for share in hit.explanation}


def test_filters_and_lowest_scores(searcher):
    query = QUERIES[0]
    even = [
        hit.doc_id for hit in searcher.search(query, 60, filter={"field": "even", "eq": True}).hits
    ]
    assert even
    assert all(int(doc_id[1:]) % 2 == 0 for doc_id in even)
    whole = shown(searcher, query)
    for lowest in (whole[0][1] + 1, whole[3][1], whole[DEPTH + 2][1], 0.0):
        high = [pair for pair in whole if pair[1] >= lowest]
        assert shown(searcher, query, min_score=lowest) == high
        assert shown(searcher, query, 3, offset=1, min_score=lowest) == high[1:4]


def test_totals_are_those_of_the_words(searcher):
    query = QUERIES[0]
    for options in ({}, {"count_total": True}, {"offset": 3}):
        with_vectors = searcher.search(query, 5, **options).total
        assert with_vectors == searcher.search(query, 5, rerank=0, **options).total
    assert searcher.search("mill", 1000).total.relation == "eq"


def test_nothing_found_and_nothing_asked(searcher):
    assert shown(searcher, "zzz") == shown(searcher, "") == []
    # The unknown token has a vector, too, but no document has the word.
    assert searcher.rank("\N{SNOWMAN}\N{SNOWMAN}")[0] == []


@pytest.mark.parametrize("encoder", ["english-bm25", "english-bm25 + 0.5*splade"])
def test_an_empty_index_finds_nothing(tmp_path, vectors_directory, encoder):
    def finds_nothing() -> bool:
        with open_index(tmp_path / "index") as searcher:
            return not searcher.search("planet").hits and not searcher.rank("planet")[0]

    build([], tmp_path / "index", encoder, vectors=str(vectors_directory))
    assert finds_nothing()
    add_documents(tmp_path / "index", [Document("a", "a red planet")])
    assert not finds_nothing()
    delete_documents(tmp_path / "index", ["a"])
    assert finds_nothing()
    merge_segments(tmp_path / "index")
    assert finds_nothing()


def test_a_vector_of_weights_is_not_ranked_again(searcher):
    query = SparseVector({"wheat": 2.0, "rye": 1.0})
    assert shown(searcher, query, rerank=9.0) == shown(searcher, query, rerank=0)


def test_a_budget_leaves_the_first_it_found(searcher):
    results = searcher.search(QUERIES[0], 5, approximation=Approximation(posting_budget=1))
    assert not results.exact
    assert len(results.hits) == 5


@pytest.mark.parametrize("weight", [-1, np.nan, np.inf, "3", True, 1e10])
def test_weights_out_of_range_are_refused(searcher, weight):
    with pytest.raises(QueryError, match="rerank must"):
        searcher.search("wheat", rerank=weight)
    with pytest.raises(QueryError, match="rerank must"):
        searcher.rank("wheat", rerank=weight)
    with pytest.raises(QueryError, match="rerank must"):
        searcher.search("", rerank=weight)


def test_an_index_without_vectors(tmp_path):
    build(documents(5), tmp_path / "index", "english-bm25")
    with open_index(tmp_path / "index") as searcher:
        assert searcher.search("wheat", rerank=0).hits == searcher.search("wheat").hits
        with pytest.raises(NoVectorsError, match="--vectors static"):
            searcher.search("wheat", rerank=1.0)


@pytest.mark.parametrize("order", ["arrival", "bisected"])
@pytest.mark.parametrize("pieces", [1, 4])
def test_answers_do_not_depend_on_the_layout(searcher, vectors_directory, tmp_path, order, pieces):
    path = tmp_path / "index"
    settings = BuildSettings(order=order)
    records = [CorpusRecord(document, "-", None) for document in documents()]
    first, *rest = np.array_split(np.arange(60), pieces)
    build_index(
        records[: len(first)],
        path,
        create_spaces({"default": "english-bm25"}),
        settings=settings,
        vectors=str(vectors_directory),
    )
    for piece in rest:
        add_documents(path, [records[number] for number in piece.tolist()])
    if pieces == 1:  # the same average length
        with open_index(path) as other:
            for query in QUERIES:
                assert shown(other, query) == shown(searcher, query)
    gone = [f"d{number}" for number in range(0, 60, 7)]
    delete_documents(path, gone)
    with open_index(path, memory_map=False) as deleted:
        found = {query: shown(deleted, query) for query in QUERIES}
    assert not {doc_id for hits in found.values() for doc_id, _ in hits} & set(gone)
    merge_segments(path)
    with open_index(path) as merged:
        assert len(merged._snapshot.segments) == 1
        assert {query: shown(merged, query) for query in QUERIES} == found


def test_the_best_passage_counts(vectors_directory, tmp_path):
    texts = [
        Document("long", ". ".join(["barley husk"] * 300 + ["wheat chaff wheat"] * 20)),
        *documents(12),
    ]
    path = tmp_path / "index"
    settings = BuildSettings(passage_tokens=64)
    build(texts, path, "english-bm25", settings=settings, vectors=str(vectors_directory))
    with open_index(path) as searcher:
        results = searcher.search("wheat chaff", 20, explain=True)
        ids = [hit.doc_id for hit in results.hits]
        assert len(ids) == len(set(ids))
        for hit in results.hits:
            assert sum(s.contribution for s in hit.explanation) == pytest.approx(hit.score)

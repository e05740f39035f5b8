"""A searcher gives the ids, order and scores of scoring every stored impact."""

from __future__ import annotations

import random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from encoders.base import Document
from indexer.builder import add_documents, build, build_index, delete_documents
from indexer.corpus.records import CorpusRecord
from indexer.settings import BuildSettings
from indexer.spaces import create_spaces
from kernels import reference
from kernels.cpu.search import Approximation, search_postings
from retriever import space
from retriever.errors import FilterError, QueryError
from retriever.query import MAX_TERMS, QueryTerm, SparseVector, integer_query
from retriever.searcher import Searcher, open_index
from retriever.searching import live_rows

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


def documents(count: int, seed: int = 0, long_share: float = 0.0) -> list[Document]:
    rng = random.Random(seed)
    weights = [1 / (i + 1) for i in range(len(WORDS))]
    result = []
    for number in range(count):
        length = rng.randrange(1, 12)
        if rng.random() < long_share:
            length = rng.randrange(700, 1500)
        words = rng.choices(WORDS, weights, k=length)
        text = ". ".join(" ".join(words[i : i + 9]) for i in range(0, length, 9))
        metadata = {"year": 1990 + number % 30, "even": number % 2 == 0}
        result.append(Document(f"d{number}", text, metadata=metadata))
    return result


def brute_force(searcher: Searcher, query: str, alive=None) -> list[tuple[str, float]]:
    """Every document's best passage by the int64 oracle, ties by order of arrival.

    Scores are the sums of float weights; the integer ones decide the order.
    """
    snapshot = searcher._snapshot
    view = snapshot.space(None)
    integer = integer_query(view.terms(query))
    best: dict[str, tuple[int, int, float]] = {}
    for number, segment in enumerate(snapshot.segments):
        postings = view.postings[number]
        triples = [
            (int(row), d, int(impact))
            for d in range(len(postings.directory))
            for row, impact in zip(*postings.postings(d), strict=True)
        ]
        triples.sort()
        rows = np.array([t[0] for t in triples], dtype=np.int64)
        indptr = np.searchsorted(rows, np.arange(segment.entry.row_count + 1))
        weights = {
            term.dimensions[number]: int(weight)
            for term, weight in zip(integer.terms, integer.weights, strict=True)
            if term.dimensions[number] >= 0
        }
        scores = reference.score_rows(
            indptr,
            np.array([t[1] for t in triples], dtype=np.uint32),
            np.array([t[2] for t in triples], dtype=np.uint8),
            weights,
        )
        shown = np.zeros(len(scores))
        for term, product in zip(integer.terms, integer.products, strict=True):
            if term.dimensions[number] >= 0:
                holding, impacts = postings.postings(term.dimensions[number])
                shown[holding] += product * impacts
        for row, score in enumerate(scores.tolist()):
            doc_num = segment.document_of(row)
            doc_id = segment.doc_ids[doc_num]
            if score and segment.is_alive(doc_num) and (alive is None or doc_id in alive):
                entry = (-score, int(segment.ordinals[doc_num]), float(shown[row]))
                best[doc_id] = min(best.get(doc_id, entry), entry)
    ranked = sorted(best.items(), key=lambda item: item[1])
    return [(doc_id, shown) for doc_id, (_, _, shown) in ranked]


def found(searcher: Searcher, query: str, k: int, **options) -> list[tuple[str, float]]:
    return [(hit.doc_id, hit.score) for hit in searcher.search(query, k, **options).hits]


@pytest.fixture(scope="module")
def searchers(tmp_path_factory) -> dict[str, Searcher]:
    """The same kind of collection in one segment, in several, with long documents, changed."""
    folder = tmp_path_factory.mktemp("indexes")
    result = {}
    build(documents(3000), folder / "one", "english-bm25")
    result["one"] = open_index(folder / "one")
    several = BuildSettings(segment_rows=100)
    build(documents(3000), folder / "several", "english-bm25", settings=several)
    result["several"] = open_index(folder / "several")
    assert len(result["several"]._snapshot.segments) > 2
    build(documents(400, seed=1, long_share=0.3), folder / "long", "english-bm25")
    result["long"] = open_index(folder / "long")
    assert result["long"]._snapshot.is_split
    build(documents(500, seed=2, long_share=0.1), folder / "changed", "english-bm25")
    delete_documents(folder / "changed", [f"d{i}" for i in range(0, 500, 3)])
    fresh = [CorpusRecord(d, "-", None) for d in documents(80, seed=3)]
    add_documents(folder / "changed", fresh, replace=True)
    result["changed"] = open_index(folder / "changed")
    return result


@pytest.mark.parametrize("name", ["one", "several", "long", "changed"])
@settings(max_examples=25, deadline=None)
@given(
    words=st.lists(st.sampled_from([*WORDS, "unknown"]), max_size=9),
    k=st.sampled_from([1, 2, 10, 100, 10_000]),
    offset=st.sampled_from([0, 1, 7, 5000]),
)
def test_equals_brute_force(searchers, name, words, k, offset):
    query = " ".join(words)
    truth = brute_force(searchers[name], query)
    assert found(searchers[name], query, k, offset=offset) == truth[offset : offset + k]


def test_passages_of_several_segments_crowd_no_document_out(tmp_path):
    """As many passages as hits are wanted, of few documents, none of whose segments is full."""
    long = "wheat chaff grain mill bread oven crust wheat rye. " * 360
    build([Document("a", long)], tmp_path / "index", "english-bm25")
    last = Document("c", "wheat " + "straw " * 40)
    for document in (Document("b", long), last):
        add_documents(tmp_path / "index", [CorpusRecord(document, "-", None)])
    searcher = open_index(tmp_path / "index")
    passages = searcher._snapshot.segments[0].entry.row_count
    assert passages > 3
    truth = brute_force(searcher, "wheat")
    assert len(truth) == 3
    for k in range(1, 2 * passages + 3):
        results = searcher.search("wheat", k)
        assert [(hit.doc_id, hit.score) for hit in results.hits] == truth[:k]
        assert results.total.value == 3 if results.total.relation == "eq" else k <= 3


def test_segments_do_not_matter(searchers):
    for query in ("wheat", "sieve grain", "straw husk bread wheat oat", "chaff chaff chaff"):
        assert found(searchers["one"], query, 500) == found(searchers["several"], query, 500)


def test_filters_exclude_before_the_top_k(searchers):
    condition = {"all": [{"field": "year", "gte": 2000, "lt": 2010}, {"field": "even", "eq": True}]}
    for name in ("one", "several"):
        searcher = searchers[name]
        alive = {
            d.doc_id
            for d in documents(3000)
            if 2000 <= d.metadata["year"] < 2010 and d.metadata["even"]
        }
        truth = brute_force(searcher, "wheat straw", alive)
        assert found(searcher, "wheat straw", 10, filter=condition) == truth[:10]
        assert found(searcher, "wheat straw", 10_000, filter=condition) == truth
    nothing = {"field": "year", "gt": 5000}
    results = searchers["one"].search("wheat", filter=nothing)
    assert results.hits == ()
    assert results.total.value == 0


@pytest.mark.parametrize(
    ("condition", "message"),
    [
        ({"field": "price", "gte": 10**400}, "too large for a float"),
        ({"field": "kind", "eq": "\ud800"}, "half of a surrogate pair"),
        ({"field": "kind", "in": ["a", "\udc00"]}, "half of a surrogate pair"),
        ({"any": [{"field": "kind", "eq": "a"}] * 1001}, "more than 1,000 conditions"),
        ({"not": {"all": [{"any": [{"field": "kind", "eq": "a"}] * 600}] * 2}}, "1,000 conditions"),
    ],
)
def test_filters_that_cannot_be_applied(tmp_path, condition, message):
    metadata = {"price": 1.5, "kind": "a"}
    build([Document("a", "wheat", metadata=metadata)], tmp_path / "index", "english-bm25")
    with pytest.raises(FilterError, match=message):
        open_index(tmp_path / "index").search("wheat", filter=condition)


def test_totals(searchers):
    for name, searcher in searchers.items():
        truth = len(brute_force(searcher, "wheat straw"))
        exact = searcher.search("wheat straw", 3, count_total=True)
        assert (exact.total.value, exact.total.relation) == (truth, "eq"), name
        assert searcher.search("wheat straw", 3).total.relation == "gte"
        everything = searcher.search("wheat straw", 10_000).total
        assert (everything.value, everything.relation) == (truth, "eq")


def test_min_score_keeps_equal_scores(searchers):
    truth = brute_force(searchers["one"], "wheat rye")
    level = truth[20][1]
    hits = found(searchers["one"], "wheat rye", 1000, min_score=level)
    assert hits == [pair for pair in truth if pair[1] >= level]


def test_threads_and_memory_maps_do_not_matter(searchers):
    queries = [" ".join(random.Random(i).choices(WORDS, k=4)) for i in range(200)]
    one = searchers["several"].search_batch(queries, 20)
    many = searchers["several"].search_batch(queries, 20, threads=8)
    mapped = Searcher(searchers["several"].path, memory_map=False).search_batch(queries, 20)
    assert [r.hits for r in one] == [r.hits for r in many] == [r.hits for r in mapped]


def test_thousands_of_query_terms_are_exact(tmp_path):
    vocabulary = [f"word{i}" for i in range(6000)]
    rng = random.Random(0)
    corpus = [Document(f"d{i}", " ".join(rng.sample(vocabulary, 900))) for i in range(40)]
    build_index(
        (CorpusRecord(d, "-", None) for d in corpus),
        tmp_path / "index",
        create_spaces({"default": "plain-bm25"}),
        settings=BuildSettings(split=False),
    )
    searcher = open_index(tmp_path / "index")
    query = " ".join(vocabulary)
    assert found(searcher, query, 40) == brute_force(searcher, query)


def test_threads_of_one_query_do_not_matter(searchers):
    for name, searcher in searchers.items():
        for query in ("wheat", "sieve grain rye", "straw husk bread wheat oat"):
            alone = searcher.search(query, 50)
            assert searcher.search(query, 50, threads=3).hits == alone.hits, name


def test_a_posting_budget_says_that_it_is_not_exact(searchers):
    query = " ".join(WORDS)
    truth = dict(brute_force(searchers["several"], query))
    tight = Approximation(posting_budget=500)
    results = searchers["several"].search(query, 20, approximation=tight)
    assert not results.exact
    assert results.total.relation == "gte"
    assert all(truth[hit.doc_id] == hit.score for hit in results.hits)
    wide = Approximation(posting_budget=10**9)
    exact = searchers["several"].search(query, 20)
    unmet = searchers["several"].search(query, 20, approximation=wide)
    assert exact.exact
    assert unmet.exact  # nothing was left out
    assert unmet.hits == exact.hits
    assert not searchers["several"].search(query, 20, approximation=Approximation(clip=9)).exact


def test_a_budget_and_threads_reach_every_segment(searchers, monkeypatch):
    seen = []

    def spy(*args, **options):
        seen.append((options["approximation"], options["threads"]))
        return search_postings(*args, **options)

    monkeypatch.setattr(space, "search_postings", spy)
    searcher = searchers["several"]
    searcher.search("wheat rye", 5, threads=3)
    assert set(seen) == {(Approximation(), 3)}
    seen.clear()
    searcher.search("wheat rye", 5, approximation=Approximation(clip=9, posting_budget=10))
    assert len(seen) == len(searcher._snapshot.segments)
    assert all(limits.clip == 9 and 1 <= limits.posting_budget <= 10 for limits, _ in seen)


@pytest.mark.parametrize("threads", [0, -1, True, 1.5, "2"])
def test_threads_out_of_range_are_refused(searchers, threads):
    with pytest.raises(QueryError, match="threads"):
        searchers["one"].search("wheat", threads=threads)


def test_numbers_of_numpy_are_numbers(searchers):
    hits = searchers["one"].search("wheat rye", 150, offset=100).hits
    found_ = searchers["one"].search("wheat rye", np.uint8(150), offset=np.uint8(100)).hits
    assert found_ == hits
    assert searchers["one"].rank("wheat rye", np.int8(20))[0] == [
        hit.doc_id for hit in searchers["one"].search("wheat rye", 20).hits
    ]


@pytest.mark.parametrize("number", [10**400, -(10**400), float("nan"), "2", True, None, 1j])
def test_numbers_that_no_float_holds_are_refused(searchers, number):
    searcher = searchers["one"]
    part = next(iter(searcher.description().spaces["default"].parts)).name
    if number is not None:
        with pytest.raises(QueryError, match="min_score"):
            searcher.search("wheat", min_score=number)
    with pytest.raises(QueryError, match="weight of part"):
        searcher.search("wheat", part_weights={part: number})
    with pytest.raises(QueryError, match="weight of 'wheat'"):
        SparseVector({"wheat": number})
    assert searcher.search("wheat", min_score=np.float32(0)).hits


def test_a_batch_applies_its_filter_once_and_sees_one_generation(searchers, monkeypatch):
    searcher = searchers["several"]
    single = [
        searcher.search(word, 5, filter={"field": "even", "eq": True}).hits for word in WORDS[:4]
    ]
    asked = []

    def spy(snapshot, condition):
        asked.append(condition)
        return live_rows(snapshot, condition)

    monkeypatch.setattr("retriever.searcher.live_rows", spy)
    for threads in (1, 3):
        found = searcher.search_batch(
            WORDS[:4], 5, threads=threads, filter={"field": "even", "eq": True}
        )
        assert [results.hits for results in found] == single
    assert len(asked) == 2
    with pytest.raises(QueryError, match="threads"):
        searcher.search_batch(WORDS[:4], threads=100_000)


def test_min_score_counts_as_shown_at_every_k(searchers):
    for name, searcher in searchers.items():
        every = searcher.search("wheat rye oat", 10_000).hits
        for level in (every[3].score, every[30].score, np.nextafter(every[30].score, 9e9)):
            wanted = [hit for hit in every if hit.score >= level]
            for k in (1, 5, 30, 31, 32):
                results = searcher.search("wheat rye oat", k, min_score=float(level)).hits
                assert [hit.doc_id for hit in results] == [hit.doc_id for hit in wanted[:k]], name


def test_more_terms_than_weights_can_tell_apart_are_refused(searchers):
    terms = [QueryTerm("p", str(i), 1.0, 1.0, (i,)) for i in range(MAX_TERMS + 1)]
    with pytest.raises(QueryError, match="at most 65536 terms"):
        integer_query(terms)


def test_ranks_are_the_ids_and_scores_of_hits(searchers):
    for name, searcher in searchers.items():
        for query in ("wheat straw", "unknown", ""):
            doc_ids, scores = searcher.rank(query, 200)
            hits = searcher.search(query, 200).hits
            assert doc_ids == [hit.doc_id for hit in hits], name
            assert scores == pytest.approx([hit.score for hit in hits], rel=1e-5), name
            assert (np.diff(scores) <= 0).all(), name

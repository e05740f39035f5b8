"""Answers written hit by hit are those of the models that describe them, up to the limit."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from api.answers import AnswerBuffer
from api.problems import PROBLEMS, Problem
from api.responses import (
    BatchAnswer,
    IndexReference,
    Passage,
    QueryAnswer,
    RankedDocument,
    SearchAnswer,
    SnippetText,
    TermWeight,
    TotalCount,
)

INDEX = IndexReference(name="fruit", generation=7)
TEXTS = st.text(st.characters(exclude_categories=["Cs"])) | st.just('"hits":[]')
HITS = st.builds(
    RankedDocument,
    rank=st.integers(1, 9),
    doc_id=TEXTS,
    score=st.floats(),
    fields=st.dictionaries(TEXTS, TEXTS | st.integers() | st.floats(allow_infinity=False)),
    passage=st.none() | st.builds(Passage, start=st.integers(), end=st.integers(), text=TEXTS),
    snippets=st.lists(
        st.builds(SnippetText, field=st.just("text"), text=TEXTS, matches=st.just([(0, 1)]))
    ),
    explanation=st.lists(
        st.builds(
            TermWeight,
            term=TEXTS,
            part=TEXTS,
            query_weight=st.floats(),
            document_weight=st.floats(),
            contribution=st.floats(),
            in_text=st.booleans(),
            word=st.none() | TEXTS,
        )
    ),
)


def common(hits: list[RankedDocument]) -> dict:
    total = TotalCount(value=3, relation="gte")
    return {"took_ms": 0.25, "exact": True, "total": total, "hits": hits}


@given(hits=st.lists(HITS, max_size=3))
def test_a_search_is_what_its_model_gives(hits):
    buffer = AnswerBuffer(1 << 20)
    buffer.add(SearchAnswer(**common([]), index=INDEX), "hits", hits)
    assert buffer.response().data == SearchAnswer(**common(hits), index=INDEX).to_json()


@given(hits_by_query=st.lists(st.lists(HITS, max_size=2), max_size=3))
def test_a_batch_is_what_its_model_gives(hits_by_query):
    buffer = AnswerBuffer(1 << 20)
    for hits in hits_by_query:
        buffer.add(QueryAnswer(**common([])), "hits", hits)
    response = buffer.response_within(BatchAnswer(took_ms=0, results=[], index=INDEX), "results")
    results = [QueryAnswer(**common(hits)) for hits in hits_by_query]
    whole = BatchAnswer(took_ms=0, results=results, index=INDEX).to_json()
    assert response.data == whole
    assert response.calculate_content_length() == len(whole)


def test_the_limit_is_the_length_of_the_whole_answer():
    hit = RankedDocument(rank=1, doc_id="x", score=1.0, fields={})
    frame = BatchAnswer(took_ms=0, results=[], index=INDEX)

    def write(limit: int) -> bytes:
        buffer = AnswerBuffer(limit)
        buffer.add(QueryAnswer(**common([])), "hits", [hit, hit])
        return buffer.response_within(frame, "results").data

    size = len(write(1 << 20))
    assert len(write(size)) == size
    for limit in (size - 1, size // 2, 1):
        with pytest.raises(Problem, match=f"limit of {limit:,} bytes") as caught:
            write(limit)
        assert PROBLEMS[caught.value.code][0] == 422


def test_what_follows_the_limit_is_not_even_made():
    made = []

    def hits():
        for rank in range(1, 1000):
            made.append(rank)
            yield RankedDocument(rank=rank, doc_id="x" * 1000, score=1.0, fields={})

    with pytest.raises(Problem):
        AnswerBuffer(10_000).add(QueryAnswer(**common([])), "hits", hits())
    assert len(made) == 10

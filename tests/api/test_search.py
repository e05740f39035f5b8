"""Searching one query, by query string and by body."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest
from flask.testing import FlaskClient

from api.app import create_app
from encoders.base import Document
from indexer.builder import build

SEARCH = "/v1/indexes/fruit/search"


def test_get_and_post_give_the_same_answer(client):
    by_query_string = client.get(SEARCH, query_string={"query": "apple", "top_k": "2"})
    by_body = client.post(SEARCH, json={"query": "apple", "top_k": 2})
    assert by_query_string.status_code == by_body.status_code == 200
    assert by_query_string.content_type == "application/json"
    assert by_query_string.json == by_body.json
    answer = by_body.json
    assert set(answer) == {"took_ms", "exact", "total", "hits", "index"}
    assert answer["total"] == {"value": 3, "relation": "gte"}
    assert answer["index"] == {"name": "fruit", "generation": 1}
    assert [(hit["rank"], hit["doc_id"]) for hit in answer["hits"]] == [
        (1, "d1"),
        (2, "/docs//pear.txt"),
    ]
    assert answer["took_ms"] == 0.25


def test_a_hit_has_title_and_shortened_passage_by_default(client):
    hit, *_ = client.get(SEARCH, query_string={"query": "red"}).json["hits"]
    assert hit["fields"] == {"title": "Apples"}
    assert hit["passage"]["start"] == 0
    assert hit["passage"]["end"] == len("A red apple. " * 40)
    text = hit["passage"]["text"]
    assert len(text) <= 301
    assert text.endswith("…")
    assert ("A red apple. " * 40).startswith(text[:-1])
    assert "snippets" not in hit
    assert "explanation" not in hit


def test_a_document_without_text_has_no_passage(client):
    hit, *_ = client.get(SEARCH, query_string={"query": "title"}).json["hits"]
    assert hit["doc_id"] == "empty"
    assert hit["passage"] is None


def test_all_fields_can_be_asked_for(client):
    hit, *_ = client.post(SEARCH, json={"query": "green", "fields": ["*"]}).json["hits"]
    assert hit["fields"] == {
        "title": "Pears",
        "text": "A green pear beside an apple",
        "year": 2021,
        "tags": None,
        "added": "2024-05-31T00:00:00Z",
        "weight": None,
    }
    assert hit["passage"]["text"] == "A green pear beside an apple"


def test_a_number_that_json_cannot_hold_is_null(client):
    hit, *_ = client.post(SEARCH, json={"query": "red", "fields": ["weight"]}).json["hits"]
    assert hit["fields"] == {"weight": None}


def test_no_fields_gives_ids_and_scores_without_reading_documents(client, searcher):
    def fail():
        raise AssertionError("no document was asked for")

    searcher.before_document = fail
    response = client.post(SEARCH, json={"query": "apple", "fields": []})
    assert response.status_code == 200
    assert response.json["hits"][0]["fields"] == {}
    assert "text" not in response.json["hits"][0]["passage"]


def test_fields_in_a_query_string_are_separated_by_commas_or_repeated(client):
    url = f"{SEARCH}?query=red&fields=title,year&fields=tags"
    assert client.get(url).json["hits"][0]["fields"] == {
        "title": "Apples",
        "year": 2020,
        "tags": ["fruit", "red"],
    }


def test_explanation_and_snippets_are_given_on_demand(client):
    options = {"query": "red apple", "explain": True, "highlight": True}
    hit, *_ = client.post(SEARCH, json=options).json["hits"]
    assert sum(term["contribution"] for term in hit["explanation"]) == hit["score"]
    assert set(hit["explanation"][0]) == {
        "term",
        "part",
        "query_weight",
        "document_weight",
        "contribution",
        "in_text",
        "word",
    }
    assert hit["snippets"] == [{"field": "title", "text": "Apples", "matches": [[0, 1]]}]
    assert client.get(SEARCH, query_string=options).json["hits"][0] == hit


def test_json_options_work_in_a_query_string(client):
    response = client.get(
        SEARCH,
        query_string={
            "vector": json.dumps({"apple": 2}),
            "filter": json.dumps({"field": "year", "gte": 2021}),
            "part_weights": json.dumps({"words": 0.5}),
        },
    )
    assert [(hit["doc_id"], hit["score"]) for hit in response.json["hits"]] == [
        ("/docs//pear.txt", 1.0)
    ]


def test_page_min_score_and_total(client):
    page = client.post(SEARCH, json={"query": "apple", "top_k": 1, "offset": 1}).json
    assert [hit["rank"] for hit in page["hits"]] == [2]
    best = client.post(SEARCH, json={"query": "apple", "min_score": 40}).json
    assert [hit["doc_id"] for hit in best["hits"]] == ["d1"]
    counted = client.post(SEARCH, json={"query": "apple", "count_total": True}).json
    assert counted["total"] == {"value": 3, "relation": "eq"}


@pytest.mark.parametrize("options", [{"query": ""}, {"query": "apple", "top_k": 0}, {"vector": {}}])
def test_a_search_for_nothing_finds_nothing(client, options):
    response = client.post(SEARCH, json=options)
    assert response.status_code == 200
    assert response.json["hits"] == []


def test_every_response_tells_its_request_id_and_timing(client):
    response = client.get(SEARCH, query_string={"query": "x"}, headers={"X-Request-ID": "abc-1"})
    assert response.headers["X-Request-ID"] == "abc-1"
    timing = response.headers["Server-Timing"]
    assert [entry.split(";")[0] for entry in timing.split(", ")] == ["search", "documents", "total"]


@pytest.mark.parametrize("given", ["", "a b", "x" * 129, '{"a"}', "é"])
def test_an_unsafe_request_id_is_replaced(client, given):
    headers = {"X-Request-ID": given}
    made = client.get("/healthz", headers=headers).headers["X-Request-ID"]
    assert made != given
    assert len(made) == 32


def test_an_answer_comes_from_one_generation(client, searcher):
    """A refresh between searching and reading documents is for the next request."""

    def move() -> None:
        searcher.stored.pop("d1", None)
        searcher.generation = 2

    searcher.before_document = move
    for generation in (1, 2):
        answer = client.post(SEARCH, json={"query": "apple"}).json
        assert answer["index"]["generation"] == generation
        assert ("d1" in [hit["doc_id"] for hit in answer["hits"]]) == (generation == 1)


def test_a_hit_without_its_document_is_a_server_error(client, searcher):
    searcher.document = lambda doc_id: searcher.__class__.document(searcher, "lost")
    assert client.post(SEARCH, json={"query": "apple"}).status_code == 500


def test_an_answer_says_whether_it_is_exact(client):
    assert client.post(SEARCH, json={"query": "apple"}).json["exact"] is True
    limited = client.post(SEARCH, json={"query": "apple", "posting_budget": 1000}).json
    assert limited["exact"] is False
    refused = client.post(SEARCH, json={"query": "apple", "posting_budget": -1})
    assert refused.status_code == 422
    assert "posting_budget" in refused.text


def test_the_server_limits_the_postings_of_a_search(make_app, searcher):
    budgets = []
    search = searcher.search

    def recorded(query, k, *, approximation, **options):
        budgets.append(approximation.posting_budget)
        return search(query, k, approximation=approximation, **options)

    searcher.search = recorded
    client = make_app(max_postings=500).test_client()
    budgets.clear()  # the warm-up's
    for options in ({}, {"posting_budget": 0}, {"posting_budget": 501}, {"posting_budget": 499}):
        answer = client.post(SEARCH, json={"query": "apple", **options}).json
        assert answer["exact"] is False
        assert client.get(SEARCH, query_string={"query": "apple", **options}).json == answer
        batch = client.post(f"{SEARCH}/batch", json={"queries": ["apple"], **options}).json
        assert batch["results"][0]["hits"] == answer["hits"]
    assert budgets == [500] * 9 + [499] * 3


def test_an_answer_that_is_too_large_is_refused(make_app, searcher):
    options = {"query": "apple", "fields": ["*"]}
    whole = make_app().test_client().post(SEARCH, json=options)
    size = len(whole.data)
    exact = make_app(max_answer_bytes=size).test_client()
    assert exact.post(SEARCH, json=options).data == whole.data
    smaller = make_app(max_answer_bytes=size - 1).test_client()
    for response in (
        smaller.post(SEARCH, json=options),
        smaller.get(SEARCH, query_string={"query": "apple", "fields": "*"}),
    ):
        assert response.status_code == 422
        assert response.json["code"] == "answer_too_large"
        assert f"{size - 1:,} bytes" in response.json["detail"]
        assert "top_k" in response.json["detail"]
    assert smaller.post(SEARCH, json=options | {"fields": []}).status_code == 200


@pytest.fixture
def reranking(vectors_directory, tmp_path) -> Iterator[FlaskClient]:
    """An index whose first documents are ranked again by static vectors."""
    documents = [
        Document(f"d{number}", f"measurements of {topic} at speed")
        for number, topic in enumerate(("wing", "heat", "shock", "nozzle", "flow"))
    ]
    path = tmp_path / "ranked.winnow"
    build(documents, path, "english-bm25", vectors=str(vectors_directory))
    with create_app({"ranked": path}).test_client() as client:
        yield client


def test_static_vectors_have_a_weight(reranking):
    def scores(**options) -> list[float]:
        body = {"query": "speed of a wing", **options}
        answer = reranking.post("/v1/indexes/ranked/search", json=body).json
        return [hit["score"] for hit in answer["hits"]]

    described = reranking.get("/v1/indexes/ranked").json["rerank"]
    assert described == {"weight": 3.0, "depth": 8, "dimensions": 16, "vectors": "vectors"}
    assert scores() == scores(rerank=3.0) != scores(rerank=0) != scores(rerank=9)
    by_query_string = reranking.get("/v1/indexes/ranked/search?query=speed+of+a+wing&rerank=0").json
    assert [hit["score"] for hit in by_query_string["hits"]] == scores(rerank=0)
    [batch] = reranking.post(
        "/v1/indexes/ranked/search/batch", json={"queries": ["speed of a wing"], "rerank": 0}
    ).json["results"]
    assert [hit["score"] for hit in batch["hits"]] == scores(rerank=0)
    explained = reranking.post(
        "/v1/indexes/ranked/search", json={"query": "wing", "explain": True}
    ).json["hits"]
    for hit in explained:
        shares = sum(share["contribution"] for share in hit["explanation"])
        assert shares == pytest.approx(hit["score"])


def test_an_index_without_static_vectors_says_so(client):
    problem = client.post(SEARCH, json={"query": "apple", "rerank": 2}).json
    assert (problem["status"], problem["code"]) == (422, "no_vectors")
    assert problem["errors"][0]["field"] == "rerank"
    for weight in (-1, 1e10, "2", True):
        problem = client.post(SEARCH, json={"query": "apple", "rerank": weight}).json
        assert (problem["status"], problem["code"]) == (422, "invalid_request")

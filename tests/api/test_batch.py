"""Searching many queries at once."""

from __future__ import annotations

import gc
import time
import weakref

import pytest

from retriever.results import Results

BATCH = "/v1/indexes/fruit/search/batch"


def test_a_batch_answers_in_the_order_of_its_queries(client):
    response = client.post(BATCH, json={"queries": ["pear", "", {"red": 2}], "top_k": 1})
    assert response.status_code == 200
    answer = response.json
    assert set(answer) == {"took_ms", "results", "index"}
    assert [[hit["doc_id"] for hit in result["hits"]] for result in answer["results"]] == [
        ["/docs//pear.txt"],
        [],
        ["d1"],
    ]
    alone = client.post("/v1/indexes/fruit/search", json={"query": "pear", "top_k": 1}).json
    assert answer["results"][0]["hits"] == alone["hits"]
    assert answer["index"] == alone["index"]


def test_an_empty_batch_is_answered(client):
    assert client.post(BATCH, json={"queries": []}).json["results"] == []


@pytest.mark.parametrize(
    ("options", "field"),
    [
        ({}, "queries"),
        ({"queries": "pear"}, "queries"),
        ({"queries": ["pear", 1]}, "queries.1"),
        ({"queries": ["pear", "x" * 4097]}, "queries.1"),
        ({"queries": ["pear", {"x": "y"}]}, "queries.1"),
        ({"queries": ["pear"] * 1001}, "queries"),
        ({"queries": ["pear"] * 1000, "top_k": 1000}, ""),
        ({"queries": ["pear"], "query": "pear"}, "query"),
    ],
)
def test_a_batch_beyond_its_limits_is_refused(client, options, field):
    response = client.post(BATCH, json=options)
    assert response.status_code == 422
    assert response.json["errors"][0]["field"] == field


def test_a_batch_is_not_a_get(client):
    response = client.get(BATCH)
    assert response.status_code == 405
    assert "POST" in response.headers["Allow"]


@pytest.mark.parametrize(
    ("queries", "top_k", "sizes"),
    [
        (250, 0, [100, 100, 50]),
        (101, 1, [100, 1]),
        (45, 50, [20, 20, 5]),
        (3, 999, [1, 1, 1]),
    ],
)
def test_only_a_slice_of_the_results_is_in_memory(make_app, searcher, queries, top_k, sizes):
    search_batch = searcher.search_batch
    seen, living = [], weakref.WeakSet()

    class Tracked(Results):
        """Results that can be referred to weakly."""

    def slice_of(some, k, **options):
        gc.collect()
        assert not living, "the results of the slice before are still there"
        seen.append(len(some))
        found = [
            Tracked(r.hits, r.total, r.took_ms, r.exact) for r in search_batch(some, k, **options)
        ]
        living.update(found)
        return found

    searcher.search_batch = slice_of
    texts = ["apple", "plum", "pear", ""] * queries
    response = (
        make_app()
        .test_client()
        .post(BATCH, json={"queries": texts[:queries], "top_k": top_k, "explain": True})
    )
    assert response.status_code == 200
    assert seen == sizes
    alone = [
        make_app()
        .test_client()
        .post("/v1/indexes/fruit/search", json={"query": text, "top_k": top_k, "explain": True})
        .json["hits"]
        for text in texts[:4]
    ]
    results = response.json["results"]
    assert [result["hits"] for result in results] == (alone * queries)[:queries]


def test_an_answer_that_grows_too_large_is_refused(make_app, searcher):
    body = {"queries": ["apple"] * 10, "fields": ["text"]}
    whole = make_app().test_client().post(BATCH, json=body)
    size = len(whole.data)
    assert make_app(max_answer_bytes=size).test_client().post(BATCH, json=body).json == whole.json
    read = []
    searcher.before_document = lambda: read.append(1)
    response = make_app(max_answer_bytes=1024).test_client().post(BATCH, json=body)
    assert response.status_code == 422
    assert response.json["code"] == "answer_too_large"
    assert "1,024 bytes" in response.json["detail"]
    assert len(read) < 10 < 30 == sum(len(result["hits"]) for result in whole.json["results"])
    smaller = make_app(max_answer_bytes=size - 1).test_client()
    assert smaller.post(BATCH, json=body).status_code == 422


def test_a_batch_that_takes_too_long_is_given_up(make_app, searcher):
    client = make_app(batch_seconds=0.05).test_client()
    searched = []
    searcher.before_search = lambda: searched.append(time.sleep(0.001))
    response = client.post(BATCH, json={"queries": ["apple"] * 1000})
    assert response.status_code == 422
    assert response.json["code"] == "batch_too_slow"
    assert "100 of 1,000 queries" in response.json["detail"]
    assert "Retry-After" not in response.headers
    assert len(searched) == 100
    # One slice is always answered, so that there are batches that work.
    assert client.post(BATCH, json={"queries": ["apple"] * 100}).status_code == 200

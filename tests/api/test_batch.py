"""Searching many queries at once."""

from __future__ import annotations

import pytest

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

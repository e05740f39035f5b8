"""Errors: each is a problem document that says what was wrong, and nothing of the server."""

from __future__ import annotations

import json
import logging

import pytest

SEARCH = "/v1/indexes/fruit/search"


def check_problem(response, status, code):
    assert response.status_code == status, response.text
    assert response.content_type == "application/problem+json"
    problem = response.json
    assert problem["status"] == status
    assert problem["code"] == code
    assert problem["type"] == "urn:winnow:problem:" + code.replace("_", "-")
    assert problem["title"]
    assert problem["detail"]
    assert problem["request_id"] == response.headers["X-Request-ID"]
    assert "secret" not in response.text
    assert "Traceback" not in response.text
    return problem


@pytest.mark.parametrize(
    ("method", "path", "status", "code"),
    [
        ("GET", "/", 404, "not_found"),
        ("GET", "/v1", 404, "not_found"),
        ("GET", "/v1/indexes/", 404, "not_found"),
        ("GET", "/v1/indexes/nuts", 404, "unknown_index"),
        ("GET", "/v1/indexes/nuts/search?query=x", 404, "unknown_index"),
        ("POST", "/v1/indexes/nuts/search/batch", 404, "unknown_index"),
        ("GET", "/v1/indexes/fruit/documents/none", 404, "unknown_document"),
        ("GET", "/v1/indexes/fruit/documents/", 404, "not_found"),
        ("DELETE", SEARCH, 405, "method_not_allowed"),
        ("POST", "/healthz", 405, "method_not_allowed"),
        ("GET", "/static/app.py", 404, "not_found"),
        ("GET", "/../../etc/passwd", 404, "not_found"),
    ],
)
def test_wrong_places(client, method, path, status, code):
    check_problem(client.open(path, method=method), status, code)


def test_405_lists_what_is_allowed(client):
    assert set(client.delete(SEARCH).headers["Allow"].split(", ")) >= {"GET", "POST"}


@pytest.mark.parametrize(
    ("options", "field"),
    [
        ({}, ""),
        ({"query": "x", "vector": {"x": 1}}, ""),
        ({"query": 7}, "query"),
        ({"query": "x" * 4097}, "query"),
        ({"query": "x", "top_k": -1}, "top_k"),
        ({"query": "x", "top_k": 1001}, "top_k"),
        ({"query": "x", "top_k": 10**300}, "top_k"),
        ({"query": "x", "top_k": "5"}, "top_k"),
        ({"query": "x", "top_k": True}, "top_k"),
        ({"query": "x", "top_k": 1.5}, "top_k"),
        ({"query": "x", "offset": -1}, "offset"),
        ({"query": "x", "offset": 9_991}, "offset"),
        ({"query": "x", "min_score": "high"}, "min_score"),
        ({"query": "x", "explain": 1}, "explain"),
        ({"query": "x", "fields": "title"}, "fields"),
        ({"query": "x", "fields": ["nothing"]}, "fields"),
        ({"query": "x", "fields": ["title"] * 101}, "fields"),
        ({"query": "x", "filter": "year > 3"}, "filter"),
        ({"query": "x", "filter": {"field": "year"}}, "filter"),
        ({"query": "x", "space": "outer"}, "space"),
        ({"query": "x", "part_weights": {"other": 1}}, "part_weights"),
        ({"query": "x", "part_weights": {"words": None}}, "part_weights.words"),
        ({"query": "x", "topk": 5}, "topk"),
        ({"vector": [1, 2]}, "vector"),
        ({"vector": {"x": "heavy"}}, "vector"),
        ({"vector": {"x": True}}, "vector"),
        ({"vector": {"{x}": None}}, "vector"),
        ({"vector": {"x": 10**300}}, "vector"),
        ({"vector": {"x": 1e300}}, "vector"),
        ({"vector": {str(n): 1 for n in range(10_001)}}, "vector"),
        ({"vector": {"indices": [1], "values": [1, 2]}}, "vector"),
        ({"vector": {"indices": [1, 1], "values": [1, 2]}}, "vector"),
        ({"vector": {"indices": [-1], "values": [1]}}, "vector"),
        ({"vector": {"indices": [2**32], "values": [1]}}, "vector"),
        ({"vector": {"indices": [1], "values": 1}}, "vector"),
        ({"vector": {"indices": [1], "values": [1]}}, "query"),
    ],
)
def test_invalid_fields_are_named(client, options, field):
    response = client.post(SEARCH, json=options)
    assert response.status_code == 422, response.text
    problem = check_problem(response, 422, response.json["code"])
    assert problem["errors"][0]["field"] == field
    assert problem["errors"][0]["detail"] in problem["detail"]
    assert len(response.data) < 2000


def test_an_unknown_field_is_told_the_known_ones(client):
    problem = client.post(SEARCH, json={"query": "x", "topk": 5}).json
    assert "top_k" in problem["detail"]


def test_all_invalid_fields_are_told_at_once(client):
    problem = client.post(SEARCH, json={"query": 1, "top_k": -1, "x": 2}).json
    assert [error["field"] for error in problem["errors"]] == ["top_k", "query", "x"]
    assert "2 more" in problem["detail"]


@pytest.mark.parametrize(
    ("query_string", "field"),
    [
        ("query=x&top_k=", "top_k"),
        ("query=x&top_k=ten", "top_k"),
        ("query=x&query=y", "query"),
        ("query=x&filter={", "filter"),
        ("query=x&min_score=nan", "min_score"),
        ("query=x&explain=perhaps", "explain"),
        ("query=x&page=2", "page"),
        ("vector=x", "vector"),
        ("", ""),
    ],
)
def test_invalid_parameters_are_named(client, query_string, field):
    problem = check_problem(client.get(f"{SEARCH}?{query_string}"), 422, "invalid_request")
    assert problem["errors"][0]["field"] == field


def test_a_query_string_that_is_not_utf_8_is_refused(client):
    check_problem(client.get(f"{SEARCH}?query=%ff%fe"), 400, "bad_request")


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"apple",
        b'{"query": "apple"',
        b"\xff\xfe",
        b'{"query": "\xff"}',
        b'{"query": "\\ud800"}',
        b'{"query": "x", "min_score": NaN}',
        b'{"query": "x", "min_score": 1e999}',
        b"[" * 100_000,
        b'{"query": "x", "filter": ' + b'{"not":' * 100_000 + b"1" + b"}" * 100_001,
        b'{"query": "x", "top_k": ' + b"9" * 10_000 + b"}",
    ],
)
def test_a_body_that_is_not_json_is_refused(client, body):
    response = client.post(SEARCH, data=body, content_type="application/json")
    assert response.status_code in (400, 422)
    check_problem(response, response.status_code, response.json["code"])


@pytest.mark.parametrize("body", [b"null", b"[]", b'"text"', b"7"])
def test_a_body_that_is_not_an_object_is_refused(client, body):
    response = client.post(SEARCH, data=body, content_type="application/json")
    check_problem(response, 422, "invalid_request")


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"Content-Type": "text/plain"},
        {"Content-Type": "application/x-www-form-urlencoded"},
        {"Content-Type": "multipart/form-data; boundary=x"},
        {"Content-Type": "application/json; charset=utf-16"},
        {"Content-Type": "application/json", "Content-Encoding": "gzip"},
    ],
)
def test_a_body_of_another_type_is_refused(client, headers):
    response = client.post(SEARCH, data=b'{"query": "x"}', headers=headers)
    check_problem(response, 415, "unsupported_media_type")


def test_a_json_suffix_and_charset_are_accepted(client):
    for content_type in ("application/json; charset=UTF-8", "application/vnd.search+json"):
        response = client.post(SEARCH, data=b'{"query": "x"}', content_type=content_type)
        assert response.status_code == 200


def test_a_body_beyond_the_limit_is_refused(make_app):
    client = make_app(max_body_bytes=2000).test_client()
    body = json.dumps({"query": "x" * 2000})
    response = client.post(SEARCH, data=body, content_type="application/json")
    check_problem(response, 413, "body_too_large")


def test_more_fields_than_any_request_has_are_refused(client):
    response = client.post(SEARCH, json={f"f{number}": 1 for number in range(100_000)})
    check_problem(response, 422, "invalid_request")
    assert len(response.data) < 1000


def test_an_unexpected_error_is_logged_with_its_request_and_hidden(client, searcher, caplog):
    def fail() -> None:
        raise RuntimeError("secret")

    searcher.before_search = fail
    with caplog.at_level(logging.ERROR, logger="api"):
        response = client.post(SEARCH, json={"query": "x"}, headers={"X-Request-ID": "lookup-7"})
    check_problem(response, 500, "internal_error")
    assert "lookup-7" in caplog.text
    assert "RuntimeError: secret" in caplog.text

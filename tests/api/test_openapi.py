"""The OpenAPI document agrees with the routes."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest

from api.auth import ApiKeys


@pytest.fixture
def document(client):
    response = client.get("/openapi.json")
    assert response.content_type == "application/json"
    return response.json


def operations(document) -> Iterator[tuple[str, str, dict]]:
    for path, by_method in document["paths"].items():
        for method, operation in by_method.items():
            yield path, method, operation


def references(node) -> Iterator[str]:
    if isinstance(node, dict):
        for key, value in node.items():
            if key == "$ref":
                yield value
            else:
                yield from references(value)
    elif isinstance(node, list):
        for value in node:
            yield from references(value)


def test_every_route_is_described_and_no_other(make_app, document):
    routes = {
        (re.sub(r"<(?:\w+:)?(\w+)>", r"{\1}", rule.rule), method.lower())
        for rule in make_app().url_map.iter_rules()
        for method in rule.methods - {"HEAD", "OPTIONS"}
    }
    assert {(path, method) for path, method, _ in operations(document)} == routes


def test_every_reference_leads_somewhere(document):
    found = set(references(document))
    assert found
    for reference in found:
        prefix, name = reference.rsplit("/", 1)
        assert prefix == "#/components/schemas"
        assert name in document["components"]["schemas"]


def test_operation_ids_are_unique_and_path_parameters_complete(document):
    ids = [operation["operationId"] for _, _, operation in operations(document)]
    assert len(ids) == len(set(ids))
    for path, _, operation in operations(document):
        described = {p["name"] for p in operation.get("parameters", []) if p["in"] == "path"}
        assert described == set(re.findall(r"{(\w+)}", path))


def test_query_string_and_body_have_the_same_options(document):
    operation = document["paths"]["/v1/indexes/{index}/search"]
    parameters = {p["name"] for p in operation["get"]["parameters"] if p["in"] == "query"}
    body = document["components"]["schemas"]["SearchRequest"]
    assert parameters == set(body["properties"])
    assert body["additionalProperties"] is False


def test_the_limits_of_the_server_are_stated(make_app):
    client = make_app(max_top_k=77, max_query_chars=99).test_client()
    request = client.get("/openapi.json").json["components"]["schemas"]["SearchRequest"]
    assert request["properties"]["top_k"]["maximum"] == 77
    assert request["properties"]["query"]["anyOf"][0]["maxLength"] == 99


def test_the_posting_budget_of_the_server_is_stated(make_app, document):
    def description(document) -> str:
        request = document["components"]["schemas"]["BatchRequest"]
        return request["properties"]["posting_budget"]["description"]

    limited = make_app(max_postings=1_234_567).test_client().get("/openapi.json").json
    assert "1,234,567" in description(limited)
    assert description(limited).startswith(description(document))


def test_the_problems_of_large_and_slow_answers_are_stated(document):
    search = document["paths"]["/v1/indexes/{index}/search"]
    batch = document["paths"]["/v1/indexes/{index}/search/batch"]
    for operation in (search["get"], search["post"], batch["post"]):
        assert "Answer too large" in operation["responses"]["422"]["description"]
    assert "Batch took too long" in batch["post"]["responses"]["422"]["description"]


def test_keys_are_stated_where_they_are_needed(make_app, document):
    assert "securitySchemes" not in document["components"]
    guarded = make_app(api_keys=ApiKeys(["k"])).test_client().get("/openapi.json").json
    for path, _, operation in operations(guarded):
        assert ("security" in operation) == path.startswith("/v1")
        assert ("401" in operation["responses"]) == path.startswith("/v1")


def test_nothing_is_fetched_from_outside(client):
    text = client.get("/openapi.json").text
    assert "http://" not in text
    assert "https://" not in text

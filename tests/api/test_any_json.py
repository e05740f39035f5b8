"""Whatever JSON comes in, the server answers and lives."""

from __future__ import annotations

import json
import math

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

SCALARS = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text()
)
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=10,
)
FIELDS = st.sampled_from(
    [
        "query",
        "queries",
        "vector",
        "top_k",
        "offset",
        "space",
        "part_weights",
        "filter",
        "min_score",
        "explain",
        "highlight",
        "fields",
        "count_total",
    ]
)
PLAUSIBLE = st.fixed_dictionaries(
    {},
    optional={
        "query": st.text(max_size=20),
        "queries": st.lists(st.text(max_size=20) | VALUES, max_size=3),
        "vector": st.dictionaries(st.text(), st.integers() | st.floats(allow_nan=False))
        | st.fixed_dictionaries(
            {"indices": st.lists(st.integers()), "values": st.lists(st.floats(allow_nan=False))}
        ),
        "top_k": st.integers(-1, 2000),
        "offset": st.integers(-1, 20_000),
        "filter": VALUES,
        "fields": st.lists(st.sampled_from(["title", "text", "*", "year", "passage", "x"])),
        "part_weights": st.dictionaries(st.sampled_from(["words", "x"]), st.floats()),
        "min_score": st.floats(),
    },
)
RELAXED = settings(
    max_examples=150,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)


@pytest.mark.parametrize("route", ["search", "search/batch"])
@RELAXED
@given(body=VALUES | st.dictionaries(FIELDS, VALUES) | PLAUSIBLE)
def test_any_json_body_is_answered(client, route, body):
    response = client.post(
        f"/v1/indexes/fruit/{route}", data=json.dumps(body), content_type="application/json"
    )
    assert response.status_code in (200, 400, 422), response.text
    if response.status_code == 200:
        for hit in response.json.get("hits", []):
            assert math.isfinite(hit["score"])
    else:
        assert response.content_type == "application/problem+json"


@RELAXED
@given(body=st.binary(max_size=200))
def test_any_bytes_are_answered(client, body):
    response = client.post("/v1/indexes/fruit/search", data=body, content_type="application/json")
    assert response.status_code in (400, 422)


@RELAXED
@given(parameters=st.dictionaries(FIELDS | st.text(), st.text(), max_size=4))
def test_any_query_string_is_answered(client, parameters):
    response = client.get("/v1/indexes/fruit/search", query_string=parameters)
    assert response.status_code in (200, 422), response.text


@RELAXED
@given(path=st.text())
def test_any_path_is_answered(client, path):
    response = client.get("/v1/indexes/fruit/" + path.replace("?", ""))
    assert response.status_code in (200, 404, 405, 422), response.text

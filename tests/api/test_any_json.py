"""Whatever JSON comes in, the server answers and lives."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator

import pytest
from flask.testing import FlaskClient
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from api.app import create_app

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
        "rerank",
    ]
)
QUERIES = st.sampled_from(["wing", "shock wave", "apple", "the"]) | st.text(max_size=20)
WEIGHTS = st.integers() | st.floats(allow_nan=False)
VECTORS = st.dictionaries(st.sampled_from(["wing", "shock", "apple"]) | st.text(), WEIGHTS)
CONDITIONS = st.dictionaries(
    st.sampled_from(["eq", "in", "gt", "gte", "lt", "lte", "exists"]),
    SCALARS | st.lists(SCALARS, max_size=2),
    max_size=2,
).flatmap(
    lambda operators: st.sampled_from(["year", "lab", "tags", "none"]).map(
        lambda field: {"field": field, **operators}
    )
)
FILTERS = st.recursive(
    CONDITIONS,
    lambda inner: st.builds(
        lambda key, members: {key: members},
        st.sampled_from(["all", "any", "not"]),
        inner | st.lists(inner, max_size=3),
    ),
    max_leaves=5,
)
PLAUSIBLE = st.fixed_dictionaries(
    {},
    optional={
        "query": QUERIES,
        "queries": st.lists(QUERIES | VECTORS | VALUES, max_size=3),
        "vector": VECTORS
        | st.fixed_dictionaries({"indices": st.lists(st.integers()), "values": st.lists(WEIGHTS)}),
        "top_k": st.integers(-1, 2000),
        "offset": st.integers(-1, 20_000),
        "filter": FILTERS | VALUES,
        "fields": st.lists(st.sampled_from(["title", "text", "*", "year", "passage", "x"])),
        "part_weights": st.dictionaries(st.sampled_from(["words", "english-bm25", "x"]), WEIGHTS),
        "min_score": WEIGHTS,
        "explain": st.booleans(),
        "highlight": st.booleans(),
        "count_total": st.booleans(),
        "rerank": WEIGHTS,
    },
)
RELAXED = settings(
    max_examples=80,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)


@pytest.fixture
def both(searcher, index) -> Iterator[FlaskClient]:
    """A client of the searcher in memory (``fruit``) and the index on disk (``reports``)."""
    with create_app({"fruit": searcher, "reports": index}).test_client() as client:
        yield client


@pytest.mark.parametrize("route", ["search", "search/batch"])
@pytest.mark.parametrize("name", ["fruit", "reports"])
@RELAXED
@given(body=VALUES | st.dictionaries(FIELDS, VALUES) | PLAUSIBLE)
def test_any_json_body_is_answered(both, name, route, body):
    response = both.post(
        f"/v1/indexes/{name}/{route}", data=json.dumps(body), content_type="application/json"
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

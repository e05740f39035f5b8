"""Describing indexes and reading documents."""

from __future__ import annotations

from urllib.parse import quote

import pytest

from api.app import create_app
from api.names import IndexNameError, named_paths
from api.settings import ServeSettings


def test_the_list_describes_each_index(client):
    listed = client.get("/v1/indexes").json["indexes"]
    described = client.get("/v1/indexes/fruit").json
    assert listed == [described]
    assert described["name"] == "fruit"
    assert described["document_count"] == 4
    assert described["fields"]["year"] == "integer"
    assert described["spaces"]["default"]["parts"][0]["encoder"] == "splade:tiny"


def test_a_description_tells_nothing_of_the_disk(client):
    assert "secret" not in client.get("/v1/indexes/fruit").text


@pytest.mark.parametrize("doc_id", ["d1", "/docs//pear.txt", "ünï/✓?#"])
@pytest.mark.parametrize("safe", ["/", ""])
def test_a_document_is_found_whatever_its_id(client, searcher, doc_id, safe):
    response = client.get(f"/v1/indexes/fruit/documents/{quote(doc_id, safe=safe)}")
    assert response.status_code == 200
    document = response.json
    assert document["doc_id"] == doc_id
    assert document["title"] == searcher.stored[doc_id].title
    assert document["text"] == searcher.stored[doc_id].text
    assert document["index"] == {"name": "fruit", "generation": 1}


def test_metadata_keeps_its_types(client):
    document = client.get("/v1/indexes/fruit/documents/d1").json
    assert document["metadata"] == {"year": 2020, "tags": ["fruit", "red"], "weight": None}


def test_an_index_is_refreshed_at_most_once_in_a_while(make_app, searcher):
    client = make_app(refresh_seconds=60).test_client()
    for _ in range(5):
        client.get("/v1/indexes/fruit")
    assert searcher.refreshes == 0
    client = make_app(refresh_seconds=0).test_client()
    client.get("/v1/indexes/fruit")
    assert searcher.refreshes == 1


def test_an_index_that_cannot_be_refreshed_is_served_as_it_was(make_app, searcher, caplog):
    def fail():
        raise FileNotFoundError("gone")

    searcher.refresh = fail
    client = make_app(refresh_seconds=0).test_client()
    assert client.get("/v1/indexes/fruit/search?query=apple").json["hits"]
    assert "gone" in caplog.text


def test_a_new_generation_is_described_anew(client, searcher):
    assert client.get("/v1/indexes/fruit").json["generation"] == 1
    searcher.generation = 2
    assert client.get("/v1/indexes/fruit").json["generation"] == 2


@pytest.mark.parametrize("name", ["", "a/b", "a b", "-a", ".a", "x" * 65, "é"])
def test_a_name_must_suit_a_url(searcher, name):
    with pytest.raises(IndexNameError):
        create_app({name: searcher}, ServeSettings())


def test_arguments_name_indexes(tmp_path):
    paths = named_paths(["a=x/y", "data/scifact.winnow", "./odd=name.winnow", "b=c=d"][:2])
    assert {name: str(path) for name, path in paths.items()} == {
        "a": "x/y",
        "scifact": "data/scifact.winnow",
    }
    assert str(named_paths(["b=c=d"])["b"]) == "c=d"


@pytest.mark.parametrize(
    "arguments", [["a=x", "a=y"], ["a="], ["=x"], ["x/a.winnow", "y/a.winnow"], ["./odd name"]]
)
def test_arguments_that_do_not_name_indexes_are_refused(arguments):
    with pytest.raises(IndexNameError):
        named_paths(arguments)

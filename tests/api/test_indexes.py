"""Describing indexes and reading documents."""

from __future__ import annotations

from urllib.parse import quote

import pytest

from api.app import create_app
from api.names import IndexNameError, named_paths
from api.settings import ServeSettings
from encoders.base import Document
from indexer.builder import build


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


@pytest.mark.parametrize("switch", ["link", "move"])
def test_another_index_of_the_same_generation_is_described_anew(tmp_path, switch):
    """Fields are checked against the index that is searched, not against the one before it."""
    old = Document("old", "an apple", "", {"year": 2020})
    new = [Document(f"new-{n}", "an apple", "", {"colour": "red"}) for n in range(2)]
    build([old], tmp_path / "old", "plain-bm25")
    build(new, tmp_path / "new", "plain-bm25")
    path = tmp_path / "served.winnow"

    def serve(name: str) -> None:
        if switch == "link":
            link = tmp_path / "link"
            link.symlink_to(tmp_path / name)
            link.replace(path)
        else:
            if path.exists():
                path.rename(tmp_path / "away")
            (tmp_path / name).rename(path)

    def search(field: str) -> tuple[int, list[str]]:
        response = client.get(f"/v1/indexes/fruit/search?query=apple&fields={field}")
        return response.status_code, [hit["doc_id"] for hit in response.json.get("hits", [])]

    serve("old")
    with create_app({"fruit": path}, ServeSettings(refresh_seconds=0)).test_client() as client:
        assert client.get("/v1/indexes/fruit").json["document_count"] == 1
        assert search("year") == (200, ["old"])
        serve("new")
        assert search("colour") == (200, ["new-0", "new-1"])
        assert search("year") == (422, [])
        described = client.get("/v1/indexes/fruit").json
        assert (described["generation"], described["document_count"]) == (1, 2)
        assert set(described["fields"]) == {"colour"}


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

"""API keys."""

from __future__ import annotations

import pytest

from api.auth import ApiKeyError, ApiKeys, find_keys, parse_keys, read_keys


@pytest.fixture
def guarded(make_app):
    return make_app(api_keys=ApiKeys(["first-key", "second-key"])).test_client()


@pytest.mark.parametrize("key", ["first-key", "second-key"])
@pytest.mark.parametrize("scheme", ["Bearer", "bearer"])
def test_a_known_key_opens_the_api(guarded, key, scheme):
    headers = {"Authorization": f"{scheme} {key}"}
    assert guarded.get("/v1/indexes", headers=headers).status_code == 200


@pytest.mark.parametrize(
    "header", [None, "", "Bearer", "Bearer ", "Basic first-key", "first-key", "Bearer third-key"]
)
@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/v1/indexes"),
        ("GET", "/v1/indexes/fruit"),
        ("GET", "/v1/indexes/fruit/search?query=apple"),
        ("POST", "/v1/indexes/fruit/search"),
        ("POST", "/v1/indexes/fruit/search/batch"),
        ("GET", "/v1/indexes/fruit/documents/d1"),
        ("GET", "/v1/nowhere"),
    ],
)
def test_without_a_key_the_api_is_closed(guarded, header, method, path):
    headers = {} if header is None else {"Authorization": header}
    response = guarded.open(path, method=method, headers=headers)
    assert response.status_code == 401
    assert response.content_type == "application/problem+json"
    assert response.headers["WWW-Authenticate"].startswith("Bearer")
    assert response.json["code"] == "unauthorized"


@pytest.mark.parametrize("path", ["/healthz", "/readyz", "/openapi.json"])
def test_health_and_openapi_need_no_key(guarded, path):
    assert guarded.get(path).status_code == 200


def test_keys_are_not_kept_as_text():
    keys = ApiKeys(["correct-horse"])
    assert "correct-horse" not in repr(keys)
    assert "correct-horse" not in repr(vars(keys))


def test_a_key_file_has_comments_and_blank_lines(tmp_path):
    path = tmp_path / "keys"
    path.write_text("# for the web shop\nshop-key\n\n  desk-key  \n")
    keys = read_keys(path)
    assert len(keys) == 2
    assert keys.accepts("shop-key")
    assert keys.accepts("desk-key")
    assert not keys.accepts("# for the web shop")


@pytest.mark.parametrize("content", [b"", b"\n# none\n", b"two words\n", "clé".encode(), b"\xff"])
def test_a_key_file_without_usable_keys_is_refused(tmp_path, content):
    path = tmp_path / "keys"
    path.write_bytes(content)
    with pytest.raises(ApiKeyError, match="keys"):
        read_keys(path)


def test_a_missing_key_file_is_refused(tmp_path):
    with pytest.raises(ApiKeyError, match="No such file"):
        read_keys(tmp_path / "none")


def test_the_environment_holds_keys_too(monkeypatch, tmp_path):
    monkeypatch.delenv("WINNOW_API_KEYS", raising=False)
    assert find_keys(None) is None
    monkeypatch.setenv("WINNOW_API_KEYS", "one\ntwo\n")
    assert len(find_keys(None)) == 2
    path = tmp_path / "keys"
    path.write_text("three\n")
    assert not find_keys(path).accepts("one")
    monkeypatch.setenv("WINNOW_API_KEYS", "#nothing")
    with pytest.raises(ApiKeyError):
        find_keys(None)


def test_a_wrong_line_is_named():
    with pytest.raises(ApiKeyError, match="line 2"):
        parse_keys("fine\nnot fine\n", "here")

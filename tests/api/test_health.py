"""Health, readiness and what importing the server loads."""

from __future__ import annotations

import json
import logging
import subprocess
import sys
import threading

import pytest

from api.app import create_app
from api.settings import ServeSettings


def test_a_server_is_ready_when_its_indexes_are_warm(searcher):
    release = threading.Event()
    searcher.before_search = lambda: release.wait(30) and None
    ended = []
    app = create_app({"fruit": searcher}, ServeSettings(), on_warm=ended.append)
    client = app.test_client()
    assert client.get("/healthz").json == {"status": "ok"}
    response = client.get("/readyz")
    assert response.status_code == 503
    assert response.json["code"] == "not_ready"
    release.set()
    warm_up = app.extensions["winnow"].warm_up
    warm_up.wait(30)
    assert ended == [warm_up]
    assert client.get("/readyz").json == {"status": "ready"}


def test_an_index_that_does_not_answer_is_not_ready(searcher, caplog):
    def fail() -> None:
        raise OSError("broken disk")

    searcher.before_search = fail
    app = create_app({"fruit": searcher})
    app.extensions["winnow"].warm_up.wait(30)
    response = app.test_client().get("/readyz")
    assert response.status_code == 503
    assert "broken disk" not in response.text
    assert "broken disk" in caplog.text


def test_the_access_log_has_a_json_line_per_request(make_app, caplog):
    client = make_app(access_log=True).test_client()
    with caplog.at_level(logging.INFO, logger="api.access"):
        client.get("/v1/indexes/fruit/search?query=private", headers={"X-Request-ID": "r1"})
        client.get("/nowhere")
    lines = [json.loads(record.message) for record in caplog.records if record.name == "api.access"]
    assert [(line["path"], line["status"]) for line in lines] == [
        ("/v1/indexes/fruit/search", 200),
        ("/nowhere", 404),
    ]
    assert lines[0]["request_id"] == "r1"
    assert lines[0]["bytes_out"] > 0
    assert "private" not in caplog.text


@pytest.mark.parametrize(
    ("modules", "left_out"),
    [
        ("api.app, api.commands, api.server", ("torch", "transformers", "triton", "onnxruntime")),
        ("api.commands", ("flask", "gunicorn", "pydantic", "numba", "pyarrow")),
    ],
)
def test_importing_loads_no_more_than_needed(modules, left_out):
    code = f"import sys, {modules}; print([m for m in {left_out!r} if m in sys.modules])"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert run.stdout.strip() == "[]", run.stderr

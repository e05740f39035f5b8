"""``indexer serve`` as a process, a real index behind it, requests over real sockets."""

from __future__ import annotations

import http.client
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode

import pytest
from click.testing import CliRunner

from api.deadlines import DISCARD_SECONDS, RECEIVE_SECONDS
from api.server import SPARE_THREADS
from encoders.base import Document
from indexer.builder import build
from indexer.cli import cli

ENVIRONMENT = {name: value for name, value in os.environ.items() if name != "WINNOW_API_KEYS"}
JSON = {"Content-Type": "application/json"}
BAD_CHUNK = (
    b"POST /v1/indexes/reports/search HTTP/1.1\r\nHost: x\r\n"
    b"Content-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\nZZ\r\nx\r\n"
)


LARGE = 6_000_000
"""More bytes than the system keeps for a client that does not read: 4 MiB on Linux."""


class Served:
    """A running server and requests to it."""

    def __init__(
        self,
        *arguments: str | Path,
        env: dict[str, str] | None = None,
        program: Sequence[str] = ("-m", "indexer"),
    ) -> None:
        self.process = subprocess.Popen(
            [sys.executable, *program, "serve", *map(str, arguments), "--port", "0"],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=ENVIRONMENT | (env or {}),
        )
        self.errors: list[str] = []
        self._announced = threading.Event()
        self._reader = threading.Thread(target=self._read_errors)
        self._reader.start()
        if not self._announced.wait(120) or self.process.poll() is not None:
            self.process.kill()
            raise AssertionError("the server did not start: " + "".join(self.errors))
        self.host, port = re.findall(r"http://([\w.]+):(\d+)", "".join(self.errors))[0]
        self.port = int(port)

    def _read_errors(self) -> None:
        for line in self.process.stderr:
            self.errors.append(line)
            if "Ctrl-C" in line:
                self._announced.set()
        self._announced.set()

    def request(
        self,
        method: str,
        path: str,
        body: Any = None,
        headers: dict[str, str] | None = None,
    ) -> tuple[int, Any, http.client.HTTPMessage]:
        connection = http.client.HTTPConnection(self.host, self.port, timeout=60)
        try:
            connection.request(method, path, body=body, headers=headers or {})
            response = connection.getresponse()
            return response.status, json.loads(response.read() or b"null"), response.headers
        finally:
            connection.close()

    def search(self, index: str = "reports", **options: Any) -> tuple[int, Any]:
        path = f"/v1/indexes/{index}/search"
        return self.request("POST", path, json.dumps(options), JSON)[:2]

    def stop(self, number: int = signal.SIGTERM) -> tuple[int, float]:
        """Exit code, and the seconds that stopping took."""
        started = time.monotonic()
        self.process.send_signal(number)
        try:
            code = self.process.wait(30)
        finally:
            self.process.kill()
        self._reader.join(30)
        self.process.stdout.close()
        self.process.stderr.close()
        return code, time.monotonic() - started


@pytest.fixture(scope="module")
def served(index: Path) -> Iterator[Served]:
    served = Served(f"reports={index}")
    yield served
    code, seconds = served.stop()
    assert code == 0
    assert seconds < 10
    assert "Traceback" not in "".join(served.errors)


def test_it_is_ready_when_it_says_so(served):
    assert served.request("GET", "/healthz")[:2] == (200, {"status": "ok"})
    assert served.request("GET", "/readyz")[:2] == (200, {"status": "ready"})
    assert any("curl 'http://" in line for line in served.errors)


def test_get_and_post_search_alike(served):
    status, answer = served.search(query="boundary layer", top_k=5, fields=["title", "year"])
    assert status == 200
    assert len(answer["hits"]) == 5
    assert "boundary layer" in answer["hits"][0]["fields"]["title"]
    scores = [hit["score"] for hit in answer["hits"]]
    assert scores == sorted(scores, reverse=True)
    options = urlencode({"query": "boundary layer", "top_k": 5, "fields": "title,year"})
    status, same, headers = served.request("GET", f"/v1/indexes/reports/search?{options}")
    assert status == 200
    assert same["hits"] == answer["hits"]
    assert same["total"] == answer["total"]
    assert headers["X-Request-ID"]
    assert "search;dur=" in headers["Server-Timing"]


def test_pages_follow_each_other(served):
    everything = served.search(query="wave", top_k=100)[1]["hits"]
    pages = [served.search(query="wave", top_k=4, offset=at)[1]["hits"] for at in (0, 4, 8)]
    assert [hit for page in pages for hit in page] == everything[:12]


def test_a_filter_excludes(served):
    options = {"query": "wing", "top_k": 100, "fields": ["lab", "year"]}
    condition = {"all": [{"field": "lab", "eq": "west"}, {"field": "year", "gte": 1960}]}
    hits = served.search(**options, filter=condition)[1]["hits"]
    assert hits
    assert all(hit["fields"]["lab"] == "west" and hit["fields"]["year"] >= 1960 for hit in hits)
    assert len(hits) < len(served.search(**options)[1]["hits"])
    parameters = urlencode({"query": "wing", "top_k": 100, "filter": json.dumps(condition)})
    found = served.request("GET", f"/v1/indexes/reports/search?{parameters}")[1]["hits"]
    assert [hit["doc_id"] for hit in found] == [hit["doc_id"] for hit in hits]


def test_an_explanation_adds_up_and_snippets_show_the_match(served):
    hits = served.search(query="turbulent nozzle", explain=True, highlight=True)[1]["hits"]
    for hit in hits:
        total = sum(term["contribution"] for term in hit["explanation"])
        assert total == pytest.approx(hit["score"], rel=1e-5)
        assert any(snippet["matches"] for snippet in hit["snippets"])


def test_a_vector_weighs_tokens(served):
    status, answer = served.search(vector={"nozzl": 2.0})
    assert status == 200
    assert "nozzle" in answer["hits"][0]["fields"]["title"]


def test_counting_is_exact_on_demand(served):
    _, answer = served.search(query="measurements", top_k=1, count_total=True)
    assert answer["total"] == {"value": 60, "relation": "eq"}


def test_a_batch_gives_what_single_searches_give(served):
    queries = ["wing", "", "shock wave"]
    body = json.dumps({"queries": queries, "top_k": 3})
    status, answer, headers = served.request("POST", "/v1/indexes/reports/search/batch", body, JSON)
    assert status == 200
    assert int(headers["Content-Length"]) > 0
    alone = [served.search(query=query, top_k=3)[1]["hits"] for query in queries]
    assert [result["hits"] for result in answer["results"]] == alone


def test_indexes_and_documents(served, index):
    status, listed, _ = served.request("GET", "/v1/indexes")
    assert status == 200
    (described,) = listed["indexes"]
    assert described["document_count"] == 61
    assert set(described["fields"]) == {"year", "lab"}
    assert str(index.parent) not in json.dumps(listed)
    assert served.request("GET", "/v1/indexes/reports")[1] == described
    for doc_id in ("report/7", "title only"):
        for safe in ("/", ""):
            path = f"/v1/indexes/reports/documents/{quote(doc_id, safe=safe)}"
            status, document, _ = served.request("GET", path)
            assert status == 200
            assert document["doc_id"] == doc_id
    assert served.request("GET", "/v1/indexes/reports/documents/report/x")[0] == 404


@pytest.mark.parametrize(
    ("options", "status", "field"),
    [
        ({"query": "wing", "top_k": 0}, 200, None),
        ({"query": ""}, 200, None),
        ({"query": "the of and"}, 200, None),
        ({"query": "\0 \U0001f600 ́"}, 200, None),
        ({"query": "wing", "top_k": 1000, "offset": 9000}, 200, None),
        ({"query": "measurements zeppelin", "top_k": 100}, 200, None),
        ({"query": "wing", "min_score": 1e308}, 200, None),
        ({"query": "wing", "min_score": -1e308}, 200, None),
        ({"query": "wing", "part_weights": {"english-bm25": 1e-320}}, 200, None),
        ({"vector": {"wing": 5e-324}}, 200, None),
        ({"vector": {"wing": 1e9, "": -1, "x" * 5000: 0}}, 200, None),
        ({"query": "wing", "top_k": -1}, 422, "top_k"),
        ({"query": "wing", "top_k": 10**12}, 422, "top_k"),
        ({"query": "wing", "topk": 1}, 422, "topk"),
        ({"query": "wing", "space": "none"}, 422, "space"),
        ({"query": "wing", "part_weights": {"none": 1}}, 422, "part_weights"),
        ({"query": "wing", "part_weights": {"words": 1e308}}, 422, "part_weights.words"),
        ({"query": "wing", "part_weights": {"words": -1}}, 422, "part_weights.words"),
        ({"query": "wing", "filter": {"field": "none", "eq": 1}}, 422, "filter"),
        ({"query": "wing", "filter": {"field": "year", "eq": "x"}}, 422, "filter"),
        ({"query": "wing", "filter": {"field": "year", "gte": 10**30}}, 422, "filter"),
        ({"query": "wing", "filter": {"any": [{"near": 1}]}}, 422, "filter"),
        ({"query": "wing", "fields": ["none"]}, 422, "fields"),
        ({"query": "x" * 10_000_000}, 422, "query"),
    ],
)
def test_odd_requests(served, options, status, field):
    got, answer = served.search(**options)
    assert got == status, answer
    if field is None:
        assert all(hit["score"] >= 0 for hit in answer["hits"])
    else:
        assert answer["errors"][0]["field"] == field
        assert len(json.dumps(answer)) < 2000


@pytest.mark.parametrize(
    ("body", "headers", "status"),
    [
        (b"apple", JSON, 400),
        (b"", JSON, 400),
        (b'{"query": "\xff"}', JSON, 400),
        (b"[" * 1_000_000, JSON, 400),
        (b'{"query": "x", "filter": ' + b'{"not":' * 150 + b"{}" + b"}" * 151, JSON, 422),
        (b'{"query": "x"}', {"Content-Type": "text/plain"}, 415),
        (b'{"query": "' + b"x" * (33 << 20) + b'"}', JSON, 413),
    ],
)
def test_odd_bodies(served, body, headers, status):
    got, problem, response = served.request("POST", "/v1/indexes/reports/search", body, headers)
    assert got == status, problem
    assert response["Content-Type"] == "application/problem+json"
    assert problem["status"] == status


def test_a_body_in_chunks_is_read_and_limited(served):
    def chunks(size: int) -> Iterator[bytes]:
        yield b'{"query": "wing'
        for _ in range(size):
            yield b" " * 65536
        yield b'"}'

    path = "/v1/indexes/reports/search"
    assert served.request("POST", path, chunks(0), JSON)[0] == 200
    assert served.request("POST", path, chunks(520), JSON)[0] == 413


@pytest.mark.parametrize(
    ("sent", "status"),
    [
        (b"NONSENSE\r\n\r\n", 400),
        (b"GET /" + b"x" * 9000 + b" HTTP/1.1\r\nHost: x\r\n\r\n", 414),
        (b"GET / HTTP/1.1\r\nHost: x\r\nA: " + b"x" * 100_000 + b"\r\n\r\n", 431),
        (BAD_CHUNK, 400),
    ],
)
def test_what_is_not_http_gets_a_problem_too(served, sent, status):
    with socket.create_connection((served.host, served.port), timeout=30) as connection:
        connection.sendall(sent)
        response = http.client.HTTPResponse(connection)
        response.begin()
        assert response.status == status
        assert response.headers["Content-Type"] == "application/problem+json"
        assert json.loads(response.read())["status"] == status


def test_clients_that_stall_hold_nobody_up(served):
    """Many requests whose bodies do not come: others are answered, and these end in a 408."""
    head = (
        b"POST /v1/indexes/reports/search HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
    )
    stalled = [socket.create_connection((served.host, served.port), 30) for _ in range(30)]
    for connection in stalled:
        connection.sendall(head + b"Content-Length: 1000\r\n\r\n{")
    started = time.monotonic()
    assert served.request("GET", "/healthz")[0] == 200
    assert served.search(query="wing")[0] == 200
    assert time.monotonic() - started < RECEIVE_SECONDS / 2
    for connection in stalled:
        connection.sendall(b" ")  # a byte now and then is no excuse
        response = http.client.HTTPResponse(connection)
        response.begin()
        assert response.status == 408
        assert json.loads(response.read())["code"] == "request_timeout"
        connection.close()
    assert time.monotonic() - started < 2 * RECEIVE_SECONDS


def test_clients_that_stay_on_the_line_hold_nobody_up(served):
    """gunicorn waits for them to hang up, and nothing may wait for gunicorn meanwhile."""
    request = b"GET /healthz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
    staying = [socket.create_connection((served.host, served.port), 30) for _ in range(10)]
    for connection in staying:
        connection.sendall(request)
    for connection in staying:
        assert connection.recv(12) == b"HTTP/1.1 200"
    started = time.monotonic()
    assert served.request("GET", "/healthz")[0] == 200
    assert time.monotonic() - started < DISCARD_SECONDS / 2
    for connection in staying:
        connection.close()


def test_clients_that_do_not_read_hold_nobody_up(tmp_path):
    """As many as there are threads, each with an answer that no buffer takes."""
    path = tmp_path / "large.winnow"
    build([Document("large", "x" * LARGE)], path, "plain-bm25")
    code = "import api.server, indexer.cli; api.server.ANSWER_SECONDS = 2.0; indexer.cli.main()"
    served = Served(path, "--threads", "1", "--queue", "0", program=("-c", code))
    request = b"GET /v1/indexes/large/documents/large HTTP/1.1\r\nHost: x\r\n\r\n"
    stalled = []
    try:
        for _ in range(1 + SPARE_THREADS):
            connection = socket.socket()
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            connection.settimeout(30)
            connection.connect((served.host, served.port))
            connection.sendall(request)
            stalled.append(connection)
        for connection in stalled:
            assert connection.recv(12) == b"HTTP/1.1 200"
        started = time.monotonic()
        assert served.request("GET", "/healthz")[0] == 200
        assert time.monotonic() - started < 20
        # Whoever reads gets everything, and those who did not have lost their connections: some
        # later than others, since their answers were not ready at one time.
        status, document, _ = served.request("GET", "/v1/indexes/large/documents/large")
        assert status == 200
        assert len(document["text"]) == LARGE
        while sum("did not read its answer" in line for line in served.errors) < len(stalled):
            assert time.monotonic() - started < 60, "".join(served.errors)
            time.sleep(0.05)
        for connection in stalled:
            received = 0
            while chunk := connection.recv(1 << 20):
                received += len(chunk)
            assert received < LARGE
    finally:
        for connection in stalled:
            connection.close()
        assert served.stop()[0] == 0
    assert "Traceback" not in "".join(served.errors)


def test_many_clients_get_the_right_answers(served, topics):
    wanted = {word: served.search(query=word)[1]["hits"] for word in topics}

    def ask(number: int) -> bool:
        word = topics[number % len(topics)]
        if number % 10 == 9:
            return served.request("POST", "/v1/indexes/reports/search", b"{", JSON)[0] == 400
        status, answer = served.search(query=word)
        return status == 200 and answer["hits"] == wanted[word]

    with ThreadPoolExecutor(16) as pool:
        assert all(pool.map(ask, range(200)))
    assert served.request("GET", "/readyz")[0] == 200


def test_a_new_generation_is_served_without_a_restart(index, tmp_path):
    path = shutil.copytree(index, tmp_path / "growing.winnow")
    served = Served(path)
    try:
        assert served.search("growing", query="quantum")[1]["hits"] == []
        document = {"_id": "new", "title": "Quantum wing", "text": "A quantum wing.", "year": 2000}
        corpus = tmp_path / "new.jsonl"
        corpus.write_text(json.dumps(document))
        assert CliRunner().invoke(cli, ["add", str(path), str(corpus)]).exit_code == 0
        deadline = time.monotonic() + 30
        while time.monotonic() < deadline:
            answer = served.search("growing", query="quantum")[1]
            if answer["hits"]:
                break
            time.sleep(0.2)
        assert [hit["doc_id"] for hit in answer["hits"]] == ["new"]
        assert answer["index"]["generation"] == 2
        shutil.rmtree(path)
        time.sleep(1.1)
        assert served.search("growing", query="quantum")[1]["hits"] == answer["hits"]
    finally:
        code, _ = served.stop(signal.SIGINT)
    assert code == 0


def test_keys_from_the_environment_guard_another_address(index):
    served = Served(
        f"a={index}", f"b={index}", "--host", "0.0.0.0", env={"WINNOW_API_KEYS": "long-key\n"}
    )
    try:
        assert served.request("GET", "/healthz")[0] == 200
        assert served.request("GET", "/v1/indexes")[0] == 401
        headers = {"Authorization": "Bearer long-key"}
        status, listed, _ = served.request("GET", "/v1/indexes", headers=headers)
        assert status == 200
        assert [entry["name"] for entry in listed["indexes"]] == ["a", "b"]
    finally:
        assert served.stop()[0] == 0


def test_a_stopping_server_finishes_its_requests(index):
    served = Served(index, "--access-log")
    body = json.dumps({"queries": ["wing shock wave nozzle"] * 1000}).encode()
    with ThreadPoolExecutor(1) as pool:
        answer = pool.submit(served.request, "POST", "/v1/indexes/reports/search/batch", body, JSON)
        time.sleep(0.2)
        code, seconds = served.stop()
        status, batch, _ = answer.result(60)
    assert status == 200
    assert len(batch["results"]) == 1000
    assert code == 0
    assert seconds < 15

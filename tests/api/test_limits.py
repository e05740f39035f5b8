"""How many searches run and wait."""

from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor, as_completed

import pytest

from api.limits import SearchGate
from api.problems import Problem

SEARCH = "/v1/indexes/fruit/search?query=apple"


def test_more_searches_than_run_and_wait_are_turned_away(make_app, searcher):
    app = make_app(threads=1, queue=1, queue_seconds=30)
    release = threading.Event()
    searcher.before_search = lambda: release.wait(30) and None
    with ThreadPoolExecutor(3) as pool:
        requests = [pool.submit(lambda: app.test_client().get(SEARCH)) for _ in range(3)]
        refused = next(as_completed(requests, timeout=30)).result()
        # One search runs and one waits: everything else still answers at once.
        assert app.test_client().get("/healthz").status_code == 200
        assert app.test_client().get("/v1/indexes").status_code == 200
        assert sum(request.done() for request in requests) == 1
        release.set()
        statuses = sorted(request.result(30).status_code for request in requests)
    assert statuses == [200, 200, 429]
    assert refused.status_code == 429
    assert refused.headers["Retry-After"] == "1"
    assert refused.json["code"] == "too_busy"
    assert app.test_client().get(SEARCH).status_code == 200


def test_a_wait_ends():
    gate = SearchGate(1, 1, 0.01)
    with gate.turn(), pytest.raises(Problem, match=r"0\.01 seconds"), gate.turn():
        pass
    with gate.turn():
        pass


def test_a_place_is_given_back_after_an_error():
    gate = SearchGate(1, 0, 0)
    for _ in range(3):
        with pytest.raises(ZeroDivisionError), gate.turn():
            raise ZeroDivisionError
    with gate.turn(), pytest.raises(Problem), gate.turn():
        pass


def test_never_more_searches_at_once_than_threads():
    gate = SearchGate(3, 100, 30)
    lock = threading.Lock()
    now, most = 0, 0

    def work() -> None:
        nonlocal now, most
        with gate.turn():
            with lock:
                now += 1
                most = max(most, now)
            time.sleep(0.001)
            with lock:
                now -= 1

    with ThreadPoolExecutor(20) as pool:
        for task in [pool.submit(work) for _ in range(100)]:
            task.result()
    assert most == 3

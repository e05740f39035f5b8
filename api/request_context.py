"""What each response carries: its request id and where its time went."""

from __future__ import annotations

import re
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager

from flask import Flask, Response, g, request

_REQUEST_ID = re.compile(r"[A-Za-z0-9._~:/+=@-]{1,128}")


def register_request_context(app: Flask) -> None:
    """Gives each request of ``app`` an id and a clock, shown in its response headers.

    ``X-Request-ID`` is echoed if it is 1 to 128 characters of ``A-Z a-z 0-9 . _ ~ : / + = @ -``;
    otherwise a new one is made, so that it is safe to log.
    """

    @app.before_request
    def start() -> None:
        g.started = time.perf_counter()
        g.timings = {}
        given = request.headers.get("X-Request-ID", "")
        g.request_id = given if _REQUEST_ID.fullmatch(given) else uuid.uuid4().hex

    @app.after_request
    def finish(response: Response) -> Response:
        response.headers["X-Request-ID"] = g.request_id
        timings = g.timings | {"total": elapsed_ms()}
        response.headers["Server-Timing"] = ", ".join(
            f"{name};dur={milliseconds:.3f}" for name, milliseconds in timings.items()
        )
        response.headers["X-Content-Type-Options"] = "nosniff"
        return response


def elapsed_ms() -> float:
    """Milliseconds since the current request was accepted."""
    return (time.perf_counter() - g.started) * 1000


@contextmanager
def timed(name: str) -> Iterator[None]:
    """Adds the time spent in the block to ``Server-Timing`` as ``name``."""
    started = time.perf_counter()
    try:
        yield
    finally:
        spent = (time.perf_counter() - started) * 1000
        g.timings[name] = g.timings.get(name, 0.0) + spent

"""gunicorn, set up for search: one process, a thread per request, a calm end."""

from __future__ import annotations

import contextlib
import json
import logging
import signal
import socket
import sys
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NoReturn

from flask import Flask
from gunicorn.app.base import BaseApplication
from gunicorn.arbiter import Arbiter
from gunicorn.http import errors
from gunicorn.workers.gthread import ThreadWorker

from api.app import create_app
from api.bodies import CHUNK_BYTES
from api.deadlines import (
    ANSWER_SECONDS,
    DISCARD_SECONDS,
    RECEIVE_SECONDS,
    answering,
    receiving,
)
from api.listener import url_of
from api.logs import configure_logging
from api.problems import CONTENT_TYPE, problem_document
from api.settings import ServeSettings
from api.warmup import WarmUp

SPARE_THREADS = 32
"""Threads beyond running and waiting searches: for health checks, and for requests that are slow
to arrive or answers that are slow to be read (``api.deadlines`` says how slow they may be)."""

GRACE_SECONDS = 10
"""How long a stopping server lets its requests finish."""

KEEPALIVE_SECONDS = 5

logger = logging.getLogger(__name__)

_PROBLEM_OF_ERROR: tuple[tuple[type[Exception], str, str], ...] = (
    (errors.LimitRequestLine, "uri_too_long", "The URL is too long; send the search as POST."),
    (errors.LimitRequestHeaders, "headers_too_large", "The request headers are too large."),
    (errors.ParseException, "bad_request", "The request is not valid HTTP."),
)


class SearchWorker(ThreadWorker):
    """A thread worker that no client holds up, and whose protocol errors are problem documents."""

    wsgi: Any

    def load_wsgi(self) -> None:
        """Loads the application; clients have a limited time to read what it answers."""
        super().load_wsgi()
        application = self.wsgi

        def answer(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
            client = environ["gunicorn.socket"]
            answering.end(client)  # however long the answer takes, that is not the client's fault
            try:
                return application(environ, start_response)
            finally:
                answering.begin(client, ANSWER_SECONDS)

        self.wsgi = answer

    def init_signals(self) -> None:
        """Leaves Ctrl-C to the parent process, which then ends this one with its requests done."""
        super().init_signals()
        signal.signal(signal.SIGINT, signal.SIG_IGN)

    def handle(self, conn: Any) -> Any:
        """Reads a request and answers it; its client has a limited time for its part in both."""
        receiving.begin(conn.sock, RECEIVE_SECONDS)
        # "100 Continue" is sent before the application is called, and can wait for the client too.
        answering.begin(conn.sock, ANSWER_SECONDS)
        try:
            kept = super().handle(conn)
        finally:
            receiving.end(conn.sock)
            if not answering.end(conn.sock):
                logger.info("%s did not read its answer in time", conn.client)
        if not kept:
            _await_end(conn.sock)
        return kept

    def handle_error(self, req: Any, client: socket.socket, addr: Any, exc: Exception) -> None:
        """Answers a request that did not get as far as the application."""
        code, detail = next(
            ((code, detail) for kind, code, detail in _PROBLEM_OF_ERROR if isinstance(exc, kind)),
            ("internal_error", "The server failed on this request."),
        )
        if code == "internal_error":
            self.log.error("error outside the application", exc_info=exc)
        try:
            client.sendall(_raw_problem(code, detail))
        except OSError:
            self.log.debug("the client has gone")


class CalmArbiter(Arbiter):
    """A parent process for which Ctrl-C, like SIGTERM, lets running requests finish."""

    def handle_int(self) -> None:
        """Ends gracefully; a second Ctrl-C ends at once."""
        self.handle_term()


class Server(BaseApplication):
    """One worker process with threads, behind a socket that is bound already.

    Args:
        make_app: Makes the application; called after the fork, since its threads would not
            survive one.
        listener: The socket, handed over to gunicorn.
        settings: Concurrency.
    """

    def __init__(
        self, make_app: Callable[[], Flask], listener: socket.socket, settings: ServeSettings
    ) -> None:
        self._make_app = make_app
        self._settings = settings
        self._listener_fd = listener.detach()
        super().__init__()

    def load_config(self) -> None:
        """Sets what differs from gunicorn's defaults."""
        threads = self._settings.threads + self._settings.queue + SPARE_THREADS
        chosen = {
            "bind": f"fd://{self._listener_fd}",
            "worker_class": SearchWorker,
            "workers": 1,
            "threads": threads,
            "worker_connections": max(1000, 2 * threads),
            "keepalive": KEEPALIVE_SECONDS,
            "timeout": 120,
            "graceful_timeout": GRACE_SECONDS,
            "limit_request_line": 8190,
            "loglevel": "warning",
            # Newer gunicorns open a control socket in the user's home unless told not to.
            "control_socket_disable": True,
        }
        for name, value in chosen.items():
            if name in self.cfg.settings:
                self.cfg.set(name, value)

    def load(self) -> Flask:
        """The application, in the worker process."""
        return self._make_app()

    def run(self) -> NoReturn:
        """Serves until a signal ends it, then exits the process."""
        CalmArbiter(self).run()
        raise SystemExit(0)


def run_server(
    paths: Mapping[str, Path], listener: socket.socket, settings: ServeSettings
) -> NoReturn:
    """Serves the indexes until a signal ends the process.

    Args:
        paths: Where the index of each name lies.
        listener: A bound socket.
        settings: Limits, keys and concurrency.
    """
    url = url_of(listener)

    def announce(warm_up: WarmUp) -> None:
        if warm_up.status == "ready":
            print(announcement(url, list(paths), settings), file=sys.stderr, flush=True)  # noqa: T201

    def make_app() -> Flask:
        configure_logging(access_log=settings.access_log)
        return create_app(paths, settings, on_warm=announce)

    Server(make_app, listener, settings).run()


def announcement(url: str, names: Sequence[str], settings: ServeSettings) -> str:
    """What a ready server says: where it is, and a request to try."""
    header = "" if settings.api_keys is None else "-H 'Authorization: Bearer KEY' "
    plural = "index" if len(names) == 1 else "indexes"
    return (
        f"Serving {plural} {', '.join(names)} at {url}\n"
        f"Try: curl {header}'{url}/v1/indexes/{names[0]}/search?query=your+question&top_k=3'\n"
        "Stop with Ctrl-C."
    )


def _await_end(client: socket.socket) -> None:
    """Tells the client that its connection has ended, and waits a moment for it to do likewise.

    Closing a connection while the client still sends would reset it, and the answer with it.
    gunicorn waits likewise, but in the thread that accepts connections, which would serve nobody
    meanwhile: it finds nothing left to wait for.
    """
    receiving.begin(client, DISCARD_SECONDS)
    deadline = time.monotonic() + DISCARD_SECONDS  # of clients that never stop sending
    with contextlib.suppress(OSError):  # it is closed already
        client.shutdown(socket.SHUT_WR)
        while client.recv(CHUNK_BYTES) and time.monotonic() < deadline:
            pass
    receiving.end(client)


def _raw_problem(code: str, detail: str) -> bytes:
    document = problem_document(code, detail)
    body = json.dumps(document).encode()
    head = (
        f"HTTP/1.1 {document['status']} {document['title']}\r\n"
        f"Content-Type: {CONTENT_TYPE}\r\nContent-Length: {len(body)}\r\nConnection: close\r\n\r\n"
    )
    return head.encode("ascii") + body

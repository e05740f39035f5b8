"""Clients that take too long lose the side of their connection that is waited for."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator

import pytest

from api.deadlines import Deadlines


@pytest.fixture
def pair() -> Iterator[tuple[socket.socket, socket.socket]]:
    server, client = socket.socketpair()
    server.settimeout(30)
    client.settimeout(30)
    with server, client:
        yield server, client


def test_a_client_that_sends_too_slowly_can_still_be_answered(pair):
    server, client = pair
    deadlines = Deadlines("receiving", socket.SHUT_RD)
    deadlines.begin(server, 0.1)
    assert server.recv(10) == b""
    assert not deadlines.end(server)
    server.sendall(b"408")
    assert client.recv(10) == b"408"


def test_a_client_that_reads_too_slowly_loses_its_connection(pair):
    server, _client = pair
    deadlines = Deadlines("answering", socket.SHUT_RDWR)
    deadlines.begin(server, 0.2)
    started = time.monotonic()
    with pytest.raises(BrokenPipeError):
        server.sendall(b"x" * 10_000_000)
    assert 0.15 < time.monotonic() - started < 20
    assert not deadlines.end(server)


def test_a_client_in_time_keeps_its_connection(pair):
    server, client = pair
    deadlines = Deadlines("receiving", socket.SHUT_RDWR)
    deadlines.begin(server, 0.1)
    assert deadlines.end(server)
    time.sleep(0.3)
    client.sendall(b"x")
    assert server.recv(10) == b"x"
    assert deadlines.end(server)


def test_a_later_deadline_replaces_the_earlier_one_and_an_earlier_one_comes_first(pair):
    server, client = pair
    deadlines = Deadlines("receiving", socket.SHUT_RD)
    deadlines.begin(client, 0.1)
    deadlines.begin(client, 60)
    deadlines.begin(server, 0.3)
    assert server.recv(10) == b""
    assert not deadlines.end(server)
    assert deadlines.end(client)


def test_a_connection_that_has_gone_is_no_trouble(pair):
    server, client = pair
    deadlines = Deadlines("receiving", socket.SHUT_RD)
    server.close()
    deadlines.begin(server, 0)
    deadlines.begin(client, 0.1)
    assert client.recv(10) == b""

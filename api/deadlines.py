"""How long a client may take: a thread that waits for one serves nobody else."""

from __future__ import annotations

import contextlib
import math
import socket
import threading
import time

RECEIVE_SECONDS = 10.0
"""For sending the whole request, its body included."""

DISCARD_SECONDS = 2.0
"""For what a refused request still sends, and for the client's end of a connection that the server
ended."""

ANSWER_SECONDS = 60.0
"""For reading the whole answer, from when it is ready."""


class Deadlines:
    """Ends a side of sockets whose clients take too long.

    A time limit of the socket itself would begin anew with every byte, so a thread of its own
    watches the clock; it starts with the first deadline, in the process that serves.

    Args:
        name: Of the thread.
        how: What ends, as ``socket.shutdown`` takes it.
    """

    def __init__(self, name: str, how: int) -> None:
        self._name = name
        self._how = how
        self._changed = threading.Condition()
        self._deadlines: dict[socket.socket, float] = {}
        self._late: set[socket.socket] = set()
        self._watching = False
        self._wakes_at = math.inf

    def begin(self, client: socket.socket, seconds: float) -> None:
        """From now on the client has so many seconds."""
        with self._changed:
            deadline = self._deadlines[client] = time.monotonic() + seconds
            if not self._watching:
                self._watching = True
                threading.Thread(target=self._watch, name=self._name, daemon=True).start()
            if deadline < self._wakes_at:  # seldom: requests need not wake the watch
                self._changed.notify()

    def end(self, client: socket.socket) -> bool:
        """No longer; whether the client was in time."""
        with self._changed:
            self._deadlines.pop(client, None)
            late = client in self._late
            self._late.discard(client)
        return not late

    def _watch(self) -> None:
        while True:
            with self._changed:
                now = time.monotonic()
                for client in [c for c, end in self._deadlines.items() if end <= now]:
                    del self._deadlines[client]
                    self._late.add(client)
                    with contextlib.suppress(OSError):  # it is closed already
                        client.shutdown(self._how)
                self._wakes_at = min(self._deadlines.values(), default=math.inf)
                self._changed.wait(self._wakes_at - now if self._deadlines else None)


receiving = Deadlines("receiving", socket.SHUT_RD)
"""For what this process's clients send: a late one can still be answered."""

answering = Deadlines("answering", socket.SHUT_RDWR)
"""For what this process's clients read: a late one loses its connection."""

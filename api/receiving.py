"""How long a request may take to arrive: a thread that waits for a client serves nobody else."""

from __future__ import annotations

import contextlib
import math
import socket
import threading
import time

RECEIVE_SECONDS = 10.0
"""For the whole request, its body included."""

DISCARD_SECONDS = 2.0
"""For what a refused request still sends."""


class ReceiveDeadlines:
    """Ends the receiving side of sockets whose clients take too long.

    A time limit of the socket itself would begin anew with every byte, so a thread of its own
    watches the clock; it starts with the first deadline, in the process that serves.
    """

    def __init__(self) -> None:
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
                threading.Thread(target=self._watch, name="receiving", daemon=True).start()
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
                        client.shutdown(socket.SHUT_RD)
                self._wakes_at = min(self._deadlines.values(), default=math.inf)
                self._changed.wait(self._wakes_at - now if self._deadlines else None)


receiving = ReceiveDeadlines()
"""The deadlines of this process's connections."""
